/* What tilelab's probe is compared with: the same work, written without a look at it, in plain C and gcc's intrinsics.
 * Built by ../probe.sh as a library, so that both sides take turns over the same memory. */
#include <immintrin.h>
#include <stddef.h>

void *chase(void *p, size_t steps)
{
    for (size_t i = 0; i < steps; i++)
        p = *(void **)p;
    return p;
}

void copy_c(const double *restrict a, const double *restrict b, double *restrict c, double s, size_t n)
{
    (void)b, (void)s;
    for (size_t i = 0; i < n; i++)
        c[i] = a[i];
}

void scale_c(const double *restrict a, const double *restrict b, double *restrict c, double s, size_t n)
{
    (void)b;
    for (size_t i = 0; i < n; i++)
        c[i] = s * a[i];
}

void add_c(const double *restrict a, const double *restrict b, double *restrict c, double s, size_t n)
{
    (void)s;
    for (size_t i = 0; i < n; i++)
        c[i] = a[i] + b[i];
}

void triad_c(const double *restrict a, const double *restrict b, double *restrict c, double s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        c[i] = a[i] + s * b[i];
}

#if defined(__AVX512F__)
#define LANES 8
typedef __m512d vec;
#define LOAD _mm512_load_pd
#define STREAM _mm512_stream_pd
#define ALL _mm512_set1_pd
#define ADD _mm512_add_pd
#define MUL _mm512_mul_pd
#elif defined(__AVX__)
#define LANES 4
typedef __m256d vec;
#define LOAD _mm256_load_pd
#define STREAM _mm256_stream_pd
#define ALL _mm256_set1_pd
#define ADD _mm256_add_pd
#define MUL _mm256_mul_pd
#else
#define LANES 2
typedef __m128d vec;
#define LOAD _mm_load_pd
#define STREAM _mm_stream_pd
#define ALL _mm_set1_pd
#define ADD _mm_add_pd
#define MUL _mm_mul_pd
#endif

#define STREAMED(name, value)                                                                                        \
    void name(const double *restrict a, const double *restrict b, double *restrict c, double s, size_t n)            \
    {                                                                                                                \
        vec f = ALL(s);                                                                                              \
        (void)f, (void)b;                                                                                            \
        for (size_t i = 0; i < n; i += LANES)                                                                        \
            STREAM(c + i, value);                                                                                    \
        _mm_sfence();                                                                                                \
    }

STREAMED(copy_nt, LOAD(a + i))
STREAMED(scale_nt, MUL(f, LOAD(a + i)))
STREAMED(add_nt, ADD(LOAD(a + i), LOAD(b + i)))
STREAMED(triad_nt, ADD(LOAD(a + i), MUL(f, LOAD(b + i))))
