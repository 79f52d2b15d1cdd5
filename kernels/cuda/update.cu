// Updates of parameters, each in one pass: `kernels/src/update.rs` has the formulas. What changes from step to step lies in
// device memory. Arrays lie on 16 bytes.
#include "prims.cuh"

// N arrays in place, the weights first, by the gradient: f(g, state) for each element.
template <int N, typename F> inline void update(u64 n, const float* gradient, float* const (&arrays)[N], F f) {
    for (u64 i = first_index() * 4; i < n; i += index_step() * 4) {
        if (i + 4 <= n) {
            float state[4][N];
            float4 w = load4(gradient + i);
            float g[4] = {w.x, w.y, w.z, w.w};
            for (int a = 0; a < N; a++) {
                float4 v = load4(arrays[a] + i);
                state[0][a] = v.x, state[1][a] = v.y, state[2][a] = v.z, state[3][a] = v.w;
            }
            for (int j = 0; j < 4; j++) f(g[j], state[j]);
            for (int a = 0; a < N; a++) store4(arrays[a] + i, make_float4(state[0][a], state[1][a], state[2][a], state[3][a]));
        } else {
            for (u64 e = i; e < n; e++) {
                float state[N];
                for (int a = 0; a < N; a++) state[a] = arrays[a][e];
                f(gradient[e], state);
                for (int a = 0; a < N; a++) arrays[a][e] = state[a];
            }
        }
    }
}

// w = decay w - lr g
KERNEL(256) sgd(u64 n, const float* decay, const float* lr, const float* gradient, float* weights) {
    float d = *decay, l = *lr;
    float* const arrays[] = {weights};
    update(n, gradient, arrays, [=](float g, float* s) { s[0] = d * s[0] - l * g; });
}

// rule: lr, mu, l2
KERNEL(256) momentum(u64 n, const float* rule, u32 nesterov, const float* gradient, float* weights, float* velocity) {
    float lr = rule[0], mu = rule[1], l2 = rule[2];
    float* const arrays[] = {weights, velocity};
    update(n, gradient, arrays, [=](float g, float* s) {
        g += l2 * s[0];
        float v = mu * s[1] + g;
        s[0] -= lr * (nesterov ? g + mu * v : v);
        s[1] = v;
    });
}

// rule: decay, l2, beta1, 1 - beta1, beta2, 1 - beta2, lr / (1 - beta1^t), 1 / sqrt(1 - beta2^t), epsilon
KERNEL(256) adam(u64 n, const float* rule, const float* gradient, float* weights, float* first, float* second) {
    float decay = rule[0], l2 = rule[1], beta1 = rule[2], rest1 = rule[3], beta2 = rule[4], rest2 = rule[5];
    float step = rule[6], inverse_root = rule[7], epsilon = rule[8];
    float* const arrays[] = {weights, first, second};
    update(n, gradient, arrays, [=](float g, float* s) {
        g += l2 * s[0];
        s[1] = beta1 * s[1] + rest1 * g;
        s[2] = beta2 * s[2] + rest2 * (g * g);
        s[0] = decay * s[0] - step * (s[1] / (sqrtf(s[2]) * inverse_root + epsilon));
    });
}
