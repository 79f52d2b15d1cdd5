// What the kernels share: types, inline PTX, warp sums. No other file holds inline PTX, and none includes a toolkit header.
#pragma once

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)
// One block on an SM is enough: without it the assembler for sm_100 spills a product's registers to make room for more.
#define ONE_BLOCK(threads) extern "C" __global__ void __launch_bounds__(threads, 1)
#define EVERY_LANE 0xffffffffu

// There is no header that has them.
inline float infinity() { return __int_as_float(0x7f800000); }

// A grid of one dimension walks over n elements. 64 bits: n may be above 2^32.
inline u64 first_index() { return (u64)blockIdx.x * blockDim.x + threadIdx.x; }
inline u64 index_step() { return (u64)gridDim.x * blockDim.x; }

inline float4 load4(const float* from) { return *(const float4*)from; }
inline void store4(float* to, float4 x) { *(float4*)to = x; }
inline bool aligned16(const void* p) { return ((u64)p & 15) == 0; }

// The sum over the lanes of a warp, in a fixed order, in every lane.
template <typename T> inline T warp_sum(T x) {
    for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(EVERY_LANE, x, step);
    return x;
}

inline float warp_max(float x) {
    for (int step = 16; step > 0; step >>= 1) x = fmaxf(x, __shfl_xor_sync(EVERY_LANE, x, step));
    return x;
}

// The sum over a block's threads, in a fixed order, in every thread; `room` has an element for each of its warps.
template <typename T> inline T block_sum(T x, T* room) {
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = x;
    __syncthreads();
    T sum = room[0];
    for (u32 warp = 1; warp < blockDim.x / 32; warp++) sum += room[warp];
    // Whoever uses the room next finds it read.
    __syncthreads();
    return sum;
}

inline float block_max(float x, float* room) {
    x = warp_max(x);
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = x;
    __syncthreads();
    float most = room[0];
    for (u32 warp = 1; warp < blockDim.x / 32; warp++) most = fmaxf(most, room[warp]);
    __syncthreads();
    return most;
}

inline u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

#if __CUDA_ARCH__ >= 800

// Copies 4 or 16 bytes to shared memory in the background; `bytes` of them come from `from`, the rest are 0.
inline void copy_async4(float* to, const float* from, u32 bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes) : "memory");
}
inline void copy_async16(float* to, const float* from, u32 bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes) : "memory");
}
inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most `left` of this thread's groups are under way.
template <int left> inline void wait_copies() { asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory"); }

// To tf32: 10 bits of mantissa, ties away from 0. A tensor core would cut the rest off.
inline u32 to_tf32(float x) {
    u32 y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
    return y;
}
// Two bf16 in one register, `low` in its lower half.
inline u32 to_bf16x2(float low, float high) {
    u32 y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}

// d += A B for a warp: A is 16 x 8, B 8 x 8. With g = lane / 4 and t = lane % 4 a lane holds
// A: (g, t) (g + 8, t) (g, t + 4) (g + 8, t + 4), B: (t, g) (t + 4, g), d: (g, 2t) (g, 2t + 1) (g + 8, 2t) (g + 8, 2t + 1).
inline void mma_tf32(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// The same with A 16 x 16 and B 16 x 8: where tf32 has column t, two columns 2t and 2t + 1 lie in one register, and 4 becomes 8.
inline void mma_bf16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif
