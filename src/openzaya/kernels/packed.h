// Packed weights, and y = x W^T with them: what a decode step reads, in the order it reads it.
//
// W (outputs, inputs) lies in panels of 16 outputs. A panel is a sequence of cache lines, one 32-bit
// word per output; a word holds 1, 2, 4 or 8 neighbouring inputs: fp32, bf16, int8 or int4. The last
// two have a bf16 scale per output and 32 inputs. Inputs are padded with zeros to a multiple of 32,
// outputs to one of 16. Nothing here depends on the vector length: files hold these very bytes.
//
// Every output is one sum in the order of the inputs, whatever the number of rows and threads: a
// row's result does not depend on its neighbours in the batch.
#pragma once

#include <algorithm>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "tile.h"

constexpr int OUT = 16;    // outputs of a panel
constexpr int GROUP = 32;  // inputs that share a scale
constexpr int QUAD = VL == 16 ? 4 : 1;  // panels worked on together

enum Format : int64_t { FP32, BF16, INT8, INT4 };

struct Linear {
    const char *data;
    const uint16_t *scale;  // bf16; null: none
    const float *bias;      // padded like the outputs; null: none
    int64_t out, in;        // outputs as they are; inputs padded
    int64_t format;
    int64_t panels() const { return (out + OUT - 1) / OUT; }
};

static inline vec from_bf16(const uint16_t *p) {
    typedef uint16_t half __attribute__((vector_size(VL * 2), aligned(2), may_alias));
    return (vec)(__builtin_convertvector(*(const half *)p, ivec) << 16);
}

// The inputs of a word, one vector of outputs at a time.
template <int F>
struct Reader;

template <>
struct Reader<FP32> {
    static constexpr int PER_WORD = 1, ROWS = MR;
    static vec get(ivec word, int, vec) { return (vec)word; }
};
template <>
struct Reader<BF16> {
    static constexpr int PER_WORD = 2, ROWS = 4;
    static vec get(ivec word, int j, vec) { return (vec)(j ? word & (int)0xffff0000 : word << 16); }
};
template <>
struct Reader<INT8> {
    static constexpr int PER_WORD = 4, ROWS = 4;
    static vec get(ivec word, int j, vec scale) {
        return __builtin_convertvector((word << (24 - 8 * j)) >> 24, vec) * scale;
    }
};
template <>
struct Reader<INT4> {
    static constexpr int PER_WORD = 8, ROWS = 4;
    static vec get(ivec word, int j, vec scale) {
#if defined(__AVX512F__)  // a lookup reads the low four bits of a lane and converts them at once
        const vec values = {0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1};
        return (vec)_mm512_permutexvar_ps((__m512i)(word >> 4 * j), (__m512)values) * scale;
#else
        return __builtin_convertvector((word << (28 - 4 * j)) >> 28, vec) * scale;
#endif
    }
};

// Rows of x to rows of y; a row's place is its number or `index`'s.
struct Rows {
    float *data;
    int64_t ld;
    const int32_t *index = nullptr;
    float *at(int64_t m) const { return data + (index ? index[m] : m) * ld; }
};

// M rows by V vectors of outputs. `line` and `scale` are the first panel's.
template <int F, int M, int V>
static inline void packed_tile(int64_t in, const int32_t *line, const uint16_t *scale,
                               const float *bias, const float *const *x, float *const *y) {
    using R = Reader<F>;
    constexpr int PER_LINE = R::PER_WORD, LINES = GROUP / PER_LINE;
    const int64_t panel = in / PER_LINE * OUT, scale_panel = in / GROUP * OUT;
    vec acc[M][V];
#pragma GCC unroll 16
    for (int m = 0; m < M; m++)
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) acc[m][v] = bias ? load(bias + v * VL) : splat(0);
    for (int64_t g = 0; g < in; g += GROUP) {
        vec s[V] = {};
        if constexpr (F == INT8 || F == INT4)
#pragma GCC unroll 16
            for (int v = 0; v < V; v++)
                s[v] = from_bf16(scale + v * VL / OUT * scale_panel + g / GROUP * OUT + v * VL % OUT);
#pragma GCC unroll 1
        for (int64_t l = 0; l < LINES; l++) {
            const int64_t at = g / PER_LINE + l;
            ivec word[V];
#pragma GCC unroll 16
            for (int v = 0; v < V; v++) {
                const int32_t *from = line + v * VL / OUT * panel + at * OUT + v * VL % OUT;
                word[v] = *(const ivec *)from;
            }
#pragma GCC unroll 16
            for (int j = 0; j < PER_LINE; j++) {
                vec w[V];
#pragma GCC unroll 16
                for (int v = 0; v < V; v++) w[v] = R::get(word[v], j, s[v]);
#pragma GCC unroll 16
                for (int m = 0; m < M; m++) {
                    const vec a = splat(x[m][at * PER_LINE + j]);
#pragma GCC unroll 16
                    for (int v = 0; v < V; v++) acc[m][v] += a * w[v];
                }
            }
        }
    }
#pragma GCC unroll 16
    for (int m = 0; m < M; m++)
#pragma GCC unroll 16
        for (int v = 0; v < V; v++) store(y[m] + v * VL, acc[m][v]);
}

template <int F, int V, int M = Reader<F>::ROWS>
static inline void packed_rows(int64_t rows, int64_t in, const int32_t *line, const uint16_t *scale,
                               const float *bias, const Rows &x, int64_t first, const Rows &y,
                               int64_t column) {
    const float *from[M];
    float *to[M];
    int64_t m = 0;
    for (; m + M <= rows; m += M) {
        for (int i = 0; i < M; i++) {
            from[i] = x.at(first + m + i);
            to[i] = y.at(first + m + i) + column;
        }
        packed_tile<F, M, V>(in, line, scale, bias, from, to);
    }
    if constexpr (M > 1)
        if (m < rows)
            packed_rows<F, V, M - 1>(rows - m, in, line, scale, bias, x, first + m, y, column);
}

// V panels to fp32 panels, for many rows.
template <int F>
static inline void unpack(int64_t in, int panels, const int32_t *line, const uint16_t *scale,
                          float *to) {
    using R = Reader<F>;
    const int64_t lines = in / R::PER_WORD;
    for (int p = 0; p < panels; p++)
        for (int64_t l = 0; l < lines; l++)
            for (int v = 0; v < OUT; v += VL) {
                const int64_t i = l * R::PER_WORD;
                const ivec word = *(const ivec *)(line + (p * lines + l) * OUT + v);
                vec s = splat(0);
                if constexpr (F == INT8 || F == INT4)
                    s = from_bf16(scale + (p * (in / GROUP) + i / GROUP) * OUT + v);
#pragma GCC unroll 16
                for (int j = 0; j < R::PER_WORD; j++)
                    store(to + (p * in + i + j) * OUT + v, R::get(word, j, s));
            }
}

template <int F>
static inline void some_panels(const Linear &w, int64_t matrix, int64_t low, int64_t high,
                               int64_t rows, const Rows &x, int64_t first, const Rows &y,
                               Scratch &scratch) {
    constexpr int V = OUT / VL;
    const int64_t panel = w.in / Reader<F>::PER_WORD * OUT, scales = w.in / GROUP * OUT;
    for (int64_t p = low; p < high;) {
        const int n = high - p >= QUAD ? QUAD : 1;
        const int32_t *line = (const int32_t *)w.data + (matrix * w.panels() + p) * panel;
        const uint16_t *scale = w.scale ? w.scale + (matrix * w.panels() + p) * scales : nullptr;
        const float *bias = w.bias ? w.bias + (matrix * w.panels() + p) * OUT : nullptr;
        if (F != FP32 && rows > 2 * Reader<F>::ROWS) {
            float *plain = scratch.get(QUAD * OUT * w.in);
            unpack<F>(w.in, n, line, scale, plain);
            const int32_t *words = (const int32_t *)plain;
            if (n == QUAD)
                packed_rows<FP32, QUAD * V>(rows, w.in, words, nullptr, bias, x, first, y, p * OUT);
            else
                packed_rows<FP32, V>(rows, w.in, words, nullptr, bias, x, first, y, p * OUT);
        } else if (n == QUAD) {
            packed_rows<F, QUAD * V>(rows, w.in, line, scale, bias, x, first, y, p * OUT);
        } else {
            packed_rows<F, V>(rows, w.in, line, scale, bias, x, first, y, p * OUT);
        }
        p += n;
    }
}

// Panels low .. high - 1 of one matrix of a stack: rows first .. first + rows - 1 of x to y.
static inline void apply(const Linear &w, int64_t matrix, int64_t low, int64_t high, int64_t rows,
                         const Rows &x, int64_t first, const Rows &y, Scratch &scratch) {
    switch (w.format) {
    case FP32: some_panels<FP32>(w, matrix, low, high, rows, x, first, y, scratch); break;
    case BF16: some_panels<BF16>(w, matrix, low, high, rows, x, first, y, scratch); break;
    case INT8: some_panels<INT8>(w, matrix, low, high, rows, x, first, y, scratch); break;
    case INT4: some_panels<INT4>(w, matrix, low, high, rows, x, first, y, scratch); break;
    }
}

// Row `o` of W as it is: an embedding.
static inline void row_of(const Linear &w, int64_t o, float *to) {
    const int64_t panel = o / OUT, lane = o % OUT;
    for (int64_t i = 0; i < w.in; i++) {
        const int per_word = w.format == FP32 ? 1 : w.format == BF16 ? 2 : w.format == INT8 ? 4 : 8;
        const int32_t word = ((const int32_t *)w.data)[(panel * (w.in / per_word) + i / per_word) * OUT + lane];
        const int bits = 32 / per_word, j = i % per_word;
        if (w.format == FP32) {
            std::memcpy(to + i, &word, 4);
        } else if (w.format == BF16) {
            const uint32_t value = j ? (uint32_t)word & 0xffff0000u : (uint32_t)word << 16;
            std::memcpy(to + i, &value, 4);
        } else {
            const int32_t value = (int32_t)((uint32_t)word << (32 - bits * (j + 1))) >> (32 - bits);
            const uint32_t raw = (uint32_t)w.scale[(panel * (w.in / GROUP) + i / GROUP) * OUT + lane] << 16;
            float scale;
            std::memcpy(&scale, &raw, 4);
            to[i] = (float)value * scale;
        }
    }
}
