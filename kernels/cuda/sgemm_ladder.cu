// The product in steps, each one idea. Signature, grid and epilogue are those of gemm.cuh; `docs/cuda.md` walks through it.
//
// | kernel | idea | tile | threads | shared floats |
// |---|---|---|---|---|
// | naive | one thread, one element | 16 x 16 | 256 | 0 |
// | tiles | a block shares what it reads | 16 x 16 x 16 | 256 | 2 x 16 x 17 |
// | registers | a thread keeps 4 x 4 sums | 64 x 64 x 16 | 256 | 2 x 16 x 65 |
// | vectors | 16 bytes at once; 8 x 8 sums | 128 x 128 x 8 | 256 | 2 x 8 x 132 |
// | double | the next tiles are under way in registers | 64 x 64 x 16 | 128 | 4 x 16 x 68 |
#include "tile.cuh"

// Step 1: every element's two rows of operands come from global memory, k times 2 loads for k FMAs.
template <bool TA, bool TB> inline void naive(const Gemm g) {
    Corner c = corner<16, 16>(g);
    u32 row = c.row + threadIdx.x / 16, col = c.col + threadIdx.x % 16;
    if (row >= g.m || col >= g.n) return;
    Source a = source_a(g, 0), b = source_b(g, 0);
    float sum = 0.0f;
    for (u32 d = 0; d < g.k; d++) sum += *element<!TA>(a, row, d) * *element<TB>(b, col, d);
    Finish(g).store(g, row, col, sum);
    if (has_long_functions(g)) long_functions(g, row, col);
}

// Step 2: 16 x 16 elements of each operand are read once by the block and used 16 times.
template <bool TA, bool TB> inline void tiles(const Gemm g) {
    // One float more in a row: threads that read down a column meet no bank twice.
    __shared__ float a_tile[16][17], b_tile[16][17];
    Corner c = corner<16, 16>(g);
    u32 y = threadIdx.x / 16, x = threadIdx.x % 16;
    Source a = source_a(g, c.row), b = source_b(g, c.col);
    float sum = 0.0f;
    for (u32 depth = 0; depth < g.k; depth += 16) {
        // Neighbouring threads read neighbours in memory, whichever way the operand lies.
        u32 oa = TA ? x : y, da = TA ? y : x, ob = TB ? y : x, db = TB ? x : y;
        a_tile[oa][da] = a.outer + oa < a.outers && depth + da < g.k ? *element<!TA>(a, a.outer + oa, depth + da) : 0.0f;
        b_tile[db][ob] = b.outer + ob < b.outers && depth + db < g.k ? *element<TB>(b, b.outer + ob, depth + db) : 0.0f;
        __syncthreads();
        for (int d = 0; d < 16; d++) sum += a_tile[y][d] * b_tile[d][x];
        __syncthreads();
    }
    Finish(g).store(g, c.row + y, c.col + x, sum);
    if (has_long_functions(g)) long_functions(g, c.row + y, c.col + x);
}

// Step 3: a thread keeps 4 x 4 sums, so 8 reads of shared memory serve 16 FMAs.
template <bool TA, bool TB> inline void registers(const Gemm g) {
    __shared__ float a_tile[16][65], b_tile[16][65];
    Corner c = corner<64, 64>(g);
    int y = threadIdx.x / 16, x = threadIdx.x % 16;
    Source a = source_a(g, c.row), b = source_b(g, c.col);
    float sums[4][4] = {};
    for (u32 depth = 0; depth < g.k; depth += 16) {
        for (int i = threadIdx.x; i < 64 * 16; i += 256) {
            int o, d;
            place1<!TA, 64>(i, o, d);
            a_tile[d][o] = a.outer + o < a.outers && depth + d < g.k ? *element<!TA>(a, a.outer + o, depth + d) : 0.0f;
            place1<TB, 64>(i, o, d);
            b_tile[d][o] = b.outer + o < b.outers && depth + d < g.k ? *element<TB>(b, b.outer + o, depth + d) : 0.0f;
        }
        __syncthreads();
        for (int d = 0; d < 16; d++) {
            float u[4], v[4];
            for (int i = 0; i < 4; i++) u[i] = a_tile[d][y + 16 * i], v[i] = b_tile[d][x + 16 * i];
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) sums[i][j] += u[i] * v[j];
        }
        __syncthreads();
    }
    store_sums<1>(g, sums, [=](int i) { return c.row + y + 16 * i; }, [=](int j) { return c.col + x + 16 * j; });
}

// Step 4: 16 bytes at once wherever operands allow it, and 8 x 8 sums: 4 wide reads of shared memory serve 64 FMAs.
template <bool TA, bool TB> inline void vectors(const Gemm g) {
    __shared__ __align__(16) float a_tile[Tile<128, 8, 4>::floats], b_tile[Tile<128, 8, 4>::floats];
    Corner c = corner<128, 128>(g);
    Source a = source_a(g, c.row), b = source_b(g, c.col);
    Sums<8, 8, 16, 16> sums(threadIdx.x, 0, 0);
    for (u32 depth = 0; depth < g.k; depth += 8) {
        Held<!TA, 128, 8, 4, 256> next_a;
        Held<TB, 128, 8, 4, 256> next_b;
        next_a.load(a, depth);
        next_b.load(b, depth);
        next_a.store(a_tile);
        next_b.store(b_tile);
        __syncthreads();
        sums.add<8, 132, 132>(a_tile, b_tile);
        __syncthreads();
    }
    sums.finish(g, c);
}

// Step 5: two tiles of each operand. While one is multiplied the next is on its way to registers, and one barrier is
// enough: nobody writes what another still reads.
template <bool TA, bool TB> inline void double_buffered(const Gemm g) {
    constexpr int floats = Tile<64, 16, 4>::floats;
    __shared__ __align__(16) float a_tile[2][floats], b_tile[2][floats];
    Corner c = corner<64, 64>(g);
    Source a = source_a(g, c.row), b = source_b(g, c.col);
    Sums<8, 4, 8, 16> sums(threadIdx.x, 0, 0);
    Held<!TA, 64, 16, 4, 128> next_a;
    Held<TB, 64, 16, 4, 128> next_b;
    next_a.load(a, 0);
    next_b.load(b, 0);
    next_a.store(a_tile[0]);
    next_b.store(b_tile[0]);
    __syncthreads();
    for (u32 depth = 0, now = 0; depth < g.k; depth += 16, now ^= 1) {
        bool more = depth + 16 < g.k;
        if (more) {
            next_a.load(a, depth + 16);
            next_b.load(b, depth + 16);
        }
        sums.add<16, 68, 68>(a_tile[now], b_tile[now]);
        if (more) {
            next_a.store(a_tile[now ^ 1]);
            next_b.store(b_tile[now ^ 1]);
        }
        __syncthreads();
    }
    sums.finish(g, c);
}

GEMM_KERNELS(sgemm_naive, 256, naive)
GEMM_KERNELS(sgemm_tiles, 256, tiles)
GEMM_KERNELS(sgemm_registers, 256, registers)
GEMM_KERNELS(sgemm_vectors, 256, vectors)
GEMM_KERNELS(sgemm_double, 128, double_buffered)
