// Causal grouped-query attention on a packed stream, fp32, forward and backward.
//
// Segment b owns rows q_start[b] .. + q_len[b] of the stream and sees k_len[b] keys whose first row
// is k_start[b] (in rows of the key tensor); its queries are the last q_len[b] of those positions.
// Keys of a segment never meet queries of another: there is no padding and no mask tensor.
// Online softmax over key blocks (Milakov and Gimelshein 2018; Dao et al. 2022); backward
// recomputes the probabilities from the saved log-sum-exp (Dao 2023). Scores and log-sum-exps are
// in units of log 2: the scale of the queries carries log2(e), and 2^x is cheaper than e^x. Where
// |q| |k| bounds all scores of a row closely enough, as QK norm makes sure, the bound replaces the
// running maximum: any shift gives the same softmax as long as nothing over- or underflows.
#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "tile.h"

namespace {

constexpr int BM = 48;   // query rows of a block: a multiple of MR
constexpr int BN = 1024;  // keys of a block: a multiple of PANEL
constexpr int LD = BN + 16;  // floats from row to row: a power of two would collide in the cache
constexpr float SAFE = 50.f;  // scores within +-50: shifted by the bound they stay above 2^-100
constexpr float LOG2E = 1.44269504088896341f;

struct Shape {
    int segments, heads, groups, dim, window;  // window 0: everything before is seen
    const int64_t *q_start, *q_len, *k_start, *k_len;
};

// Keys (or values) of one segment and group, transposed into panels of PANEL columns:
// panel p holds dim rows of PANEL consecutive keys, zero beyond the last key.
void pack(const float *x, int64_t row, int64_t count, int dim, float *out) {
    for (int64_t p = 0; p * PANEL < count; p++, out += (int64_t)dim * PANEL) {
        int n = (int)std::min<int64_t>(PANEL, count - p * PANEL);
        for (int c = 0; c < n; c++) {
            const float *from = x + (p * PANEL + c) * row;
            for (int d = 0; d < dim; d++) out[d * PANEL + c] = from[d];
        }
        if (n < PANEL)
            for (int d = 0; d < dim; d++)
                std::memset(out + d * PANEL + n, 0, (PANEL - n) * sizeof(float));
    }
}

// C (M, keys) = A (M, dim) times packed panels first .. first + keys / PANEL.
//
// `ahead` keys are seen by row 0 and one more by every further row: tiles above that are skipped.
void against_panels(int M, int keys, int64_t ahead, int dim, const float *A, const float *panels,
                    float *C, int64_t ldc) {
    for (int n = 0; n < keys; n += PANEL) {
        const float *panel = panels + (int64_t)(n / PANEL) * dim * PANEL;
        int m = (int)std::max<int64_t>(0, n - ahead + 1) / MR * MR;  // first row that sees key n
        if (m < M) product(M - m, PANEL, dim, A + m * dim, dim, 1, panel, PANEL, C + m * ldc + n, ldc, false);
    }
}

float squares(const float *x, int dim) {
    vec acc = splat(0);
    for (int d = 0; d < dim; d += VL) acc += load(x + d) * load(x + d);
    return sum(acc);
}

int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Offsets of each (segment, group)'s panels in one buffer.
std::vector<int64_t> panel_offsets(const Shape &s) {
    std::vector<int64_t> at(s.segments * s.groups + 1, 0);
    for (int b = 0; b < s.segments; b++)
        for (int g = 0; g < s.groups; g++) {
            int i = b * s.groups + g;
            at[i + 1] = at[i] + round_up(s.k_len[b], PANEL) * s.dim;
        }
    return at;
}

// Keys that query position `at` may see, clipped to [0, limit) of a block starting at `from`.
inline void visible(int64_t at, int window, int64_t from, int limit, int &low, int &high) {
    int64_t first = window ? std::max<int64_t>(0, at - window + 1) : 0;
    low = (int)std::min<int64_t>(std::max<int64_t>(first - from, 0), limit);
    high = (int)std::min<int64_t>(std::max<int64_t>(at + 1 - from, low), limit);
}

thread_local Scratch scratch, shared;  // a thread's own, and the caller's for all threads

struct Task {
    int segment, head;
    int64_t block;  // first query row of the block, inside the segment
    int64_t cost;
};

void largest_first(std::vector<Task> &tasks) {
    std::stable_sort(tasks.begin(), tasks.end(),
                     [](const Task &a, const Task &b) { return a.cost > b.cost; });
}

}  // namespace

extern "C" {

// q (N, heads, dim), k and v with free row and group strides, out (N, heads, dim) contiguous,
// lse (N, heads). `k_batch`: distance between the first rows of two segments is given by k_start.
void attention_forward(const float *q, int64_t q_row, const float *k, const float *v,
                       int64_t k_row, int64_t k_group, int64_t v_row, int64_t v_group, float *out,
                       float *lse, int segments, int heads, int groups, int dim, int window,
                       const int64_t *q_start, const int64_t *q_len, const int64_t *k_start,
                       const int64_t *k_len, int threads) {
    Shape s{segments, heads, groups, dim, window, q_start, q_len, k_start, k_len};
    auto panels_at = panel_offsets(s);
    float *panels = shared.get(panels_at.back());
    std::vector<float> longest(segments * groups);  // norm of the longest key
    const float scale = 1.f / std::sqrt((float)dim);
    std::vector<Task> tasks;
    for (int b = 0; b < segments; b++)
        for (int64_t i = 0; i < q_len[b]; i += BM)
            for (int h = 0; h < heads; h++) {
                int64_t last = k_len[b] - q_len[b] + i + BM;
                int64_t cost = window ? std::min<int64_t>(last, window + BM) : last;
                tasks.push_back({b, h, i, cost});
            }
    largest_first(tasks);

#pragma omp parallel num_threads(threads)
    {
        FlushDenormals flush;
#pragma omp for schedule(dynamic, 1)
        for (int i = 0; i < segments * groups; i++) {
            int b = i / groups, g = i % groups;
            const float *keys = k + k_start[b] * k_row + g * k_group;
            pack(keys, k_row, k_len[b], dim, panels + panels_at[i]);
            float most = 0;
            for (int64_t t = 0; t < k_len[b]; t++) most = std::max(most, squares(keys + t * k_row, dim));
            longest[i] = std::sqrt(most);
        }
        float *S = scratch.get((size_t)BM * LD + 2 * (size_t)BM * dim);
        float *Q = S + (size_t)BM * LD, *O = Q + (size_t)BM * dim;
#pragma omp for schedule(dynamic, 1)
        for (size_t t = 0; t < tasks.size(); t++) {
            const Task task = tasks[t];
            const int b = task.segment, h = task.head, g = h / (heads / groups);
            const int M = (int)std::min<int64_t>(BM, q_len[b] - task.block);
            const int64_t row0 = q_start[b] + task.block;
            const int64_t first = k_len[b] - q_len[b] + task.block;  // position of the first query
            const float *kt = panels + panels_at[b * groups + g];
            const float *values = v + k_start[b] * v_row + g * v_group;
            float top[BM], total[BM];
            bool bounded = true;
            for (int m = 0; m < M; m++) {
                const float *from = q + (row0 + m) * q_row + (int64_t)h * dim;
                for (int d = 0; d < dim; d++) Q[m * dim + d] = from[d] * (scale * LOG2E);
                top[m] = std::sqrt(squares(Q + m * dim, dim)) * longest[b * groups + g];
                total[m] = 0;
                bounded = bounded && top[m] < SAFE;  // false for nan too
            }
            if (!bounded) std::fill(top, top + M, -INFINITY);
            std::memset(O, 0, (size_t)M * dim * sizeof(float));
            int64_t oldest = window ? std::max<int64_t>(0, first - window + 1) / PANEL * PANEL : 0;
            for (int64_t j = oldest; j < first + M; j += BN) {
                const int keys = (int)std::min<int64_t>(BN, first + M - j);
                const int wide = (int)round_up(keys, PANEL);
                against_panels(M, wide, first + 1 - j, dim, Q, kt + j * dim, S, LD);
                for (int m = 0; m < M; m++) {
                    int low, high;
                    visible(first + m, window, j, keys, low, high);
                    float *row = S + (size_t)m * LD;
                    if (high <= low) {  // nothing of this block is seen
                        std::memset(row, 0, keys * sizeof(float));
                        continue;
                    }
                    const int begin = low / VL * VL, end = (int)round_up(high, VL);
                    for (int c = begin; c < low; c++) row[c] = -INFINITY;
                    for (int c = high; c < end; c++) row[c] = -INFINITY;
                    float m_new = top[m];
                    if (!bounded) {
                        vec best = load(row + begin);
                        for (int c = begin + VL; c < end; c += VL)
                            best = maximum(best, load(row + c));
                        m_new = std::max(m_new, largest(best));
                    }
                    vec sums = splat(0);
                    for (int c = begin; c < end; c += VL) {
                        vec p = power_of_two(load(row + c) - m_new);
                        sums += p;
                        store(row + c, p);
                    }
                    std::memset(row, 0, begin * sizeof(float));
                    if (end < keys) std::memset(row + end, 0, (keys - end) * sizeof(float));
                    const float rescale = bounded ? 1.f : total[m] ? std::exp2(top[m] - m_new) : 0.f;
                    if (rescale != 1.f)
                        for (int d = 0; d < dim; d += VL)
                            store(O + m * dim + d, load(O + m * dim + d) * rescale);
                    total[m] = total[m] * rescale + sum(sums);
                    top[m] = m_new;
                }
                product(M, dim, keys, S, LD, 1, values + j * v_row, v_row, O, dim, true);
            }
            for (int m = 0; m < M; m++) {
                float *to = out + ((row0 + m) * heads + h) * dim;
                float inverse = 1.f / total[m];
                for (int d = 0; d < dim; d += VL) store(to + d, load(O + m * dim + d) * inverse);
                lse[(row0 + m) * heads + h] = top[m] + std::log2(total[m]);
            }
        }
    }
}

// Gradients of a whole segment per task and head; keys' gradients of the heads of a group are
// summed at the end in a fixed order, so results do not depend on the number of threads.
// All tensors (N, heads or groups, dim) with row strides; here every query's keys are its own
// document (q_len == k_len, k_start == q_start). dq (N, heads, dim), dk and dv (N, groups, dim)
// contiguous.
void attention_backward(const float *q, int64_t q_row, const float *k, const float *v,
                        int64_t k_row, int64_t k_group, int64_t v_row, int64_t v_group,
                        const float *out, const float *lse, const float *dout, float *dq,
                        float *dk, float *dv, int64_t tokens, int segments, int heads, int groups,
                        int dim, int window, const int64_t *start, const int64_t *len,
                        int threads) {
    Shape s{segments, heads, groups, dim, window, start, len, start, len};
    auto panels_at = panel_offsets(s);
    const int64_t plane = tokens * (int64_t)dim;
    float *k_panels = shared.get(2 * panels_at.back() + 2 * heads * plane);
    float *v_panels = k_panels + panels_at.back(), *per_head = v_panels + panels_at.back();
    const float scale = 1.f / std::sqrt((float)dim);
    const int R = heads / groups;
    std::vector<Task> tasks;
    for (int b = 0; b < segments; b++)
        for (int h = 0; h < heads; h++) tasks.push_back({b, h, 0, len[b]});
    largest_first(tasks);

#pragma omp parallel num_threads(threads)
    {
        FlushDenormals flush;
#pragma omp for schedule(dynamic, 1)
        for (int i = 0; i < segments * groups; i++) {
            int b = i / groups, g = i % groups;
            pack(k + start[b] * k_row + g * k_group, k_row, len[b], dim, k_panels + panels_at[i]);
            pack(v + start[b] * v_row + g * v_group, v_row, len[b], dim, v_panels + panels_at[i]);
        }
#pragma omp for schedule(dynamic, 1)
        for (size_t t = 0; t < tasks.size(); t++) {
            const int b = tasks[t].segment, h = tasks[t].head, g = h / R;
            const int64_t T = len[b], base = start[b];
            float *S = scratch.get(2 * (size_t)BM * LD + 2 * (size_t)BM * dim + T);
            float *P = S + (size_t)BM * LD, *Q = P + (size_t)BM * LD, *dO = Q + (size_t)BM * dim;
            float *dots = dO + (size_t)BM * dim;
            float *dk_h = per_head + h * plane + base * dim;
            float *dv_h = dk_h + heads * plane;
            const float *keys_h = k + base * k_row + g * k_group;
            const float *kt = k_panels + panels_at[b * groups + g];
            const float *vt = v_panels + panels_at[b * groups + g];
            std::memset(dk_h, 0, T * dim * sizeof(float));
            std::memset(dv_h, 0, T * dim * sizeof(float));
            for (int64_t i = 0; i < T; i++) {
                const float *o = out + ((base + i) * heads + h) * dim;
                const float *g_out = dout + ((base + i) * heads + h) * dim;
                vec acc = splat(0);
                for (int d = 0; d < dim; d += VL) acc += load(o + d) * load(g_out + d);
                dots[i] = sum(acc);
                std::memset(dq + ((base + i) * heads + h) * dim, 0, dim * sizeof(float));
            }
            for (int64_t i0 = 0; i0 < T; i0 += BM) {
                const int M = (int)std::min<int64_t>(BM, T - i0);
                for (int m = 0; m < M; m++) {
                    const float *from = q + (base + i0 + m) * q_row + (int64_t)h * dim;
                    for (int d = 0; d < dim; d++) Q[m * dim + d] = from[d] * (scale * LOG2E);
                    std::memcpy(dO + m * dim, dout + ((base + i0 + m) * heads + h) * dim,
                                dim * sizeof(float));
                }
                int64_t oldest = window ? std::max<int64_t>(0, i0 - window + 1) / PANEL * PANEL : 0;
                for (int64_t j = oldest; j < i0 + M; j += BN) {
                    const int keys = (int)std::min<int64_t>(BN, i0 + M - j);
                    const int wide = (int)round_up(keys, PANEL);
                    against_panels(M, wide, i0 + 1 - j, dim, Q, kt + j * dim, S, LD);
                    against_panels(M, wide, i0 + 1 - j, dim, dO, vt + j * dim, P, LD);
                    for (int m = 0; m < M; m++) {
                        int low, high;
                        visible(i0 + m, window, j, keys, low, high);
                        float *srow = S + (size_t)m * LD, *prow = P + (size_t)m * LD;
                        const float l = lse[(base + i0 + m) * heads + h], dot = dots[i0 + m];
                        const int begin = low / VL * VL, end = (int)round_up(high, VL);
                        for (int c = begin; c < end; c += VL) {
                            vec p = power_of_two(load(srow + c) - l);
                            store(srow + c, p * (load(prow + c) - dot));  // dS
                            store(prow + c, p);
                        }
                        for (float *x : {srow, prow}) {  // nothing unseen, computed or not, counts
                            std::memset(x, 0, low * sizeof(float));
                            std::memset(x + high, 0, (wide - high) * sizeof(float));
                        }
                    }
                    // Q carries scale * log2(e): dK loses the latter, dQ gets the scale at the end.
                    product(keys, dim, M, P, 1, LD, dO, dim, dv_h + j * dim, dim, true);
                    product(keys, dim, M, S, 1, LD, Q, dim, dk_h + j * dim, dim, true);
                    product(M, dim, keys, S, LD, 1, keys_h + j * k_row, k_row,
                            dq + ((base + i0) * heads + h) * dim, (int64_t)heads * dim, true);
                }
                for (int m = 0; m < M; m++) {
                    float *row = dq + ((base + i0 + m) * heads + h) * dim;
                    for (int d = 0; d < dim; d += VL) store(row + d, load(row + d) * scale);
                }
            }
        }
#pragma omp for schedule(static)
        for (int64_t n = 0; n < tokens; n++)
            for (int g = 0; g < groups; g++)
                for (int d = 0; d < dim; d += VL) {
                    vec a = splat(0), c = splat(0);
                    for (int r = 0; r < R; r++) {
                        const float *from = per_head + (g * R + r) * plane + n * dim + d;
                        a += load(from);
                        c += load(from + heads * plane);
                    }
                    store(dk + (n * groups + g) * dim + d, a * (1.f / LOG2E));
                    store(dv + (n * groups + g) * dim + d, c);
                }
    }
}
}
