// Activations and their derivatives by number: `kernels/src/activation.rs` has the table of formulas.
#pragma once
#include "prims.cuh"

// As `kernels/src/cuda/activation.rs` numbers them.
enum Function { IDENTITY, RELU, LEAKY_RELU, PRELU, ELU, ELU_OF_INPUT, SIGMOID, TANH, SWISH, GELU, GELU_TANH };

// Bias and these are done in a product's registers, the others in a second look at its tile.
inline bool is_short(u32 f) { return f <= RELU; }

inline float relu(float x) { return x < 0.0f ? 0.0f : x; }
inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
// P(x), the standard normal distribution function, without cancellation below 0.
inline float normal_distribution(float x) { return 0.5f * erfcf(-0.70710678118654752f * x); }
inline float gelu_argument(float x) { return 1.5957691216057308f * (x + 0.044715f * x * x * x); }

// f(x); p is f's slope, alpha or beta.
inline float activate(u32 f, float p, float x) {
    switch (f) {
    case RELU: return relu(x);
    case LEAKY_RELU:
    case PRELU: return x > 0.0f ? x : p * x;
    case ELU:
    case ELU_OF_INPUT: return x > 0.0f ? x : p * expm1f(x);
    case SIGMOID: return sigmoid(x);
    case TANH: return tanhf(x);
    case SWISH: return x * sigmoid(p * x);
    case GELU: return x * normal_distribution(x);
    case GELU_TANH: return x * sigmoid(gelu_argument(x));
    default: return x;
    }
}

// f'(saved): `saved` is f's output for relu, leaky relu, elu, sigmoid and tanh, its input for the others.
inline float derivative(u32 f, float p, float saved) {
    switch (f) {
    case RELU: return saved > 0.0f ? 1.0f : 0.0f;
    case LEAKY_RELU: return saved > 0.0f ? 1.0f : p;
    case PRELU: return saved < 0.0f ? p : 1.0f;
    case ELU: return saved > 0.0f ? 1.0f : saved + p;
    case ELU_OF_INPUT: return saved > 0.0f ? 1.0f : p * expf(saved);
    case SIGMOID: return saved * (1.0f - saved);
    case TANH: return (1.0f - saved) * (1.0f + saved);
    case SWISH: {
        float z = p * saved, y = sigmoid(z);
        return y + z * y * (1.0f - y);
    }
    case GELU: return normal_distribution(saved) + saved * 0.3989422804014327f * expf(-0.5f * saved * saved);
    case GELU_TANH: {
        float y = sigmoid(gelu_argument(saved));
        float slope = 1.5957691216057308f * (1.0f + 0.134145f * saved * saved);
        return y + saved * y * (1.0f - y) * slope;
    }
    default: return 1.0f;
    }
}

// df/dp at x.
inline float derivative_by_parameter(u32 f, float p, float x) {
    if (f == PRELU) return fminf(x, 0.0f);
    if (f == SWISH) {
        float y = sigmoid(p * x);
        return x * x * y * (1.0f - y);
    }
    return 0.0f;
}
