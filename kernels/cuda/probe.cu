// What the memory of a GPU can do: a chain of dependent loads, and streams. Arrays of streams lie on 16 bytes and hold n floats, n
// being a multiple of 4.
#include "prims.cuh"

#define NOWHERE 0xffffffffu

// Follows next[next[...start]], each load waiting for the one before: `warm` loads, then `slices` times `steps`, the clock read before
// and behind each. out: where it ended, the cycles of all of it, and those of each slice. One thread. In one launch, since an L1
// keeps nothing from one to the next.
KERNEL(32) chase(u32 warm, u32 steps, u32 slices, u32 start, const u32* next, u64* out) {
    if (first_index() != 0) return;
    u32 at = start;
    long long first = clock64();
    for (u32 i = 0; i < warm; i++) at = next[at];
    for (u32 slice = 0; slice < slices; slice++) {
        // No chain leads nowhere; but before that is known the clock can't be read.
        if (at == NOWHERE) return;
        long long begin = clock64();
        for (u32 i = 0; i < steps; i++) at = next[at];
        if (at == NOWHERE) return;
        out[2 + slice] = (u64)(clock64() - begin);
    }
    out[0] = at;
    out[1] = (u64)(clock64() - first);
}

// Each thread's sum goes to `out`, one float a thread.
KERNEL(256) stream_read(u64 n, const float* x, float* out) {
    float sum = 0.0f;
    for (u64 i = first_index() * 4; i < n; i += index_step() * 4) {
        float4 v = load4(x + i);
        sum += (v.x + v.y) + (v.z + v.w);
    }
    out[first_index()] = sum;
}
KERNEL(256) stream_write(u64 n, float value, float* y) {
    for (u64 i = first_index() * 4; i < n; i += index_step() * 4) store4(y + i, make_float4(value, value, value, value));
}
KERNEL(256) stream_copy(u64 n, const float* x, float* y) {
    for (u64 i = first_index() * 4; i < n; i += index_step() * 4) store4(y + i, load4(x + i));
}
// a = b + s c
KERNEL(256) stream_triad(u64 n, float s, const float* b, const float* c, float* a) {
    for (u64 i = first_index() * 4; i < n; i += index_step() * 4) {
        float4 u = load4(b + i), v = load4(c + i);
        store4(a + i, make_float4(u.x + s * v.x, u.y + s * v.y, u.z + s * v.z, u.w + s * v.w));
    }
}
