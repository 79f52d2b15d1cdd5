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
    ONE_BLOCK(threads) name##_nn(GEMM_PARAMETERS) { body<false, false>(GEMM_ARGUMENTS); }                                 \
    ONE_BLOCK(threads) name##_nt(GEMM_PARAMETERS) { body<false, true>(GEMM_ARGUMENTS); }                                  \
    ONE_BLOCK(threads) name##_tn(GEMM_PARAMETERS) { body<true, false>(GEMM_ARGUMENTS); }                                  \
    ONE_BLOCK(threads) name##_tt(GEMM_PARAMETERS) { body<true, true>(GEMM_ARGUMENTS); }

// First row and column of this block's tile of C.
struct Corner {
    u32 row, col;
};
template <int BM, int BN> inline Corner corner(const Gemm& g) {
    u32 tiles_n = (g.n + BN - 1) / BN;
    return {blockIdx.x / tiles_n * BM, blockIdx.x % tiles_n * BN};
}

// Whether relu's derivative can be taken while the element is in a register: an activation beyond relu goes before it.
inline bool has_short_derivative(const Gemm& g) { return g.derivative == RELU && is_short(g.activation); }

// Whether `long_functions` has something to do.
inline bool has_long_functions(const Gemm& g) {
    return !is_short(g.activation) || (g.saved && !has_short_derivative(g));
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
        if (g.saved && has_short_derivative(g)) t = g.saved[at] > 0.0f ? t : 0.0f;
        return t;
    }

    inline void store(const Gemm& g, u32 row, u32 col, float sum) const {
        if (row >= g.m || col >= g.n) return;
        u64 at = (u64)row * g.ldc + col;
        g.c[at] = value(g, at, col, sum);
    }

    // Four neighbours of a row on 16 bytes, all within C.
    inline void store4(const Gemm& g, u32 row, u32 col, const float* sums) const {
        u64 at = (u64)row * g.ldc + col;
        float t[4];
        for (int j = 0; j < 4; j++) t[j] = alpha * sums[j];
        if (beta != 0.0f) {
            float4 c = load4(g.c + at);
            t[0] += beta * c.x, t[1] += beta * c.y, t[2] += beta * c.z, t[3] += beta * c.w;
        }
        if (g.bias)
            for (int j = 0; j < 4; j++) t[j] += g.bias[col + j];
        if (g.input) ::store4(g.input + at, make_float4(t[0], t[1], t[2], t[3]));
        if (g.activation == RELU)
            for (int j = 0; j < 4; j++) t[j] = relu(t[j]);
        if (g.saved && has_short_derivative(g)) {
            float4 s = load4(g.saved + at);
            t[0] = s.x > 0.0f ? t[0] : 0.0f, t[1] = s.y > 0.0f ? t[1] : 0.0f;
            t[2] = s.z > 0.0f ? t[2] : 0.0f, t[3] = s.w > 0.0f ? t[3] : 0.0f;
        }
        ::store4(g.c + at, make_float4(t[0], t[1], t[2], t[3]));
    }
};

// Activations beyond relu for one element that this thread has stored: their code is there once, not once for each
// accumulator, and the element is still in the caches.
inline void long_functions(const Gemm& g, u32 row, u32 col) {
    if (row >= g.m || col >= g.n) return;
    u64 at = (u64)row * g.ldc + col;
    float t = g.c[at];
    if (!is_short(g.activation)) t = activate(g.activation, g.parameter, t);
    if (g.saved && !has_short_derivative(g)) t *= derivative(g.derivative, g.derivative_parameter, g.saved[at]);
    g.c[at] = t;
}

// Stores a thread's sums, row by row in a loop that stays one: rows move up through the registers, so that the code is there
// once and not TM times. CHUNK: how many columns in a row of C are neighbours; 4 are stored at once where 16 bytes allow it.
template <int CHUNK, int TM, int TN, typename Row, typename Col>
inline void store_sums(const Gemm& g, float (&sums)[TM][TN], Row row_of, Col col_of) {
    Finish finish(g);
    bool wide = CHUNK == 4 && g.ldc % 4 == 0 && aligned16(g.c) && aligned16(g.input) && aligned16(g.saved);
#pragma unroll 1
    for (int i = 0; i < TM; i++) {
        u32 row = row_of(i);
#pragma unroll
        for (int j = 0; j < TN; j += CHUNK) {
            if (wide && row < g.m && col_of(j) + 4 <= g.n) {
                finish.store4(g, row, col_of(j), &sums[0][j]);
            } else {
#pragma unroll
                for (int e = j; e < j + CHUNK; e++) finish.store(g, row, col_of(e), sums[0][e]);
            }
        }
#pragma unroll
        for (int r = 0; r + 1 < TM; r++)
            for (int j = 0; j < TN; j++) sums[r][j] = sums[r + 1][j];
    }
    if (!has_long_functions(g)) return;
#pragma unroll 1
    for (int e = 0; e < TM * TN; e++) long_functions(g, row_of(e / TN), col_of(e % TN));
}
