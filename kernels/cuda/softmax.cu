// Functions of whole rows: softmax, its logarithm, and cross-entropy with its gradient. `kernels/src/loss.rs` has the formulas.
//
// A row belongs to a warp (`_warp`, four rows a block: short rows) or to a block of 256 (`_block`: rows of more than 1,024). It is
// read for its maximum, for the sum of exponentials, and for the result: from the caches but for the first time.
//
// A NaN in a row makes the sum of its exponentials NaN, and with it all that is written for the row.
#include "prims.cuh"

// The threads that share a row.
template <bool block> struct Team {
    float* room;

    inline u32 row() const { return block ? blockIdx.x : blockIdx.x * 4 + threadIdx.x / 32; }
    inline u32 first() const { return block ? threadIdx.x : threadIdx.x % 32; }
    inline u32 step() const { return block ? blockDim.x : 32; }
    inline float sum(float x) const { return block ? block_sum(x, room) : warp_sum(x); }
    inline float max(float x) const { return block ? block_max(x, room) : warp_max(x); }
};

// A row's maximum and the sum of exp(x - maximum).
struct Sum {
    float top, sum;
    template <typename T> inline Sum(const T& team, const float* x, u32 n) : top(-infinity()), sum(0.0f) {
        for (u32 j = team.first(); j < n; j += team.step()) top = fmaxf(top, x[j]);
        top = team.max(top);
        for (u32 j = team.first(); j < n; j += team.step()) sum += expf(x[j] - top);
        sum = team.sum(sum);
    }
};

template <typename T> inline void softmax(const T& team, u32 rows, u32 n, const float* x, float* y) {
    if (team.row() >= rows) return;
    u64 begin = (u64)team.row() * n;
    Sum s(team, x + begin, n);
    for (u32 j = team.first(); j < n; j += team.step()) y[begin + j] = expf(x[begin + j] - s.top) / s.sum;
}

template <typename T> inline void log_softmax(const T& team, u32 rows, u32 n, const float* x, float* y) {
    if (team.row() >= rows) return;
    u64 begin = (u64)team.row() * n;
    Sum s(team, x + begin, n);
    float log_sum = logf(s.sum);
    for (u32 j = team.first(); j < n; j += team.step()) y[begin + j] = (x[begin + j] - s.top) - log_sum;
}

struct Loss {
    u32 rows, n;
    const float* logits;
    const u8* labels;
    float smoothing;
    const float* scale;
    float* losses;
    // None for the losses alone.
    float* gradient;
};

template <typename T> inline void cross_entropy(const T& team, const Loss l) {
    u32 row = team.row(), n = l.n;
    if (row >= l.rows) return;
    const float* x = l.logits + (u64)row * n;
    Sum s(team, x, n);
    u32 label = l.labels[row];
    float even = l.smoothing / (float)n, loss = logf(s.sum) + (1.0f - l.smoothing) * (s.top - x[label]);
    if (l.smoothing != 0.0f) {
        float below = 0.0f;
        for (u32 j = team.first(); j < n; j += team.step()) below += s.top - x[j];
        loss += even * team.sum(below);
    }
    if (team.first() == 0) l.losses[row] = loss;
    if (!l.gradient) return;
    float* gradient = l.gradient + (u64)row * n;
    float scale = *l.scale;
    for (u32 j = team.first(); j < n; j += team.step()) {
        float target = even + (j == label ? 1.0f - l.smoothing : 0.0f);
        gradient[j] = scale * (expf(x[j] - s.top) / s.sum - target);
    }
}

KERNEL(128) softmax_warp(u32 rows, u32 n, const float* x, float* y) { softmax(Team<false>{}, rows, n, x, y); }
KERNEL(256) softmax_block(u32 rows, u32 n, const float* x, float* y) {
    __shared__ float room[8];
    softmax(Team<true>{room}, rows, n, x, y);
}
KERNEL(128) log_softmax_warp(u32 rows, u32 n, const float* x, float* y) { log_softmax(Team<false>{}, rows, n, x, y); }
KERNEL(256) log_softmax_block(u32 rows, u32 n, const float* x, float* y) {
    __shared__ float room[8];
    log_softmax(Team<true>{room}, rows, n, x, y);
}

#define LOSS_PARAMETERS                                                                                                \
    u32 rows, u32 n, const float *logits, const u8 *labels, float smoothing, const float *scale, float *losses,        \
        float *gradient
#define LOSS_ARGUMENTS                                                                                                 \
    Loss { rows, n, logits, labels, smoothing, scale, losses, gradient }

KERNEL(128) softmax_cross_entropy_warp(LOSS_PARAMETERS) { cross_entropy(Team<false>{}, LOSS_ARGUMENTS); }
KERNEL(256) softmax_cross_entropy_block(LOSS_PARAMETERS) {
    __shared__ float room[8];
    cross_entropy(Team<true>{room}, LOSS_ARGUMENTS);
}
