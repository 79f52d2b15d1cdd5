// What the memory of a GPU can do: a chain of dependent loads, and streams. Arrays of streams lie on 16 bytes and hold n floats, n
// being a multiple of 4.
#include "prims.cuh"

// Follows next[next[...start]] for `steps` loads, each of which waits for the one before; out: where it ended, and the cycles
// that it took. One thread.
KERNEL(32) chase(u32 steps, u32 start, const u32* next, u64* out) {
    if (first_index() != 0) return;
    u32 at = start;
    long long begin = clock64();
    for (u32 i = 0; i < steps; i++) at = next[at];
    // The end of the chain takes part in the difference, so that the clock isn't read before.
    long long end = clock64() + (at == EVERY_LANE ? 1 : 0);
    out[0] = at;
    out[1] = (u64)(end - begin);
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
