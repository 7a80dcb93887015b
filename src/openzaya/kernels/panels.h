// Products of whole matrices with one operand in panels, and the packing that makes panels.
//
// Rows of x are worked on transposed, tokens along the vectors: weights then are the operand that
// is read by broadcast, as they lie, forward and backward. Only the few rows at work are packed.
#pragma once

#include <algorithm>
#include <utility>

#include "tile.h"

constexpr int DEPTH = 512;      // inner dimension between two visits of an output tile
constexpr int WIDE = 2 * VL;    // columns of a tile
#if defined(__AVX512F__) || !defined(__AVX2__)
constexpr int TALL = 14;  // rows of a tile: 28 accumulators, 2 columns, 1 broadcast of 32 registers
#else
constexpr int TALL = 6;
#endif

static inline int64_t padded(int64_t rows) { return (rows + VL - 1) / VL * VL; }
// Columns between two rows of a transposed matrix: an odd number of vectors, so that a walk down a
// column visits all cache sets.
static inline int64_t pitch(int64_t rows) {
    return padded(rows) + (padded(rows) / VL % 2 ? 0 : VL);
}

template <int V, int M = TALL>
static inline void tile_of(int m, int K, const float *A, int64_t a_row, int64_t a_col,
                           const float *B, int64_t ldb, float *C, int64_t ldc, bool accumulate,
                           const float *next) {
    if (m == M)
        tile<M, V>(K, A, a_row, a_col, B, ldb, C, ldc, accumulate, next);
    else if constexpr (M > 1)
        tile_of<V, M - 1>(m, K, A, a_row, a_col, B, ldb, C, ldc, accumulate, next);
}

// A matrix in vertical panels of WIDE columns (the last may be VL wide).
struct Panels {
    float *data;
    int64_t panel, ld;  // floats from panel to panel, and from row to row
};

// What will be read soon: its lines are fetched while a product runs.
struct Next {
    const float *at = nullptr, *end = nullptr;
    const float *take(int64_t floats) {
        const float *from = at < end ? at : nullptr;
        at += floats;
        return from;
    }
};

// C (M, N) (+)= A (M, K) B (K, N), N a multiple of VL; A is read by broadcast, any strides.
static inline void multiply(int64_t M, int64_t N, int64_t K, const float *A, int64_t a_row,
                            int64_t a_col, Panels B, Panels C, bool accumulate, Next next = {}) {
    const int64_t blocks = (M + TALL - 1) / TALL;
    for (int64_t k = 0; k < K; k += DEPTH) {
        const int depth = std::min<int64_t>(DEPTH, K - k);
        const bool add = accumulate || k > 0;
        for (int64_t b = 0; b < blocks; b++) {
            const int64_t m = b * M / blocks;  // blocks of even height: no thin rest
            const int height = (b + 1) * M / blocks - m;
            const float *a = A + m * a_row + k * a_col;
            for (int64_t n = 0; n < N; n += WIDE) {
                const float *from = B.data + n / WIDE * B.panel + k * B.ld;
                float *to = C.data + n / WIDE * C.panel + m * C.ld;
                const float *ahead = next.take(depth * LINE);
                if (N - n > VL)
                    tile_of<2>(height, depth, a, a_row, a_col, from, B.ld, to, C.ld, add, ahead);
                else
                    tile_of<1>(height, depth, a, a_row, a_col, from, B.ld, to, C.ld, add, ahead);
            }
        }
    }
}

template <int S, size_t... L>
static inline void exchange(vec &a, vec &b, std::index_sequence<L...>) {
    vec low = __builtin_shufflevector(a, b, (L & S ? VL + L - S : L)...);
    vec high = __builtin_shufflevector(a, b, (L & S ? VL + L : L + S)...);
    a = low, b = high;
}

// VL x VL in registers: at each stage, rows S apart exchange the lanes S apart.
template <int S = 1>
static inline void transpose(vec *r) {
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++)
        if (!(i & S)) exchange<S>(r[i], r[i + S], std::make_index_sequence<VL>());
    if constexpr (2 * S < VL) transpose<2 * S>(r);
}

// Rows of x (width columns), `index` names them, to columns; the rest up to a full vector is zero.
static inline void gather_columns(const float *x, const int64_t *index, int64_t rows, int64_t width,
                                  Panels to) {
    for (int64_t n = 0; n < rows; n += VL) {
        float *out = to.data + n / WIDE * to.panel + n % WIDE;
        for (int64_t d = 0; d < width; d += VL) {
            vec block[VL];
            for (int i = 0; i < VL; i++)
                block[i] = n + i < rows ? load(x + index[n + i] * width + d) : splat(0);
            transpose(block);
            for (int i = 0; i < VL; i++) store(out + (d + i) * to.ld, block[i]);
        }
    }
}

// The way back: columns to rows of x.
static inline void scatter_columns(Panels from, const int64_t *index, int64_t rows, int64_t width,
                                   float *x) {
    for (int64_t n = 0; n < rows; n += VL) {
        const float *in = from.data + n / WIDE * from.panel + n % WIDE;
        for (int64_t d = 0; d < width; d += VL) {
            vec block[VL];
            for (int i = 0; i < VL; i++) block[i] = load(in + (d + i) * from.ld);
            transpose(block);
            for (int i = 0; i < VL && n + i < rows; i++)
                store(x + index[n + i] * width + d, block[i]);
        }
    }
}

// Rows of x as they are, in vertical panels.
static inline void gather_rows(const float *x, const int64_t *index, int64_t rows, int64_t width,
                               Panels to) {
    for (int64_t n = 0; n < rows; n++)
        for (int64_t d = 0; d < width; d += VL)
            store(to.data + d / WIDE * to.panel + n * to.ld + d % WIDE,
                  load(x + index[n] * width + d));
}
