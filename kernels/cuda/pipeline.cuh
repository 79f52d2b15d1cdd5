// Several stages of tiles, filled by cp.async while others are multiplied. compute_80 and later.
#pragma once
#include "tile.cuh"

// Calls multiply(a, b) for each tile of k in its turn. STAGES - 1 tiles are under way at any time. Each step commits a group,
// an empty one behind the last tile, so that waiting for all but STAGES - 2 always means: this step's tile is there.
template <bool TA, bool TB, int BM, int BN, int BK, int PAD, int STAGES, int THREADS> struct Pipeline {
    static constexpr int floats_a = Tile<BM, BK, PAD>::floats, floats_b = Tile<BN, BK, PAD>::floats;
    float (*a_tile)[floats_a];
    float (*b_tile)[floats_b];
    Source a, b;

    inline void fill(u32 step, u32 k) {
        if (step * BK < k) {
            copy_tile<!TA, BM, BK, PAD, THREADS>(a_tile[step % STAGES], a, step * BK);
            copy_tile<TB, BN, BK, PAD, THREADS>(b_tile[step % STAGES], b, step * BK);
        }
        commit_copies();
    }

    template <typename F> inline void run(u32 k, F multiply) {
        for (u32 step = 0; step < STAGES - 1; step++) fill(step, k);
        u32 steps = (k + BK - 1) / BK;
#pragma unroll 1
        for (u32 step = 0; step < steps; step++) {
            wait_copies<STAGES - 2>();
            // Everybody's copies are there, and everybody is done with the stage that is filled next.
            __syncthreads();
            fill(step + STAGES - 1, k);
            multiply(a_tile[step % STAGES], b_tile[step % STAGES]);
        }
    }
};
