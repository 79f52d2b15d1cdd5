// Tiles of an operand in shared memory, and the products of their columns.
//
// A tile of A is BK x BM, a tile of B BK x BN: one row of shared memory for each k, so that the inner loop reads
// neighbours. To a loader both operands are the same: "outer" counts rows of op(A) or columns of op(B), "depth" is k. Where
// `along_depth`, neighbours in memory are neighbours in depth (A as it lies, B transposed), else in outer.
//
// A row of shared memory is PAD floats longer than the tile is wide. Without them the 4-byte stores of `along_depth`, a
// warp's 8 depths x 4 outers, would all meet in 4 banks; with PAD = 4 bank 4 d + o is another for each.
#pragma once
#include "gemm.cuh"

template <int OUTER, int BK, int PAD> struct Tile {
    static constexpr int stride = OUTER + PAD;
    static constexpr int floats = BK * stride;
};

// An operand as a loader sees it: depth x outer, of which the tile begins at `outer`.
struct Source {
    const float* data;
    u32 ld, outers, depths, outer;
    // Whether 16-byte accesses are allowed.
    bool wide;
};

inline Source source_a(const Gemm& g, u32 row) {
    return {g.a, g.lda, g.m, g.k, row, g.lda % 4 == 0 && aligned16(g.a)};
}
inline Source source_b(const Gemm& g, u32 col) {
    return {g.b, g.ldb, g.n, g.k, col, g.ldb % 4 == 0 && aligned16(g.b)};
}

// Where element (outer o, depth d) lies.
template <bool along_depth> inline const float* element(const Source& s, u32 o, u32 d) {
    return s.data + (along_depth ? (u64)o * s.ld + d : (u64)d * s.ld + o);
}

// Place of copy `i` of 4 bytes within the tile.
template <bool along_depth, int OUTER> inline void place1(int i, int& o, int& d) {
    if (along_depth) {
        // 8 depths are a sector of 32 bytes; 4 outers beside them fill a warp.
        d = i % 8 + i / (8 * OUTER) * 8;
        o = i / 8 % OUTER;
    } else {
        o = i % OUTER;
        d = i / OUTER;
    }
}

// Place of the first of four neighbours in memory: neighbours in depth, or in outer.
template <bool along_depth, int OUTER> inline void place4(int i, int& o, int& d) {
    if (along_depth) {
        d = (i % 2 + i / (2 * OUTER) * 2) * 4;
        o = i / 2 % OUTER;
    } else {
        o = i * 4 % OUTER;
        d = i * 4 / OUTER;
    }
}

// A thread's share of a tile, held in registers between its way from global and its way to shared memory.
template <bool along_depth, int OUTER, int BK, int PAD, int THREADS> struct Held {
    static constexpr int count = OUTER * BK / THREADS / 4;
    float x[count][4];

    inline void load(const Source& s, u32 depth) {
#pragma unroll
        for (int r = 0; r < count; r++) {
            int o, d;
            place4<along_depth, OUTER>(r * THREADS + threadIdx.x, o, d);
            u32 outer = s.outer + o, at = depth + d;
            // How many of the four are within the operand.
            int inside = along_depth ? (outer < s.outers ? (int)(s.depths - at) : 0) : (at < s.depths ? (int)(s.outers - outer) : 0);
            const float* from = element<along_depth>(s, outer, at);
            if (s.wide && inside >= 4) {
                float4 v = load4(from);
                x[r][0] = v.x, x[r][1] = v.y, x[r][2] = v.z, x[r][3] = v.w;
            } else {
#pragma unroll
                for (int j = 0; j < 4; j++) x[r][j] = j < inside ? from[j] : 0.0f;
            }
        }
    }

    inline void store(float* tile) const {
#pragma unroll
        for (int r = 0; r < count; r++) {
            int o, d;
            place4<along_depth, OUTER>(r * THREADS + threadIdx.x, o, d);
            float* to = tile + d * (OUTER + PAD) + o;
            if (along_depth) {
#pragma unroll
                for (int j = 0; j < 4; j++) to[j * (OUTER + PAD)] = x[r][j];
            } else {
                store4(to, make_float4(x[r][0], x[r][1], x[r][2], x[r][3]));
            }
        }
    }
};

#if __CUDA_ARCH__ >= 800

// The same in the background, without registers between.
template <bool along_depth, int OUTER, int BK, int PAD, int THREADS>
inline void copy_tile(float* tile, const Source& s, u32 depth) {
    if (!along_depth && s.wide) {
        for (int i = threadIdx.x; i < OUTER * BK / 4; i += THREADS) {
            int o, d;
            place4<false, OUTER>(i, o, d);
            u32 left = s.outer + o < s.outers && depth + d < s.depths ? min(4u, s.outers - s.outer - o) : 0;
            // Where nothing is to be read the address is one that may be read.
            const float* from = left ? element<along_depth>(s, s.outer + o, depth + d) : s.data;
            copy_async16(tile + d * (OUTER + PAD) + o, from, left * 4);
        }
    } else {
        for (int i = threadIdx.x; i < OUTER * BK; i += THREADS) {
            int o, d;
            place1<along_depth, OUTER>(i, o, d);
            bool inside = s.outer + o < s.outers && depth + d < s.depths;
            const float* from = inside ? element<along_depth>(s, s.outer + o, depth + d) : s.data;
            copy_async4(tile + d * (OUTER + PAD) + o, from, inside ? 4 : 0);
        }
    }
}

#endif

// A thread's TM x TN sums. Its rows are chunks of 4 that lie LM * 4 apart, its columns chunks of 4 that lie LN * 4 apart:
// the LM x LN threads of a warp, or of a block, then read neighbours.
template <int TM, int TN, int LM, int LN> struct Sums {
    float x[TM][TN] = {};
    int row, col;

    // For thread `lane` of LM x LN.
    inline Sums(int lane, int first_row, int first_col) : row(first_row + lane / LN * 4), col(first_col + lane % LN * 4) {}

    inline int row_of(int i) const { return row + i / 4 * (LM * 4) + i % 4; }
    inline int col_of(int j) const { return col + j / 4 * (LN * 4) + j % 4; }

    // sums += the product of the tiles' BK columns and rows.
    template <int BK, int STRIDE_A, int STRIDE_B> inline void add(const float* a, const float* b) {
        // Not all BK: a long loop body is no help, and makes long PTX.
#pragma unroll 4
        for (int d = 0; d < BK; d++) {
            float u[TM], v[TN];
            for (int i = 0; i < TM; i += 4) {
                float4 w = load4(a + d * STRIDE_A + row_of(i));
                u[i] = w.x, u[i + 1] = w.y, u[i + 2] = w.z, u[i + 3] = w.w;
            }
            for (int j = 0; j < TN; j += 4) {
                float4 w = load4(b + d * STRIDE_B + col_of(j));
                v[j] = w.x, v[j + 1] = w.y, v[j + 2] = w.z, v[j + 3] = w.w;
            }
            for (int i = 0; i < TM; i++)
                for (int j = 0; j < TN; j++) x[i][j] += u[i] * v[j];
        }
    }

    inline void finish(const Gemm& g, Corner c) {
        store_sums<4>(g, x, [=](int i) { return c.row + row_of(i); }, [=](int j) { return c.col + col_of(j); });
    }
};
