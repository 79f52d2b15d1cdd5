// Products on tensor cores, f32 in and out: tf32 and bf16 operands, f32 sums. compute_80 and later.
//
// A block of 4 warps has a tile of 128 x 64, a warp 64 x 32 of it: 4 x 4 tiles of mma.sync; for tf32x3, whose fragments are two each,
// 64 x 64 and 32 x 32. Rows of shared memory are 8 floats longer
// than the tile for tf32: fragment element (k = t, outer = g) lies in bank 8 t + g, another for each lane; 4 longer for bf16, where a
// lane reads k = 2t and 2t + 1: bank 8 t + g again.
//
// | kernel | operands | relative error of one product of two numbers |
// |---|---|---|
// | tf32 | rounded to 11 bits | 2^-11 each |
// | bf16 | rounded to 8 bits | 2^-8 each |
// | tf32x3 | hi + lo, each 11 bits; lo hi + hi lo + hi hi | about 2^-22 |
//
// Tensor cores cut their sums off rather than round them, so tf32x3 adds to its sums outside of them: each mma begins at 0.
//
// Shared: 3 stages of (136 + 72) x 16 floats = 39,936 bytes at most.
// Reference: H. Ootomo, R. Yokota, *Recovering single precision accuracy from Tensor Cores*, 2022 (the split, and the sums outside).
#include "pipeline.cuh"

struct Tf32 {
    static constexpr int depth = 8, pad = 8;
    // Fragments of A (16 x 8) and of B (8 x 8) from tiles with one row for each k.
    inline static void a(const float* tile, int stride, int g, int t, u32 (&f)[4]) {
        for (int r = 0; r < 4; r++) f[r] = to_tf32(tile[(t + r / 2 * 4) * stride + g + r % 2 * 8]);
    }
    inline static void b(const float* tile, int stride, int g, int t, u32 (&f)[2]) {
        for (int r = 0; r < 2; r++) f[r] = to_tf32(tile[(t + r * 4) * stride + g]);
    }
    inline static void mma(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) { mma_tf32(d, a, b); }
};

struct Bf16 {
    static constexpr int depth = 16, pad = 4;
    inline static u32 pair(const float* at, int stride) { return to_bf16x2(at[0], at[stride]); }
    inline static void a(const float* tile, int stride, int g, int t, u32 (&f)[4]) {
        for (int r = 0; r < 4; r++) f[r] = pair(tile + (2 * t + r / 2 * 8) * stride + g + r % 2 * 8, stride);
    }
    inline static void b(const float* tile, int stride, int g, int t, u32 (&f)[2]) {
        for (int r = 0; r < 2; r++) f[r] = pair(tile + (2 * t + r * 8) * stride + g, stride);
    }
    inline static void mma(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) { mma_bf16(d, a, b); }
};

// Fragments in two parts.
struct Split {
    static constexpr int depth = 8, pad = 8;
    template <int N> struct Parts {
        u32 high[N], low[N];
        inline void set(int r, float x) {
            high[r] = to_tf32(x);
            low[r] = to_tf32(x - __uint_as_float(high[r]));
        }
    };
};

// MT: tiles of mma.sync below one another in a warp.
template <bool TA, bool TB, int MT, typename Type, typename F> inline void tensor(const Gemm& g, F multiply) {
    constexpr int BM = MT * 32;
    using P = Pipeline<TA, TB, BM, 64, 16, Type::pad, 3, 128>;
    __shared__ __align__(16) float a_tile[3][P::floats_a], b_tile[3][P::floats_b];
    Corner c = corner<BM, 64>(g);
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, row = warp / 2 * MT * 16, col = warp % 2 * 32;
    // [tile of rows][tile of columns][as mma.sync gives them]
    float sums[MT][4][4] = {};
    P pipeline{a_tile, b_tile, source_a(g, c.row), source_b(g, c.col)};
    pipeline.run(g.k, [&](const float* a, const float* b) {
        // Not unrolled: fragments of two steps at once would not fit the registers of tf32x3.
#pragma unroll 1
        for (int d = 0; d < 16; d += Type::depth)
            multiply(sums, a + d * (BM + Type::pad) + row, b + d * (64 + Type::pad) + col, lane / 4, lane % 4);
    });
    // A lane's rows and columns.
    float x[MT * 2][8];
    for (int i = 0; i < MT * 2; i++)
        for (int j = 0; j < 8; j++) x[i][j] = sums[i / 2][j / 2][i % 2 * 2 + j % 2];
    u32 first_row = c.row + row + lane / 4, first_col = c.col + col + lane % 4 * 2;
    store_sums<1>(g, x, [=](int i) { return first_row + i * 8; }, [=](int j) { return first_col + j / 2 * 8 + j % 2; });
}

template <bool TA, bool TB, typename Type> inline void plain(const Gemm g) {
    tensor<TA, TB, 4, Type>(g, [](float (&sums)[4][4][4], const float* a, const float* b, int group, int t) {
        u32 u[4][4], v[4][2];
        for (int i = 0; i < 4; i++) Type::a(a + i * 16, 128 + Type::pad, group, t, u[i]);
        for (int j = 0; j < 4; j++) Type::b(b + j * 8, 64 + Type::pad, group, t, v[j]);
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) Type::mma(sums[i][j], u[i], v[j]);
    });
}
template <bool TA, bool TB> inline void tf32(const Gemm g) { plain<TA, TB, Tf32>(g); }
template <bool TA, bool TB> inline void bf16(const Gemm g) { plain<TA, TB, Bf16>(g); }

template <bool TA, bool TB> inline void tf32x3(const Gemm g) {
    tensor<TA, TB, 2, Split>(g, [](float (&sums)[2][4][4], const float* a, const float* b, int group, int t) {
        constexpr int stride = 64 + Split::pad;
        Split::Parts<2> v[4];
        for (int j = 0; j < 4; j++)
            for (int r = 0; r < 2; r++) v[j].set(r, b[(t + r * 4) * stride + j * 8 + group]);
        for (int i = 0; i < 2; i++) {
            Split::Parts<4> u;
            for (int r = 0; r < 4; r++) u.set(r, a[(t + r / 2 * 4) * stride + i * 16 + group + r % 2 * 8]);
            for (int j = 0; j < 4; j++) {
                float sum[4] = {};
                mma_tf32(sum, u.low, v[j].high);
                mma_tf32(sum, u.high, v[j].low);
                mma_tf32(sum, u.high, v[j].high);
                for (int e = 0; e < 4; e++) sums[i][j][e] += sum[e];
            }
        }
    });
}

GEMM_KERNELS(gemm_tf32, 128, tf32)
GEMM_KERNELS(gemm_bf16, 128, bf16)
GEMM_KERNELS(gemm_tf32x3, 128, tf32x3)
