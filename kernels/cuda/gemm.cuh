// What every product has in common: C <- epilogue(alpha op(A) op(B) + beta C), where op may transpose.
//
// Matrices are row-major with a leading dimension in elements: A is m x k (k x m where it is transposed), B is k x n
// (n x k). The grid has one dimension, one block for each tile of C, row of tiles by row of tiles, so that neither m nor
// n meets the limit of a second dimension. Addresses are computed in 64 bits.
//
// Epilogue, each step optional: t += bias (one value a column), input = t, t = activation(t), t *= derivative(saved).
// `input` and `saved` have C's leading dimension.
#pragma once
#include "functions.cuh"

struct Gemm {
    u32 m, n, k;
    const float* alpha;
    const float* a;
    u32 lda;
    const float* b;
    u32 ldb;
    const float* beta;
    float* c;
    u32 ldc;
    const float* bias;
    float* input;
    u32 activation;
    float parameter;
    const float* saved;
    u32 derivative;
    float derivative_parameter;
};

// Every product takes these. alpha and beta lie in device memory, since a captured graph replays with others.
#define GEMM_PARAMETERS                                                                                                \
    u32 m, u32 n, u32 k, const float *alpha, const float *a, u32 lda, const float *b, u32 ldb, const float *beta,      \
        float *c, u32 ldc, const float *bias, float *input, u32 activation, float parameter, const float *saved,       \
        u32 derivative, float derivative_parameter
#define GEMM_ARGUMENTS                                                                                                 \
    Gemm { m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, bias, input, activation, parameter, saved, derivative,        \
        derivative_parameter }

// The four kernels of one rung: n, t say whether A and B are transposed.
#define GEMM_KERNELS(name, threads, body)                                                                              \
    KERNEL(threads) name##_nn(GEMM_PARAMETERS) { body<false, false>(GEMM_ARGUMENTS); }                                 \
    KERNEL(threads) name##_nt(GEMM_PARAMETERS) { body<false, true>(GEMM_ARGUMENTS); }                                  \
    KERNEL(threads) name##_tn(GEMM_PARAMETERS) { body<true, false>(GEMM_ARGUMENTS); }                                  \
    KERNEL(threads) name##_tt(GEMM_PARAMETERS) { body<true, true>(GEMM_ARGUMENTS); }

// First row and column of this block's tile of C.
struct Corner {
    u32 row, col;
};
template <int BM, int BN> inline Corner corner(const Gemm& g) {
    u32 tiles_n = (g.n + BN - 1) / BN;
    return {blockIdx.x / tiles_n * BM, blockIdx.x % tiles_n * BN};
}

// What becomes of an element's sum.
struct Finish {
    float alpha, beta;
    inline Finish(const Gemm& g) : alpha(*g.alpha), beta(*g.beta) {}

    inline float value(const Gemm& g, u64 at, u32 col, float sum) const {
        float t = alpha * sum;
        // What lies in C may be NaN.
        if (beta != 0.0f) t += beta * g.c[at];
        if (g.bias) t += g.bias[col];
        if (g.input) g.input[at] = t;
        if (g.activation == RELU) t = relu(t);
        if (g.saved && g.derivative == RELU && is_short(g.activation)) t = g.saved[at] > 0.0f ? t : 0.0f;
        return t;
    }

    inline void store(const Gemm& g, u32 row, u32 col, float sum) const {
        if (row >= g.m || col >= g.n) return;
        u64 at = (u64)row * g.ldc + col;
        g.c[at] = value(g, at, col, sum);
    }

    // Four neighbours of a row; `wide` where 16-byte accesses are allowed.
    inline void store4(const Gemm& g, u32 row, u32 col, const float* sums, bool wide) const {
        if (wide && row < g.m && col + 4 <= g.n) {
            u64 at = (u64)row * g.ldc + col;
            float4 t = make_float4(alpha * sums[0], alpha * sums[1], alpha * sums[2], alpha * sums[3]);
            if (beta != 0.0f) {
                float4 c = load4(g.c + at);
                t = make_float4(t.x + beta * c.x, t.y + beta * c.y, t.z + beta * c.z, t.w + beta * c.w);
            }
            if (g.bias) t = make_float4(t.x + g.bias[col], t.y + g.bias[col + 1], t.z + g.bias[col + 2], t.w + g.bias[col + 3]);
            if (g.input) ::store4(g.input + at, t);
            if (g.activation == RELU) t = make_float4(relu(t.x), relu(t.y), relu(t.z), relu(t.w));
            if (g.saved && g.derivative == RELU && is_short(g.activation)) {
                float4 s = load4(g.saved + at);
                t = make_float4(s.x > 0.0f ? t.x : 0.0f, s.y > 0.0f ? t.y : 0.0f, s.z > 0.0f ? t.z : 0.0f, s.w > 0.0f ? t.w : 0.0f);
            }
            ::store4(g.c + at, t);
        } else {
            for (int j = 0; j < 4; j++) store(g, row, col + j, sums[j]);
        }
    }
};

inline bool wide_stores(const Gemm& g) {
    return g.ldc % 4 == 0 && aligned16(g.c) && aligned16(g.input) && aligned16(g.saved);
}

// Whether `long_functions` has something to do.
inline bool has_long_functions(const Gemm& g) {
    return !is_short(g.activation) || (g.saved && !is_short(g.derivative));
}

// Activations beyond relu for one element that this thread has stored: their code is there once, not once for each
// accumulator, and the element is still in the caches.
inline void long_functions(const Gemm& g, u32 row, u32 col) {
    if (row >= g.m || col >= g.n) return;
    u64 at = (u64)row * g.ldc + col;
    float t = g.c[at];
    if (!is_short(g.activation)) t = activate(g.activation, g.parameter, t);
    // relu's derivative is in already where the activation was short.
    if (g.saved && !(g.derivative == RELU && is_short(g.activation))) t *= derivative(g.derivative, g.derivative_parameter, g.saved[at]);
    g.c[at] = t;
}
