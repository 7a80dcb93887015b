// Vectors, a register-tiled matrix product and exp: what the kernels beside this file share.
//
// GCC/Clang vector extensions, so one source serves AVX-512, AVX2 and NEON; the compiler is told
// -march=native where the code runs.
#pragma once

#include <cstdint>
#include <cstring>
#include <omp.h>

#if defined(__AVX512F__)
constexpr int VL = 16, MR = 6, NV = 4;  // 24 accumulators, 4 columns, 1 broadcast of 32 registers
#elif defined(__AVX2__)
constexpr int VL = 8, MR = 6, NV = 2;  // 12 + 2 + 1 of 16
#else
constexpr int VL = 4, MR = 6, NV = 4;  // NEON: 24 + 4 + 1 of 32
#endif
constexpr int NR = VL * NV;
constexpr int LINE = 16;   // floats of a cache line
constexpr int PANEL = 64;  // columns of a packed panel: a multiple of every NR above

typedef float vec __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(VL * 4), aligned(4), may_alias));

static inline vec load(const float *p) { return *(const vec *)p; }
static inline void store(float *p, vec v) { *(vec *)p = v; }
static inline vec splat(float x) { return x - (vec){}; }

static inline vec maximum(vec a, vec b) { return a > b ? a : b; }

// Reductions over the lanes: by halves, since sixteen dependent steps would cost a tile's time.
#if defined(__AVX512F__)
#define OVER_LANES(v, op)                                                                      \
    v = op(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)); \
    v = op(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3));       \
    v = op(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1));       \
    v = op(v, __builtin_shufflevector(v, v, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0));       \
    return v[0];
#else
#define OVER_LANES(v, op)                                             \
    vec first = splat(v[0]);                                          \
    for (int i = 1; i < VL; i++) first = op(first, splat(v[i]));      \
    return first[0];
#endif
static inline vec plus(vec a, vec b) { return a + b; }
static inline float sum(vec v) { OVER_LANES(v, plus) }
static inline float largest(vec v) { OVER_LANES(v, maximum) }

// e^x to about one ulp between -87 and 88: 0 below, 1.7e38 above. NaN stays NaN.
static inline vec exponential(vec x) {
    const vec magic = splat(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer
    ivec dead = x < splat(-87.f);
    x = dead ? splat(0.f) : x;
    x = x > splat(88.f) ? splat(88.f) : x;
    vec shifted = x * 1.44269504088896341f + magic;
    vec n = shifted - magic;
    vec r = x - n * 0.693145751953125f;
    r = r - n * 1.42860682030941723e-6f;
    vec p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.f;
    ivec power = ((ivec)shifted - (ivec)magic + 127) << 23;
    vec result = p * (vec)power;
    return dead ? splat(0.f) : result;
}

// 2^x to about one ulp for x <= 127, 0 below -126. NaN stays NaN.
static inline vec power_of_two(vec x) {
    const vec magic = splat(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer
    ivec dead = x < splat(-126.f);
    vec shifted = x + magic;
    vec r = x - (shifted - magic);
    vec p = splat(1.535336188319500e-4f);
    p = p * r + 1.339887440266574e-3f;
    p = p * r + 9.618437357674640e-3f;
    p = p * r + 5.550332471162809e-2f;
    p = p * r + 2.402264791363012e-1f;
    p = p * r + 6.931472028550421e-1f;
    p = p * r + 1.f;
    vec result = (vec)((ivec)p + ((ivec)shifted << 23));
    return dead ? splat(0.f) : result;
}

// C[m, n] (+)= sum_k A[m, k] B[k, n] for M rows and V vectors of columns held in registers.
// A is read by broadcast, so both its strides are free; rows of B and C are contiguous. Meanwhile
// K cache lines from `next` on, if given, come closer.
template <int M, int V>
static inline void tile(int K, const float *A, int64_t a_row, int64_t a_col, const float *B,
                        int64_t ldb, float *C, int64_t ldc, bool accumulate,
                        const float *next = nullptr) {
    const int64_t step = next ? LINE : 0;
    if (!next) next = A;
    vec acc[M][V];
#pragma GCC unroll 16
    for (int m = 0; m < M; m++)
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) acc[m][v] = accumulate ? load(C + m * ldc + v * VL) : splat(0);
    for (int k = 0; k < K; k++) {
        __builtin_prefetch(next + k * step, 0, 2);
        vec b[V];
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) b[v] = load(B + k * ldb + v * VL);
#pragma GCC unroll 16
        for (int m = 0; m < M; m++) {
            vec a = splat(A[m * a_row + k * a_col]);
#pragma GCC unroll 16
            for (int v = 0; v < V; v++) acc[m][v] += a * b[v];
        }
    }
#pragma GCC unroll 16
    for (int m = 0; m < M; m++)
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) store(C + m * ldc + v * VL, acc[m][v]);
}

template <int V>
static inline void rows(int M, int K, const float *A, int64_t a_row, int64_t a_col, const float *B,
                        int64_t ldb, float *C, int64_t ldc, bool accumulate) {
    int m = 0;
    for (; m + MR <= M; m += MR)
        tile<MR, V>(K, A + m * a_row, a_row, a_col, B, ldb, C + m * ldc, ldc, accumulate);
    A += m * a_row, C += m * ldc;
    switch (M - m) {
    case 5: tile<5, V>(K, A, a_row, a_col, B, ldb, C, ldc, accumulate); break;
    case 4: tile<4, V>(K, A, a_row, a_col, B, ldb, C, ldc, accumulate); break;
    case 3: tile<3, V>(K, A, a_row, a_col, B, ldb, C, ldc, accumulate); break;
    case 2: tile<2, V>(K, A, a_row, a_col, B, ldb, C, ldc, accumulate); break;
    case 1: tile<1, V>(K, A, a_row, a_col, B, ldb, C, ldc, accumulate); break;
    }
}

// The whole product; N is a multiple of VL.
static inline void product(int M, int N, int K, const float *A, int64_t a_row, int64_t a_col,
                           const float *B, int64_t ldb, float *C, int64_t ldc, bool accumulate) {
    int n = 0;
    for (; n + NR <= N; n += NR)
        rows<NV>(M, K, A, a_row, a_col, B + n, ldb, C + n, ldc, accumulate);
    for (; n + 2 * VL <= N; n += 2 * VL)
        rows<2>(M, K, A, a_row, a_col, B + n, ldb, C + n, ldc, accumulate);
    for (; n < N; n += VL) rows<1>(M, K, A, a_row, a_col, B + n, ldb, C + n, ldc, accumulate);
}

// Denormal numbers cost a hundred cycles each and mean nothing in a sum of probabilities: while
// this object lives, its thread reads and writes them as zero.
struct FlushDenormals {
#if defined(__SSE2__)
    unsigned saved = __builtin_ia32_stmxcsr();
    FlushDenormals() { __builtin_ia32_ldmxcsr(saved | 0x8040); }
    ~FlushDenormals() { __builtin_ia32_ldmxcsr(saved); }
#endif
};

// One thread's working memory, grown on demand and kept: fresh pages cost more than the work on them.
struct Scratch {
    float *data = nullptr;
    size_t size = 0;
    float *get(size_t floats) {
        if (floats > size || size > KEPT) {
            ::operator delete[](data, std::align_val_t(64));
            data = new (std::align_val_t(64)) float[floats];
            size = floats;
        }
        return data;
    }
    static constexpr size_t KEPT = 1 << 26;  // more floats than this are not held on to
    ~Scratch() { ::operator delete[](data, std::align_val_t(64)); }
};
