// Functions of elements. A thread takes four neighbours at once (arrays lie on 16 bytes: the launchers see to that), the last
// threads what is left; the grid walks over as many as there are.
#include "functions.cuh"

// f(i, count): elements i to i + count - 1, count being 4 or less at the end.
template <typename F> inline void in_fours(u64 n, F f) {
    for (u64 i = first_index() * 4; i < n; i += index_step() * 4) {
        if (i + 4 <= n)
            f(i, 4);
        else
            f(i, (int)(n - i));
    }
}

template <typename F> inline void map(u64 n, const float* x, float* y, F f) {
    in_fours(n, [=](u64 i, int count) {
        if (count == 4) {
            float4 v = load4(x + i);
            store4(y + i, make_float4(f(v.x), f(v.y), f(v.z), f(v.w)));
        } else {
            for (int j = 0; j < count; j++) y[i + j] = f(x[i + j]);
        }
    });
}

// y = f(x), by number. The parameter lies in device memory: it may be a learned one.
KERNEL(256) activate_forward(u64 n, u32 function, const float* parameter, const float* x, float* y) {
    float p = *parameter;
    if (function == RELU)
        map(n, x, y, relu);
    else
        for (u64 i = first_index(); i < n; i += index_step()) y[i] = activate(function, p, x[i]);
}

// dx = dy f'(saved)
KERNEL(256)
activate_backward(u64 n, u32 function, const float* parameter, const float* saved, const float* dy, float* dx) {
    float p = *parameter;
    if (function != RELU) {
        for (u64 i = first_index(); i < n; i += index_step()) dx[i] = dy[i] * derivative(function, p, saved[i]);
        return;
    }
    in_fours(n, [=](u64 i, int count) {
        if (count == 4) {
            float4 s = load4(saved + i), g = load4(dy + i);
            store4(dx + i, make_float4(s.x > 0.0f ? g.x : 0.0f, s.y > 0.0f ? g.y : 0.0f, s.z > 0.0f ? g.z : 0.0f, s.w > 0.0f ? g.w : 0.0f));
        } else {
            for (int j = 0; j < count; j++) dx[i + j] = saved[i + j] > 0.0f ? dy[i + j] : 0.0f;
        }
    });
}

// x = by x
KERNEL(256) scale(u64 n, const float* by, float* x) {
    float factor = *by;
    map(n, x, x, [=](float v) { return factor * v; });
}

// out = 1 where x is above the threshold, else 0.
KERNEL(256) above(u64 n, const float* x, float threshold, u32* out) {
    for (u64 i = first_index(); i < n; i += index_step()) out[i] = x[i] > threshold ? 1 : 0;
}
