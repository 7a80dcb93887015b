// The whole network on packed rows of many sequences, for inference: one call per engine step.
//
// Rows are a step's new tokens, sequence after sequence: one per sequence that decodes, many of one
// that is being prefilled. Keys and values live in blocks of 32 positions, which a table lists per
// sequence; the convolution and value context of a sequence lives in a slot, and a copy of it is
// kept beside every block that fills up, so that another sequence can go on from there.
//
// All threads run one parallel region. Between two barriers they share out panels of outputs or
// rows; no sum is split, so results depend neither on the threads nor on the rest of the batch.
#include <cmath>
#include <vector>

#include "packed.h"

namespace {

constexpr int BLOCK = 32;
constexpr int64_t KEYS = 2048;  // a softmax is taken over this many positions at a time
constexpr int MIX_ROWS = 48, QUERY_ROWS = 16;
constexpr float EPS = 1.1920929e-7f;

struct Layer {
    Linear qkv, conv, o, down, fc1, fc2, classes, w1, w2;
    const float *norm, *taps, *tap_bias, *temp, *value_bias;  // taps (2, C): old, now
    const float *merge, *mlp_norm, *average, *router_norm, *balance, *mlp_merge;
    const float *frequency;  // (half) of the rotary embedding
    float *keys, *values;    // (blocks, G, K, BLOCK) and (blocks, G, BLOCK, K)
    float *context, *edges;  // (slots, 2C + G*K/2): two raw columns, older first; delayed value
    int64_t window;          // 0: all
};

struct Network {
    int64_t layers, hidden, heads, groups, dim, half, experts, units, router, vocabulary;
    int64_t skip_scaled, linear_router;
    float eps;
    const float *input_scale, *input_bias, *final_norm;
    Linear head;
    const Layer *layer;
};

struct Step {
    int64_t rows, sequences, wanted, table_width;
    const int64_t *ids, *start, *length, *past;
    const int32_t *slot, *table;  // table (sequences, table_width): blocks in order
    const int32_t *want;          // rows whose logits are wanted
    float *logits;                // (wanted, vocabulary padded)
    uint8_t *choices;             // (rows, layers), or null
};

int64_t padded(int64_t n) { return (n + GROUP - 1) / GROUP * GROUP; }

struct Range {
    int64_t low, high;
};
Range part(int64_t total, int t, int threads) {
    return {total * t / threads, total * (t + 1) / threads};
}

// Rows of one sequence and one group of heads.
struct Task {
    int64_t sequence, first, rows, group;
};
std::vector<Task> tasks_of(const Step &s, int64_t groups, int64_t most) {
    std::vector<Task> tasks;
    for (int64_t b = 0; b < s.sequences; b++)
        for (int64_t i = 0; i < s.length[b]; i += most)
            for (int64_t g = 0; g < groups; g++)
                tasks.push_back({b, i, std::min(most, s.length[b] - i), g});
    return tasks;
}

void norm_row(const float *x, const float *w, float *y, int64_t width, float eps) {
    vec squares = splat(0);
    for (int64_t d = 0; d < width; d += VL) squares += load(x + d) * load(x + d);
    const float r = 1.f / std::sqrt(sum(squares) / width + eps);
    for (int64_t d = 0; d < width; d += VL) store(y + d, load(x + d) * r * load(w + d));
}

// (branch + hb) * hs + (residual + rb) * rs into residual; `merge` is hs, hb, rs, rb.
void merge_row(const float *branch, const float *merge, float *residual, int64_t width) {
    const float *hs = merge, *hb = hs + width, *rs = hb + width, *rb = rs + width;
    for (int64_t d = 0; d < width; d += VL)
        store(residual + d, (load(branch + d) + load(hb + d)) * load(hs + d) +
                                (load(residual + d) + load(rb + d)) * load(rs + d));
}

// x * Phi(x). The two polynomials are least-squares fits, within 3e-8 of erf.
vec gelu(vec x) {
    const vec z = x * 0.70710678118654752f, a = z < splat(0) ? -z : z, s = z * z;
    vec p = splat(7.933422860e-05f);
    p = p * s - 8.034828116e-04f;
    p = p * s + 5.191216622e-03f;
    p = p * s - 2.685539873e-02f;
    p = p * s + 1.128362571e-01f;
    p = p * s - 3.761262988e-01f;
    p = p * s + 1.128379167e+00f;
    const vec far = a > splat(4.f) ? splat(4.f) : a;
    vec q = splat(2.328581079e-06f);  // log2 of 1 - erf
    q = q * far - 6.577303557e-05f;
    q = q * far + 8.551830570e-04f;
    q = q * far - 6.838683788e-03f;
    q = q * far + 3.803621665e-02f;
    q = q * far - 1.586650195e-01f;
    q = q * far - 9.116925592e-01f;
    q = q * far - 1.630485833e+00f;
    q = q * far + 4.374382370e-04f;
    const vec tail = 1.f - power_of_two(q), signed_tail = z < splat(0) ? -tail : tail;
    return 0.5f * x * (1.f + (a < splat(1.f) ? p * z : signed_tail));
}

// What one step works on; a thread's own part is `own`.
struct Work {
    const Network &net;
    const Step &step;
    int64_t N, H, C, kv, row, state;
    float *residual, *x, *projected, *q, *heads, *branch, *latent, *z, *y, *act, *gate, *cos, *sin;
    int32_t *choice;

    Work(const Network &net, const Step &step)
        : net(net), step(step), N(step.rows), H(padded(net.hidden)),
          C((net.heads + net.groups) * net.dim), kv(net.groups * net.dim), row(C + kv),
          state(2 * C + kv / 2) {}

    void allocate(Scratch &memory) {
        const int64_t R = padded(std::max(net.router, net.experts + 1)), F = padded(net.units);
        const int64_t widths[] = {net.hidden, H, row, net.heads * net.dim, padded(net.heads * net.dim),
                                  H, R, R, R, 3 * F, 1, 2 * net.half, 2 * net.half, 1};
        float **parts[] = {&residual, &x, &projected, &q, &heads, &branch, &latent, &z, &y, &act,
                           &gate, &cos, &sin, (float **)&choice};
        int64_t total = 0;
        for (int64_t w : widths) total += (w * N + LINE - 1) / LINE * LINE;
        float *at = memory.get(total);
        std::fill(at, at + total, 0.f);  // the padding has to be zero
        for (size_t i = 0; i < std::size(widths); i++) {
            *parts[i] = at;
            at += (widths[i] * N + LINE - 1) / LINE * LINE;
        }
    }

    // Rotary tables: of the two kinds of layers, those of the first layer and of the first other.
    const float *other = nullptr;
    void angles(Range rows) {
        const float *tables[2] = {net.layer[0].frequency, other};
        for (int64_t b = 0; b < step.sequences; b++)
            for (int64_t i = 0; i < step.length[b]; i++) {
                const int64_t n = step.start[b] + i;
                if (n < rows.low || n >= rows.high) continue;
                for (int k = 0; k < 2 && tables[k]; k++)
                    for (int64_t j = 0; j < net.half; j++) {
                        const float angle = (float)(step.past[b] + i) * tables[k][j];
                        cos[(n * 2 + k) * net.half + j] = std::cos(angle);
                        sin[(n * 2 + k) * net.half + j] = std::sin(angle);
                    }
            }
    }

    float *slot(const Layer &l, int64_t b) const { return l.context + step.slot[b] * state; }
    int64_t block(int64_t b, int64_t position) const {
        return step.table[b * step.table_width + position / BLOCK];
    }

    // Raw q|k columns of row t of sequence b: in this step, before it, or zero.
    const float *column(const Layer &l, int64_t b, int64_t t, const float *zeros) const {
        if (t >= 0) return projected + (step.start[b] + t) * row;
        if (step.past[b] + t < 0) return zeros;
        return slot(l, b) + (t + 2) * C;
    }
    const float *delayed(const Layer &l, int64_t b, int64_t t, const float *zeros) const {
        if (t >= 0) return projected + (step.start[b] + t) * row + C + kv / 2;
        return step.past[b] ? slot(l, b) + 2 * C : zeros;
    }

    // Projections to queries and stored keys and values.
    void mix(const Layer &l, const Task &task, Scratch &own) {
        const int64_t K = net.dim, M = task.rows, R = net.heads / net.groups, b = task.sequence;
        const float root = std::sqrt((float)K);
        float *y1 = own.get((M + 1) * K + (R + 1) * M * K + C), *U = y1 + (M + 1) * K;
        float *zeros = U + (R + 1) * M * K;
        std::fill(zeros, zeros + C, 0.f);
        static thread_local Scratch panels;
        for (int64_t r = 0; r <= R; r++) {
            const int64_t head = r < R ? task.group * R + r : net.heads + task.group, at = head * K;
            for (int64_t m = -1; m < M; m++) {
                const float *old = column(l, b, task.first + m - 1, zeros) + at;
                const float *now = column(l, b, task.first + m, zeros) + at;
                for (int64_t c = 0; c < K; c += VL)
                    store(y1 + (m + 1) * K + c, load(l.taps + at + c) * load(old + c) +
                                                    load(l.taps + C + at + c) * load(now + c) +
                                                    load(l.tap_bias + at + c));
            }
            // Row m of the left side is y1[m-1] and y1[m] side by side: they overlap in memory.
            apply(l.conv, head, 0, K / OUT, M, {y1, K}, 0, {U + r * M * K, K}, panels);
        }
        const int kind = l.frequency != net.layer[0].frequency;
        for (int64_t m = 0; m < M; m++) {
            const int64_t t = task.first + m, n = step.start[b] + t, position = step.past[b] + t;
            const float *s = projected + n * row, *sk = s + (net.heads + task.group) * K;
            float *uk = U + (R * M + m) * K;
            for (int64_t c = 0; c < K; c += VL) {
                vec total = splat(0);
                for (int64_t r = 0; r < R; r++) {
                    float *uq = U + (r * M + m) * K + c;
                    const vec mean = (load(s + (task.group * R + r) * K + c) + load(sk + c)) * 0.5f;
                    store(uq, load(uq) + mean);
                    total += mean;
                }
                store(uk + c, load(uk + c) + total / (float)R);
            }
            const int64_t home = block(b, position) * net.groups + task.group, in = position % BLOCK;
            for (int64_t r = 0; r <= R; r++) {
                float *u = U + (r * M + m) * K;
                vec squares = splat(0);
                for (int64_t c = 0; c < K; c += VL) squares += load(u + c) * load(u + c);
                float gain = root / std::max(std::sqrt(sum(squares)), EPS);
                if (r == R) gain *= l.temp[task.group];
                for (int64_t c = 0; c < K; c += VL) store(u + c, load(u + c) * gain);
                const float *co = cos + (n * 2 + kind) * net.half, *si = sin + (n * 2 + kind) * net.half;
                for (int64_t j = 0; j < net.half; j++) {
                    const float a = u[j], d = u[net.half + j];
                    u[j] = a * co[j] - d * si[j];
                    u[net.half + j] = d * co[j] + a * si[j];
                }
                if (r < R)
                    std::memcpy(q + (n * net.heads + task.group * R + r) * K, u, K * sizeof(float));
                else
                    for (int64_t c = 0; c < K; c++) l.keys[(home * K + c) * BLOCK + in] = u[c];
            }
            // The value channels are [current | delayed], cut into groups.
            const float *before = delayed(l, b, t - 1, zeros);
            float *value = l.values + (home * BLOCK + in) * K;
            for (int64_t c = 0; c < K; c++) {
                const int64_t at = task.group * K + c - kv / 2;
                value[c] = at < 0 ? s[C + at + kv / 2]
                                  : before[at] + (l.value_bias ? l.value_bias[at] : 0.f);
            }
        }
    }

    // Softmax over the stored positions, KEYS at a time, for one group of heads.
    void attend(const Layer &l, const Task &task, Scratch &own) {
        const int64_t K = net.dim, R = net.heads / net.groups, M = task.rows * R, b = task.sequence;
        const int64_t last = step.past[b] + task.first + task.rows;  // positions that are seen
        const int64_t begin = l.window ? std::max<int64_t>(0, last - task.rows - l.window + 1) : 0;
        const int64_t span = std::min(KEYS, (last + BLOCK - 1) / BLOCK * BLOCK);
        const int64_t floats = M * K * 2 + M * span + 2 * M;
        float *Q = own.get(floats), *out = Q + M * K, *S = out + M * K, *top = S + M * span, *mass = top + M;
        const float scale = 1.4426950408889634f / std::sqrt((float)K);  // powers of two are cheaper
        const int64_t n0 = step.start[b] + task.first, head = task.group * R;
        for (int64_t m = 0; m < M; m++) {
            const float *from = q + ((n0 + m / R) * net.heads + head + m % R) * K;
            for (int64_t c = 0; c < K; c += VL) {
                store(Q + m * K + c, load(from + c) * scale);
                store(out + m * K + c, splat(0));
            }
            top[m] = -INFINITY;
            mass[m] = 0.f;
        }
        for (int64_t chunk = begin / KEYS * KEYS; chunk < last; chunk += KEYS) {
            const int64_t first = std::max(chunk, begin / BLOCK * BLOCK), end = std::min(last, chunk + KEYS);
            const int64_t width = (end - first + BLOCK - 1) / BLOCK * BLOCK;
            for (int64_t p = first; p < end; p += BLOCK)
                product(M, BLOCK, K, Q, K, 1, l.keys + (block(b, p) * net.groups + task.group) * K * BLOCK,
                        BLOCK, S + p - first, span, false);
            for (int64_t m = 0; m < M; m++) {
                const int64_t position = step.past[b] + task.first + m / R;
                float *score = S + m * span;
                const int64_t high = std::min(end, position + 1) - first;
                const int64_t low = l.window ? std::max<int64_t>(0, position - l.window + 1 - first) : 0;
                if (high <= low) {
                    std::fill(score, score + width, 0.f);
                    continue;
                }
                std::fill(score, score + low, -INFINITY);
                std::fill(score + high, score + width, -INFINITY);
                vec most = splat(top[m]);
                for (int64_t j = 0; j < width; j += VL) most = maximum(most, load(score + j));
                const float best = largest(most);
                if (best > top[m] && mass[m] > 0.f) {
                    const float less = std::exp2(top[m] - best);
                    mass[m] *= less;
                    for (int64_t c = 0; c < K; c += VL)
                        store(out + m * K + c, load(out + m * K + c) * less);
                }
                top[m] = best;
                vec total = splat(0);
                for (int64_t j = 0; j < width; j += VL) {
                    const vec e = power_of_two(load(score + j) - best);
                    store(score + j, e);
                    total += e;
                }
                mass[m] += sum(total);
            }
            // Positions after `last` may hold another sequence's remains: they are not read.
            for (int64_t p = first; p < end; p += BLOCK)
                product(M, K, std::min<int64_t>(BLOCK, end - p), S + p - first, span, 1,
                        l.values + (block(b, p) * net.groups + task.group) * BLOCK * K, K, out, K, true);
        }
        const int64_t ld = padded(net.heads * K);
        for (int64_t m = 0; m < M; m++)
            for (int64_t c = 0; c < K; c += VL)
                store(heads + (n0 + m / R) * ld + (head + m % R) * K + c,
                      load(out + m * K + c) / mass[m]);
    }

    // The context after row t >= 0 of sequence b; `to` may be the slot it comes from.
    void snapshot(const Layer &l, int64_t b, int64_t t, float *to) {
        if (const float *older = column(l, b, t - 1, nullptr))
            std::memcpy(to, older, C * sizeof(float));
        else
            std::fill(to, to + C, 0.f);
        std::memcpy(to + C, column(l, b, t, nullptr), C * sizeof(float));
        std::memcpy(to + 2 * C, delayed(l, b, t, nullptr), kv / 2 * sizeof(float));
    }
    void carry(const Layer &l, int64_t b) {
        const int64_t length = step.length[b], past = step.past[b];
        for (int64_t end = past / BLOCK * BLOCK + BLOCK; end <= past + length; end += BLOCK)
            snapshot(l, b, end - 1 - past, l.edges + block(b, end - 1) * state);
        snapshot(l, b, length - 1, slot(l, b));
    }

    // Scores of the classes, the choice and its probability.
    void route(const Layer &l, int64_t index, int64_t n, float *before, Scratch &panels) {
        const int64_t R = net.router, ld = padded(std::max(R, net.experts + 1));
        float *hidden = z + n * ld, *other_hidden = y + n * ld, *own = latent + n * ld;
        float *score = own;  // a linear router's products are the scores
        if (!net.linear_router) {
            if (l.average)
                for (int64_t d = 0; d < R; d += VL)
                    store(own + d, load(own + d) + load(l.average + d) * load(before + n * ld + d));
            norm_row(own, l.router_norm, hidden, R, net.eps);
            apply(l.fc1, 0, 0, l.fc1.panels(), 1, {hidden, ld}, 0, {other_hidden, ld}, panels);
            for (int64_t d = 0; d < R; d += VL) store(other_hidden + d, gelu(load(other_hidden + d)));
            apply(l.fc2, 0, 0, l.fc2.panels(), 1, {other_hidden, ld}, 0, {hidden, ld}, panels);
            for (int64_t d = 0; d < R; d += VL) store(hidden + d, gelu(load(hidden + d)));
            apply(l.classes, 0, 0, l.classes.panels(), 1, {hidden, ld}, 0, {other_hidden, ld}, panels);
            score = other_hidden;
        }
        const int64_t classes = l.classes.out;
        const float top = *std::max_element(score, score + classes);
        float total = 0;
        for (int64_t c = 0; c < classes; c++) total += std::exp(score[c] - top);
        int64_t best = 0;
        float best_value = -INFINITY;
        for (int64_t c = 0; c < classes; c++) {
            const float value = std::exp(score[c] - top) / total + l.balance[c];
            if (value > best_value) best_value = value, best = c;
        }
        choice[n] = (int32_t)best;
        gate[n] = std::exp(score[best] - top) / total;
        if (step.choices) step.choices[n * net.layers + index] = (uint8_t)best;
    }

    // Rows by expert, and where each expert's begin. Every thread makes its own.
    void sort(std::vector<int64_t> &edge, std::vector<int32_t> &rows) const {
        edge.assign(net.experts + 2, 0);
        rows.resize(N);
        for (int64_t n = 0; n < N; n++) edge[choice[n] + 1]++;
        for (int64_t e = 0; e <= net.experts; e++) edge[e + 1] += edge[e];
        std::vector<int64_t> next(edge.begin(), edge.end());
        for (int64_t n = 0; n < N; n++) rows[next[choice[n]]++] = (int32_t)n;
    }
};

void forward(Work &w, int threads) {
    const Network &net = w.net;
    const Step &step = w.step;
    const auto mixes = tasks_of(step, net.groups, MIX_ROWS);
    auto queries = tasks_of(step, net.groups, QUERY_ROWS);
    std::stable_sort(queries.begin(), queries.end(), [&](const Task &a, const Task &b) {
        return a.rows * (step.past[a.sequence] + a.first) > b.rows * (step.past[b.sequence] + b.first);
    });
    const int64_t R = padded(std::max(net.router, net.experts + 1)), F = padded(net.units);
    const int64_t head_ld = padded(net.heads * net.dim), unit_panels = net.units / OUT;
    std::vector<float> previous(net.linear_router ? 0 : w.N * R);
    for (int64_t i = 1; i < net.layers && !w.other; i++)
        if (net.layer[i].frequency != net.layer[0].frequency) w.other = net.layer[i].frequency;

#pragma omp parallel num_threads(threads)
    {
        static thread_local Scratch own, panels;
        const FlushDenormals flush;
        const int t = omp_get_thread_num(), T = omp_get_num_threads();
        const Range mine = part(w.N, t, T);
        std::vector<int64_t> edge;
        std::vector<int32_t> order;
        auto linear = [&](const Linear &weights, float *from, int64_t ld, float *to, int64_t to_ld) {
            const Range p = part(weights.panels(), t, T);
            apply(weights, 0, p.low, p.high, w.N, {from, ld}, 0, {to, to_ld}, panels);
        };
        w.angles(mine);
        for (int64_t n = mine.low; n < mine.high; n++) {
            float *embedded = w.x + n * w.H;
            row_of(net.head, step.ids[n], embedded);
            for (int64_t d = 0; d < net.hidden; d += VL)
                store(w.residual + n * net.hidden + d,
                      (load(embedded + d) + load(net.input_bias + d)) * load(net.input_scale + d));
        }
        for (int64_t i = 0; i < net.layers; i++) {
            const Layer &l = net.layer[i];
            for (int64_t n = mine.low; n < mine.high; n++) {
                float *residual = w.residual + n * net.hidden;
                if (i) merge_row(w.branch + n * w.H, net.layer[i - 1].mlp_merge, residual, net.hidden);
                norm_row(residual, l.norm, w.x + n * w.H, net.hidden, net.eps);
            }
#pragma omp barrier
            linear(l.qkv, w.x, w.H, w.projected, w.row);
#pragma omp barrier
#pragma omp for schedule(dynamic, 1)
            for (size_t k = 0; k < mixes.size(); k++) w.mix(l, mixes[k], own);
#pragma omp for schedule(dynamic, 1)
            for (size_t k = 0; k < queries.size(); k++) w.attend(l, queries[k], own);
            linear(l.o, w.heads, head_ld, w.branch, w.H);
            for (int64_t b = t; b < step.sequences; b += T) w.carry(l, b);
#pragma omp barrier
            for (int64_t n = mine.low; n < mine.high; n++) {
                float *residual = w.residual + n * net.hidden;
                merge_row(w.branch + n * w.H, l.merge, residual, net.hidden);
                norm_row(residual, l.mlp_norm, w.x + n * w.H, net.hidden, net.eps);
            }
#pragma omp barrier
            linear(net.linear_router ? l.classes : l.down, w.x, w.H, w.latent, R);
#pragma omp barrier
            for (int64_t n = mine.low; n < mine.high; n++) {
                w.route(l, i, n, previous.data(), panels);
                if (!net.linear_router)
                    std::memcpy(previous.data() + n * R, w.latent + n * R, R * sizeof(float));
            }
#pragma omp barrier
            w.sort(edge, order);
            const Range p = part(unit_panels, t, T), out = part(l.w2.panels(), t, T);
            for (int64_t e = 0; e < net.experts; e++) {
                const int64_t first = edge[e], rows = edge[e + 1] - first;
                if (!rows) continue;
                // Gate and up of the same units, then their product: no other thread's part.
                float *hidden = w.act + w.N * F;
                const Rows from{w.x, w.H, order.data()}, to{hidden, 2 * F};
                apply(l.w1, e, p.low, p.high, rows, from, first, to, panels);
                apply(l.w1, e, unit_panels + p.low, unit_panels + p.high, rows, from, first, to, panels);
                for (int64_t m = first; m < first + rows; m++)
                    for (int64_t f = p.low * OUT; f < p.high * OUT; f += VL) {
                        const vec gate = load(hidden + m * 2 * F + f);
                        const vec up = load(hidden + m * 2 * F + net.units + f);
                        store(w.act + m * F + f,
                              gate / (1.f + exponential(-gate)) * up * w.gate[order[m]]);
                    }
            }
#pragma omp barrier
            for (int64_t e = 0; e < net.experts; e++) {
                const int64_t first = edge[e], rows = edge[e + 1] - first;
                if (!rows) continue;
                const Rows from{w.act, F}, to{w.branch, w.H, order.data()};
                apply(l.w2, e, out.low, out.high, rows, from, first, to, panels);
            }
            for (int64_t k = edge[net.experts]; k < w.N; k++) {  // the skip class
                const int64_t n = order[k];
                for (int64_t d = out.low * OUT; d < std::min(out.high * OUT, net.hidden); d++)
                    w.branch[n * w.H + d] = net.skip_scaled ? w.x[n * w.H + d] * w.gate[n] : 0.f;
            }
#pragma omp barrier
        }
        const Range wanted = part(step.wanted, t, T);
        for (int64_t k = wanted.low; k < wanted.high; k++) {
            const int64_t n = step.want[k];
            float *residual = w.residual + n * net.hidden;
            merge_row(w.branch + n * w.H, net.layer[net.layers - 1].mlp_merge, residual, net.hidden);
            norm_row(residual, net.final_norm, w.x + n * w.H, net.hidden, net.eps);
        }
#pragma omp barrier
        const Range p = part(net.head.panels(), t, T);
        const Rows last{w.x, w.H, step.want}, logits{step.logits, net.head.panels() * OUT};
        apply(net.head, 0, p.low, p.high, step.wanted, last, 0, logits, panels);
    }
}

}  // namespace

extern "C" {

void network_forward(const Network *net, const Step *step, int threads) {
    static thread_local Scratch memory;
    Work work(*net, *step);
    work.allocate(memory);
    forward(work, threads);
}
}
