// Step 7 of the ladder: tiles on their way to shared memory without passing through registers (cp.async). Operands whose leading
// dimension is no multiple of 4, or whose neighbours in memory are neighbours in k, are copied 4 bytes at a time.
//
// | kernel | tile | stages | threads | shared bytes |
// |---|---|---|---|---|
// | async | 64 x 64 x 16 | 4 | 128 | 34,816 |
// | warps_async | 128 x 128 x 8 | 4 | 128 | 33,792 |
#include "pipeline.cuh"

template <bool TA, bool TB> inline void async(const Gemm g) {
    using P = Pipeline<TA, TB, 64, 64, 16, 4, 4, 128>;
    __shared__ __align__(16) float a_tile[4][P::floats_a], b_tile[4][P::floats_b];
    Corner c = corner<64, 64>(g);
    Sums<8, 4, 8, 16> sums(threadIdx.x, 0, 0);
    P pipeline{a_tile, b_tile, source_a(g, c.row), source_b(g, c.col)};
    pipeline.run(g.k, [&](const float* a, const float* b) { sums.add<16, 68, 68>(a, b); });
    sums.finish(g, c);
}

template <bool TA, bool TB> inline void warps_async(const Gemm g) {
    using P = Pipeline<TA, TB, 128, 128, 8, 4, 4, 128>;
    __shared__ __align__(16) float a_tile[4][P::floats_a], b_tile[4][P::floats_b];
    Corner c = corner<128, 128>(g);
    int warp = threadIdx.x / 32;
    Sums<8, 16, 8, 4> sums(threadIdx.x % 32, warp / 2 * 64, warp % 2 * 64);
    P pipeline{a_tile, b_tile, source_a(g, c.row), source_b(g, c.col)};
    pipeline.run(g.k, [&](const float* a, const float* b) { sums.add<8, 132, 132>(a, b); });
    sums.finish(g, c);
}

GEMM_KERNELS(sgemm_async, 128, async)
GEMM_KERNELS(sgemm_warps_async, 128, warps_async)
