// Top-1 SwiGLU experts, fp32, with their gradient: rows in, rows out, whatever order they come in.
//
// Everything runs transposed (panels.h): packing an expert's rows gathers them, unpacking its
// products puts them back, and in between they stay in the L2 cache.
#include <algorithm>
#include <numeric>
#include <vector>

#include "panels.h"

namespace {

constexpr int64_t CHUNK = 256;  // rows of one expert that are worked on at a time

// Some rows of one expert, in the order of `order`.
struct Piece {
    int64_t expert, first, rows, stored;  // `stored`: where its hidden units begin
};

// Pieces of at most CHUNK rows, expert after expert. An expert's hidden units (2F, rows) lie
// piece after piece.
std::vector<Piece> pieces_of(const int64_t *count, int64_t experts, int64_t units) {
    std::vector<Piece> pieces;
    int64_t first = 0, stored = 0;
    for (int64_t e = 0; e < experts; e++)
        for (int64_t end = first + count[e]; first < end;) {
            const int64_t rows = std::min(CHUNK, end - first);
            pieces.push_back({e, first, rows, stored});
            stored += units * pitch(rows);
            first += rows;
        }
    return pieces;
}

void skipped_rows(const float *x, const float *weight, const int64_t *order, int64_t first,
                  int64_t end, int64_t width, bool scaled, float *y) {
    for (int64_t i = first; i < end; i++) {
        const int64_t n = order[i];
        for (int64_t d = 0; d < width; d += VL)
            store(y + n * width + d, scaled ? load(x + n * width + d) * weight[n] : splat(0));
    }
}

}  // namespace

extern "C" {

// Floats of `hidden` for these loads.
int64_t experts_hidden_size(const int64_t *count, int64_t experts, int64_t units) {
    int64_t size = 0;
    for (const Piece &p : pieces_of(count, experts, 2 * units)) size += 2 * units * pitch(p.rows);
    return size;
}

// y[n] = weight[n] * W2[e] (silu(G x[n]) * (U x[n])) with [G; U] = W1[e] (2F, D), W2[e] (D, F), for
// the expert e of row n: `order` (N) lists rows expert by expert, `count` (E) how many each has.
// Rows after the last expert's are skipped: zero, or x * weight where `scaled`. `hidden`, where
// given, keeps what backward needs.
void experts_forward(const float *x, const int64_t *order, const int64_t *count,
                     const float *weight, const float *w1, const float *w2, float *y,
                     float *hidden, int64_t rows, int64_t experts, int64_t D, int64_t F, int scaled,
                     int threads) {
    std::vector<Piece> pieces = pieces_of(count, experts, 2 * F);
    const int64_t routed = pieces.empty() ? 0 : pieces.back().first + pieces.back().rows;
    std::stable_sort(pieces.begin(), pieces.end(),
                     [](const Piece &a, const Piece &b) { return a.rows > b.rows; });
    // Whichever thread takes it, the piece `threads` further on comes next.
    auto soon = [&](size_t i) -> Next {
        if (i >= pieces.size()) return {};
        const float *from = w1 + pieces[i].expert * 2 * F * D;
        return {from, from + 2 * F * D};
    };
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (size_t i = 0; i < pieces.size(); i++) {
        static thread_local Scratch scratch;
        const Piece &p = pieces[i];
        const int64_t *index = order + p.first, wide = padded(p.rows), ld = pitch(p.rows);
        const int64_t columns = (wide + WIDE - 1) / WIDE * WIDE;
        float *memory = scratch.get(D * columns + 3 * F * ld + CHUNK);
        Panels rows_T{memory, D * WIDE, WIDE}, act{memory + D * columns, WIDE, ld};
        float *gate_weight = act.data + F * ld;
        Panels units{hidden ? hidden + p.stored : gate_weight + CHUNK, WIDE, ld};
        for (int64_t n = 0; n < wide; n++) gate_weight[n] = n < p.rows ? weight[index[n]] : 0.f;
        gather_columns(x, index, p.rows, D, rows_T);
        multiply(2 * F, wide, D, w1 + p.expert * 2 * F * D, D, 1, rows_T, units, false,
                 {w2 + p.expert * D * F, w2 + (p.expert + 1) * D * F});
        for (int64_t f = 0; f < F; f++)
            for (int64_t n = 0; n < wide; n += VL) {
                vec z = load(units.data + f * ld + n), up = load(units.data + (F + f) * ld + n);
                store(act.data + f * ld + n,
                      z / (1.f + exponential(-z)) * up * load(gate_weight + n));
            }
        multiply(D, wide, F, w2 + p.expert * D * F, F, 1, act, rows_T, false, soon(i + threads));
        scatter_columns(rows_T, index, p.rows, D, y);
    }
    skipped_rows(x, weight, order, routed, rows, D, scaled, y);
}

// Gradients dx, dweight, dw1, dw2 from dy; experts without rows get zeros.
void experts_backward(const float *x, const int64_t *order, const int64_t *count,
                      const float *weight, const float *w1, const float *w2, const float *hidden,
                      const float *dy, float *dx, float *dweight, float *dw1, float *dw2,
                      int64_t rows, int64_t experts, int64_t D, int64_t F, int scaled, int threads) {
    const std::vector<Piece> pieces = pieces_of(count, experts, 2 * F);
    std::vector<int64_t> by_load(experts);
    std::iota(by_load.begin(), by_load.end(), 0);
    std::stable_sort(by_load.begin(), by_load.end(),
                     [&](int64_t a, int64_t b) { return count[a] > count[b]; });
    auto soon = [&](int64_t i) -> Next {
        if (i >= experts) return {};
        return {w2 + by_load[i] * D * F, w2 + (by_load[i] + 1) * D * F};
    };
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int64_t i = 0; i < experts; i++) {
        static thread_local Scratch scratch;
        const int64_t e = by_load[i];
        float *dw1_e = dw1 + e * 2 * F * D, *dw2_e = dw2 + e * D * F;
        if (!count[e]) {
            std::fill(dw1_e, dw1_e + 2 * F * D, 0.f);
            std::fill(dw2_e, dw2_e + D * F, 0.f);
        }
        bool again = false;  // a later piece of the same expert adds to its gradients
        for (const Piece &p : pieces) {
            if (p.expert != e) continue;
            const int64_t *index = order + p.first, wide = padded(p.rows), ld = pitch(p.rows);
            const int64_t d_columns = (D + WIDE - 1) / WIDE * WIDE;
            const int64_t f_columns = (F + WIDE - 1) / WIDE * WIDE;
            float *memory = scratch.get(D * ld + 3 * F * ld + wide * (d_columns + f_columns) +
                                        2 * CHUNK);
            Panels grad{memory, WIDE, ld};                         // dy, then dx, transposed
            Panels units{grad.data + D * ld, WIDE, ld};            // gradient of `hidden`
            float *act_T = units.data + 2 * F * ld;                // F x rows
            Panels act{act_T + F * ld, wide * WIDE, WIDE};         // the same as rows
            Panels rows_x{act.data + wide * f_columns, wide * WIDE, WIDE};
            float *gate_weight = rows_x.data + wide * d_columns, *dots = gate_weight + CHUNK;
            for (int64_t n = 0; n < wide; n++) {
                gate_weight[n] = n < p.rows ? weight[index[n]] : 0.f;
                dots[n] = 0.f;
            }
            gather_columns(dy, index, p.rows, D, grad);
            const Panels act_grad{act_T, WIDE, ld};
            multiply(F, wide, D, w2 + e * D * F, 1, F, grad, act_grad, false);
            const float *z_T = hidden + p.stored, *up_T = z_T + F * ld;
            for (int64_t f = 0; f < F; f++)
                for (int64_t n = 0; n < wide; n += VL) {
                    const int64_t at = f * ld + n;
                    vec z = load(z_T + at), up = load(up_T + at), g = load(act_T + at);
                    vec sigmoid = 1.f / (1.f + exponential(-z)), silu = z * sigmoid;
                    vec w = load(gate_weight + n);
                    store(dots + n, load(dots + n) + g * silu * up);
                    store(act_T + at, silu * up * w);
                    g *= w;
                    store(units.data + at, g * up * (sigmoid + silu * (1.f - sigmoid)));
                    store(units.data + F * ld + at, g * silu);
                }
            for (int64_t n = 0; n < p.rows; n++) dweight[index[n]] = dots[n];
            for (int64_t f = 0; f < F; f += VL)
                for (int64_t n = 0; n < wide; n += VL) {
                    vec block[VL];
                    for (int j = 0; j < VL; j++) block[j] = load(act_T + (f + j) * ld + n);
                    transpose(block);
                    float *to = act.data + f / WIDE * act.panel + n * WIDE + f % WIDE;
                    for (int j = 0; j < VL; j++) store(to + j * WIDE, block[j]);
                }
            multiply(D, F, p.rows, grad.data, ld, 1, act, {dw2_e, WIDE, F}, again,
                     {w1 + e * 2 * F * D, w1 + (e + 1) * 2 * F * D});
            multiply(D, wide, 2 * F, w1 + e * 2 * F * D, 1, D, units, grad, false);
            scatter_columns(grad, index, p.rows, D, dx);
            gather_rows(x, index, p.rows, D, rows_x);
            multiply(2 * F, D, p.rows, units.data, ld, 1, rows_x, {dw1_e, WIDE, D}, again,
                     soon(i + threads));
            again = true;
        }
    }
    const int64_t routed = std::accumulate(count, count + experts, (int64_t)0);
    skipped_rows(dy, weight, order, routed, rows, D, scaled, dx);
    for (int64_t i = routed; i < rows; i++) {
        const int64_t n = order[i];
        vec dots = splat(0);
        for (int64_t d = 0; d < D; d += VL) dots += load(dy + n * D + d) * load(x + n * D + d);
        dweight[n] = scaled ? sum(dots) : 0.f;
    }
}
}
