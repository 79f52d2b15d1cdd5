// Sums over rows, for each column, and batch normalisation, which is made of them. `kernels/src/columns.rs` has the formulas.
//
// Sums are deterministic: there are no float atomics. A block has 32 columns and `rows_per_block` rows; thread (x, y) of 32 x 8 adds
// every eighth of them, the block adds its 8 sums in their order, `column_finish` the blocks in theirs.
//
//   partials: one row of `cols` sums for each block of rows
#include "prims.cuh"

// f(row, column) summed over a block's rows.
template <typename F> inline void column_partials(u32 rows, u32 cols, u32 rows_per_block, float* partials, F f) {
    // 33: thread (x, 0) reads down a column.
    __shared__ float room[8][33];
    u32 tiles = (cols + 31) / 32, part = blockIdx.x / tiles, x = threadIdx.x % 32, y = threadIdx.x / 32;
    u32 col = blockIdx.x % tiles * 32 + x;
    u64 begin = (u64)part * rows_per_block, end = begin + rows_per_block < rows ? begin + rows_per_block : rows;
    float sum = 0.0f;
    if (col < cols)
        for (u64 i = begin + y; i < end; i += 8) sum += f(i, col);
    room[y][x] = sum;
    __syncthreads();
    if (y != 0 || col >= cols) return;
    for (int other = 1; other < 8; other++) sum += room[other][x];
    partials[(u64)part * cols + col] = sum;
}

KERNEL(256) column_sum(u32 rows, u32 cols, u32 rows_per_block, const float* x, float* partials) {
    column_partials(rows, cols, rows_per_block, partials, [=](u64 i, u32 j) { return x[i * cols + j]; });
}
KERNEL(256) column_dot(u32 rows, u32 cols, u32 rows_per_block, const float* a, const float* b, float* partials) {
    column_partials(rows, cols, rows_per_block, partials, [=](u64 i, u32 j) { return a[i * cols + j] * b[i * cols + j]; });
}
KERNEL(256)
column_squares(u32 rows, u32 cols, u32 rows_per_block, const float* x, const float* mean, float* partials) {
    column_partials(rows, cols, rows_per_block, partials, [=](u64 i, u32 j) {
        float d = x[i * cols + j] - mean[j];
        return d * d;
    });
}

// fresh = factor * the sum over `parts` rows of partials; total = fresh + accumulate * total. Either may be missing.
KERNEL(256)
column_finish(u32 parts, u32 cols, const float* partials, float factor, const float* accumulate, float* total, float* fresh) {
    for (u64 j = first_index(); j < cols; j += index_step()) {
        float sum = 0.0f;
        for (u32 part = 0; part < parts; part++) sum += partials[(u64)part * cols + j];
        sum *= factor;
        if (fresh) fresh[j] = sum;
        if (total) {
            float keep = *accumulate;
            // Not 0 times what is there, which may be NaN.
            total[j] = keep == 0.0f ? sum : sum + keep * total[j];
        }
    }
}

// In training: the running mean and variance move by 0.1 towards the batch's, which lie in `mean` and `scale`; then scale becomes
// 1 / sqrt(variance + eps). Else both are taken from the running ones.
KERNEL(256)
batch_norm_statistics(u32 rows, u32 cols, u32 training, float momentum, float epsilon, float* mean, float* scale,
                      float* running_mean, float* running_variance, float* batches) {
    for (u64 j = first_index(); j < cols; j += index_step()) {
        float variance = scale[j];
        if (training) {
            running_mean[j] += momentum * (mean[j] - running_mean[j]);
            // One row has no unbiased variance.
            if (rows > 1) {
                float unbiased = variance * ((float)rows / (float)(rows - 1));
                running_variance[j] += momentum * (unbiased - running_variance[j]);
            }
            if (j == 0) *batches += 1.0f;
        } else {
            mean[j] = running_mean[j];
            variance = running_variance[j];
        }
        scale[j] = 1.0f / sqrtf(variance + epsilon);
    }
}

// normal = (x - mean) scale, out = gamma normal + beta. A block takes a row at a time.
KERNEL(256)
batch_norm(u32 rows, u32 cols, const float* x, const float* mean, const float* scale, const float* gamma,
           const float* beta, float* normal, float* out) {
    for (u32 i = blockIdx.x; i < rows; i += gridDim.x)
        for (u32 j = threadIdx.x; j < cols; j += blockDim.x) {
            u64 at = (u64)i * cols + j;
            float v = (x[at] - mean[j]) * scale[j];
            normal[at] = v;
            out[at] = gamma[j] * v + beta[j];
        }
}

// dx = gamma scale (dy - mean of dy - normal times the mean of dy normal); the means come as sums over the rows.
KERNEL(256)
batch_norm_backward(u32 rows, u32 cols, const float* dy, const float* normal, const float* scale, const float* gamma,
                    const float* sum_dy, const float* sum_product, float* dx) {
    float share = 1.0f / (float)rows;
    for (u32 i = blockIdx.x; i < rows; i += gridDim.x)
        for (u32 j = threadIdx.x; j < cols; j += blockDim.x) {
            u64 at = (u64)i * cols + j;
            dx[at] = gamma[j] * scale[j] * (dy[at] - share * sum_dy[j] - normal[at] * (share * sum_product[j]));
        }
}
