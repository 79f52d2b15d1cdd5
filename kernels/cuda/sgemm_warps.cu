// Step 6 of the ladder: tiles of warps between those of the block and those of the threads.
//
// A block of 4 warps has a tile of 128 x 128, a warp 64 x 64 of it, a thread 8 x 16. For each k a warp reads 64 + 64 floats of shared
// memory for 4,096 FMAs, a thread 2 + 4 times 16 bytes for 128: lanes of one row read the same, so nothing meets in a bank.
// Buffered twice through registers as in step 5; `sgemm_async.cu` has the same with cp.async.
//
// Registers: 128 sums, 24 of the column and row, 16 under way. Shared: 4 x 8 x 132 floats = 16,896 bytes.
#include "tile.cuh"

template <bool TA, bool TB> inline void warps(const Gemm g) {
    constexpr int floats = Tile<128, 8, 4>::floats;
    __shared__ __align__(16) float a_tile[2][floats], b_tile[2][floats];
    Corner c = corner<128, 128>(g);
    Source a = source_a(g, c.row), b = source_b(g, c.col);
    int warp = threadIdx.x / 32;
    Sums<8, 16, 8, 4> sums(threadIdx.x % 32, warp / 2 * 64, warp % 2 * 64);
    Held<!TA, 128, 8, 4, 128> next_a;
    Held<TB, 128, 8, 4, 128> next_b;
    next_a.load(a, 0);
    next_b.load(b, 0);
    next_a.store(a_tile[0]);
    next_b.store(b_tile[0]);
    __syncthreads();
    for (u32 depth = 0, now = 0; depth < g.k; depth += 8, now ^= 1) {
        bool more = depth + 8 < g.k;
        if (more) {
            next_a.load(a, depth + 8);
            next_b.load(b, depth + 8);
        }
        sums.add<8, 132, 132>(a_tile[now], b_tile[now]);
        if (more) {
            next_a.store(a_tile[now ^ 1]);
            next_b.store(b_tile[now ^ 1]);
        }
        __syncthreads();
    }
    sums.finish(g, c);
}

GEMM_KERNELS(sgemm_warps, 128, warps)
