// What is done row by row: loading a batch, bias, dropout, targets and their losses, the largest column, and sums into metrics.
// In the kernels of 256 threads over rows and columns a block takes a row, its threads the columns; the grid walks over the rows.
#include "functions.cuh"

// f(row, column) for every element.
template <typename F> inline void each(u32 rows, u32 cols, F f) {
    for (u32 i = blockIdx.x; i < rows; i += gridDim.x)
        for (u32 j = threadIdx.x; j < cols; j += blockDim.x) f(i, j);
}

// out = scale * rows of bytes; without indices row i is row i.
KERNEL(256) gather_bytes(u32 rows, u32 cols, const u8* bytes, const u32* indices, float scale, float* out) {
    if (cols % 4 == 0) {
        // Four bytes are one read. Both arrays begin on 16 bytes.
        each(rows, cols / 4, [=](u32 i, u32 j) {
            u64 row = indices ? indices[i] : i;
            u32 four = *(const u32*)(bytes + row * cols + j * 4);
            store4(out + (u64)i * cols + j * 4, make_float4(scale * (float)(four & 255), scale * (float)(four >> 8 & 255),
                                                            scale * (float)(four >> 16 & 255), scale * (float)(four >> 24)));
        });
        return;
    }
    each(rows, cols, [=](u32 i, u32 j) {
        u64 row = indices ? indices[i] : i;
        out[(u64)i * cols + j] = scale * (float)bytes[row * cols + j];
    });
}

KERNEL(256) gather_reals(u32 rows, u32 cols, const float* values, const u32* indices, float* out) {
    each(rows, cols, [=](u32 i, u32 j) {
        u64 row = indices ? indices[i] : i;
        out[(u64)i * cols + j] = values[row * cols + j];
    });
}

KERNEL(256) gather_labels(u32 rows, const u8* labels, const u32* indices, u8* out) {
    for (u64 i = first_index(); i < rows; i += index_step()) out[i] = labels[indices ? indices[i] : i];
}

// One-hot rows; a single column is the label itself.
KERNEL(256) targets(u32 rows, u32 cols, const u8* labels, float* out) {
    each(rows, cols, [=](u32 i, u32 j) {
        u32 label = labels[i];
        out[(u64)i * cols + j] = cols == 1 ? (float)label : (j == label ? 1.0f : 0.0f);
    });
}

KERNEL(256) add_bias(u32 rows, u32 cols, const float* bias, float* x) {
    each(rows, cols, [=](u32 i, u32 j) { x[(u64)i * cols + j] += bias[j]; });
}

inline u64 mix(u64 z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

// `kernels/src/dropout.rs` has the method; key: what seed, step and layer were mixed to, and the row of the whole batch that
// row 0 is.
KERNEL(256) dropout(u32 rows, u32 cols, const u64* key, u32 threshold, float factor, const float* x, float* out) {
    const u64 golden = 0x9e3779b97f4a7c15ull;
    u64 base = key[0] + golden, first_row = key[1];
    each(rows, cols, [=](u32 i, u32 j) {
        u64 row_key = mix(base ^ (first_row + i) * golden);
        u32 h = j * 0x9e3779b9u ^ (u32)row_key;
        h = (h ^ h >> 16) * 0x21f0aaadu;
        h = ((h ^ h >> 15) + (u32)(row_key >> 32)) * 0x735a2d97u;
        h = h ^ h >> 15;
        u64 at = (u64)i * cols + j;
        out[at] = h >= threshold ? x[at] * factor : 0.0f;
    });
}

enum TargetLoss { SQUARED_ERROR, BINARY_CROSS_ENTROPY };

// losses = the mean over a row, gradient (unless there is none) = scale / cols times the derivative. A warp a row.
KERNEL(128)
target_loss(u32 rows, u32 cols, u32 loss, const float* outputs, const float* targets, const float* scale, float* losses,
            float* gradient) {
    u32 row = blockIdx.x * 4 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    float by = gradient ? *scale / (float)cols : 0.0f, sum = 0.0f;
    for (u32 j = lane; j < cols; j += 32) {
        u64 at = (u64)row * cols + j;
        float x = outputs[at], t = targets[at], slope;
        if (loss == SQUARED_ERROR) {
            sum += (x - t) * (x - t);
            slope = 2.0f * (x - t);
        } else {
            sum += (fmaxf(x, 0.0f) - x * t) + log1pf(expf(-fabsf(x)));
            slope = sigmoid(x) - t;
        }
        if (gradient) gradient[at] = by * slope;
    }
    sum = warp_sum(sum);
    if (lane == 0) losses[row] = sum / (float)cols;
}

// The column of the largest element: the first of equals; NaN is passed over, a row of NaN gives 0. A warp a row.
KERNEL(128) row_argmax(u32 rows, u32 cols, const float* x, u32* out) {
    u32 row = blockIdx.x * 4 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    float best = -infinity();
    // No column yet: above every other, so that any beats it.
    u32 place = EVERY_LANE;
    for (u32 j = lane; j < cols; j += 32) {
        float v = x[(u64)row * cols + j];
        if (v > best || (v == best && place == EVERY_LANE)) best = v, place = j;
    }
    for (int step = 16; step > 0; step >>= 1) {
        float v = __shfl_xor_sync(EVERY_LANE, best, step);
        u32 p = __shfl_xor_sync(EVERY_LANE, place, step);
        if (v > best || (v == best && p < place)) best = v, place = p;
    }
    if (lane == 0) out[row] = place == EVERY_LANE ? 0 : place;
}

// Sums into one place, by one block of 1,024: the order is always the same.
template <typename T, typename F> inline T sum_over(u64 n, F f) {
    __shared__ T room[32];
    T sum = 0;
    for (u64 i = threadIdx.x; i < n; i += blockDim.x) sum += f(i);
    return block_sum(sum, room);
}

KERNEL(1024) add_sum(u64 n, const float* x, double* metric) {
    double sum = sum_over<double>(n, [=](u64 i) { return (double)x[i]; });
    if (threadIdx.x == 0) *metric += sum;
}
KERNEL(1024) add_squares(u64 n, const float* x, double* metric) {
    double sum = sum_over<double>(n, [=](u64 i) { return (double)x[i] * (double)x[i]; });
    if (threadIdx.x == 0) *metric += sum;
}
KERNEL(1024) add_matches(u64 n, const u32* indices, const u8* labels, double* metric) {
    u32 count = sum_over<u32>(n, [=](u64 i) { return indices[i] == labels[i] ? 1u : 0u; });
    if (threadIdx.x == 0) *metric += (double)count;
}

// slope = the sum of dy df/dp + accumulate slope, p being the learned parameter of an activation.
KERNEL(1024)
parameter_gradient(u64 n, u32 function, const float* parameter, const float* x, const float* dy, const float* accumulate,
                   float* slope) {
    float p = *parameter, keep = *accumulate;
    float sum = sum_over<float>(n, [=](u64 i) { return dy[i] * derivative_by_parameter(function, p, x[i]); });
    // Not 0 times what is there, which may be NaN.
    if (threadIdx.x == 0) *slope = keep == 0.0f ? sum : sum + keep * *slope;
}
