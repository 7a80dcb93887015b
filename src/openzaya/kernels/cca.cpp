// Compressed convolutional attention between the projections and the attention itself, fp32:
// two convolutions, mean coupling, QK norm, key temperature, rotary embedding and value shift in
// one pass over a packed stream, and its gradient.
//
// A row of `projected` is [q heads | k heads | current values | delayed values]. Per channel c and
// head n (section 4 of the ZAYA1 report; arXiv 2510.04476):
//   y1[t] = w0[c,0] s[t-1] + w0[c,1] s[t] + b0         (s is zero before a document)
//   u[t]  = w1[:,:,0] y1[t-1] + w1[:,:,1] y1[t] + b1 + mean coupling of s[t]
//   q|k   = rotate(u * sqrt(K) / |u| (* temp for keys))
// y1[-1] is not zero: both zero columns stand before the first convolution.
#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "tile.h"

namespace {

constexpr int BM = 48;
constexpr float EPS = 1.1920929e-7f;

struct Block {
    int segment;
    int64_t first;  // row inside the segment
};

std::vector<Block> blocks_of(int segments, const int64_t *len) {
    std::vector<Block> blocks;
    for (int b = 0; b < segments; b++)
        for (int64_t i = 0; i < len[b]; i += BM) blocks.push_back({b, i});
    return blocks;
}

// Columns s[t-1] and s[t] of one head for the rows of a segment: inside it, carried, or zero.
struct Columns {
    const float *projected;  // first row of the segment, at the head's channels
    const float *carried;    // (2, C) at the head's channels, older first; null: nothing before
    int64_t row, channels;
    const float *at(int64_t t, const float *zeros) const {
        if (t >= 0) return projected + t * row;
        if (!carried || t < -2) return zeros;
        return carried + (t + 2) * channels;
    }
};

// The depthwise taps as two rows, old then now: interleaved as stored they do not vectorise.
std::vector<float> split_taps(const float *w0, int channels) {
    std::vector<float> taps(2 * channels);
    for (int c = 0; c < channels; c++) taps[c] = w0[2 * c], taps[channels + c] = w0[2 * c + 1];
    return taps;
}

// y1 of rows first .. first + count - 1 of one head, K floats a row; w_old and w_now are its taps.
void depthwise(const Columns &s, const float *w_old, const float *w_now, const float *b0,
               int64_t first, int count, int K, const float *zeros, float *y1) {
    for (int m = 0; m < count; m++) {
        const float *old = s.at(first + m - 1, zeros), *now = s.at(first + m, zeros);
        for (int c = 0; c < K; c += VL)
            store(y1 + m * K + c,
                  load(w_old + c) * load(old + c) + load(w_now + c) * load(now + c) + load(b0 + c));
    }
}

// Pairs (j, j + half) turned by the angle whose cosine and sine are given; sign -1 turns back.
void rotate(float *x, const float *cos, const float *sin, int half, float sign) {
    int j = 0;
    for (; j + VL <= half; j += VL) {
        vec a = load(x + j), b = load(x + half + j), c = load(cos + j), s = load(sin + j) * sign;
        store(x + j, a * c - b * s);
        store(x + half + j, b * c + a * s);
    }
    for (; j < half; j++) {
        float a = x[j], b = x[half + j], s = sin[j] * sign;
        x[j] = a * cos[j] - b * s;
        x[half + j] = b * cos[j] + a * s;
    }
}

// (K out, K in, 2) to rows [old in ...; now in ...] of K outputs: the right side of the product.
void pack_inputs_first(const float *w1, int K, float *packed) {
    for (int o = 0; o < K; o++)
        for (int i = 0; i < K; i++)
            for (int tap = 0; tap < 2; tap++)
                packed[(tap * K + i) * K + o] = w1[(o * K + i) * 2 + tap];
}

thread_local Scratch scratch, shared;  // a thread's own, and the caller's for all threads

}  // namespace

extern "C" {

// projected (N, row) with row = C + G*K; cos, sin (N, half). Out: q (N, H, K), k and v (N, G, K);
// u (N, H+G, K) is kept for the gradient where `u` is given. `carried_conv` (B, 2, C) and
// `carried_value` (B, G*K/2) continue segments whose `continued` flag is set; `value_bias` may be
// null.
void cca_forward(const float *projected, const float *w0, const float *b0, const float *w1,
                 const float *b1, const float *temp, const float *value_bias, const float *cos,
                 const float *sin, const float *carried_conv, const float *carried_value,
                 const uint8_t *continued, float *q, float *k, float *v, float *u, int segments,
                 const int64_t *start, const int64_t *len, int H, int G, int K, int half,
                 int threads) {
    const int heads = H + G, C = heads * K, R = H / G, kv = G * K;
    const int64_t row = C + kv;
    const float root = std::sqrt((float)K);
    auto blocks = blocks_of(segments, len);
    const auto taps = split_taps(w0, C);
    std::vector<float> packed((size_t)heads * 2 * K * K), zeros(K, 0.f);

#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int n = 0; n < heads; n++)
            pack_inputs_first(w1 + (size_t)n * K * K * 2, K, packed.data() + (size_t)n * 2 * K * K);
        float *y1 = scratch.get((size_t)(BM + 1) * K + (size_t)BM * C), *U = y1 + (BM + 1) * K;
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < blocks.size(); i++) {
            const int b = blocks[i].segment;
            const int64_t first = blocks[i].first;
            const int M = (int)std::min<int64_t>(BM, len[b] - first);
            const float *own = projected + start[b] * row;
            const bool goes_on = continued && continued[b];
            for (int n = 0; n < heads; n++) {
                Columns s{own + n * K, goes_on ? carried_conv + (size_t)b * 2 * C + n * K : nullptr,
                          row, C};
                depthwise(s, taps.data() + n * K, taps.data() + C + n * K, b0 + n * K, first - 1,
                          M + 1, K, zeros.data(), y1);
                for (int m = 0; m < M; m++)
                    std::memcpy(U + m * C + n * K, b1 + n * K, K * sizeof(float));
                // Row m of the left side is y1[m-1] and y1[m] side by side: they overlap in memory.
                product(M, K, 2 * K, y1, K, 1, packed.data() + (size_t)n * 2 * K * K, K, U + n * K,
                        C, true);
            }
            for (int m = 0; m < M; m++) {
                const int64_t token = start[b] + first + m;
                const float *s = own + (first + m) * row;
                float *ur = U + m * C;
                for (int g = 0; g < G; g++) {
                    const float *sk = s + (H + g) * K;
                    float *uk = ur + (H + g) * K;
                    for (int c = 0; c < K; c += VL) {
                        vec total = splat(0);
                        for (int r = 0; r < R; r++) {
                            const int at = (g * R + r) * K + c;
                            vec mean = (load(s + at) + load(sk + c)) * 0.5f;
                            store(ur + at, load(ur + at) + mean);
                            total += mean;
                        }
                        store(uk + c, load(uk + c) + total / (float)R);
                    }
                }
                if (u) std::memcpy(u + token * C, ur, C * sizeof(float));
                for (int n = 0; n < heads; n++) {
                    const float *x = ur + n * K;
                    float *to = n < H ? q + (token * H + n) * K : k + (token * G + n - H) * K;
                    vec acc = splat(0);
                    for (int c = 0; c < K; c += VL) acc += load(x + c) * load(x + c);
                    float gain = root / std::max(std::sqrt(sum(acc)), EPS);
                    if (n >= H) gain *= temp[n - H];
                    for (int c = 0; c < K; c += VL) store(to + c, load(x + c) * gain);
                    rotate(to, cos + token * half, sin + token * half, half, 1.f);
                }
                float *value = v + token * kv;
                const float *before = nullptr;
                if (first + m > 0) before = s - row + C + kv / 2;
                else if (goes_on) before = carried_value + (size_t)b * (kv / 2);
                std::memcpy(value, s + C, kv / 2 * sizeof(float));
                for (int c = 0; c < kv / 2; c++)
                    value[kv / 2 + c] = (before ? before[c] : 0.f) + (value_bias ? value_bias[c] : 0.f);
            }
        }
    }
}

// Gradients for documents that continue nothing. dprojected (N, row), dw0 (C, 2), db0 (C),
// dw1 (C, K, 2), db1 (C), dtemp (N, G) to be summed over N.
void cca_backward(const float *projected, const float *w0, const float *b0, const float *w1,
                  const float *temp, const float *cos, const float *sin, const float *u,
                  const float *dq, const float *dk, const float *dv, float *dprojected, float *dw0,
                  float *db0, float *dw1, float *db1, float *dtemp, int64_t tokens, int segments,
                  const int64_t *start, const int64_t *len, int H, int G, int K, int half,
                  int threads) {
    const int heads = H + G, C = heads * K, R = H / G, kv = G * K;
    const int64_t row = C + kv;
    const float root = std::sqrt((float)K);
    auto blocks = blocks_of(segments, len);
    const auto taps = split_taps(w0, C);
    std::vector<float> zeros(K, 0.f);
    float *du = shared.get(tokens * C);

#pragma omp parallel num_threads(threads)
    {
        // Rotation, norm and coupling are local to a token.
#pragma omp for schedule(static)
        for (size_t i = 0; i < blocks.size(); i++) {
            const int b = blocks[i].segment;
            const int64_t end = std::min<int64_t>(blocks[i].first + BM, len[b]);
            for (int64_t t = blocks[i].first; t < end; t++) {
                const int64_t token = start[b] + t;
                const float *cs = cos + token * half, *sn = sin + token * half;
                float *out = dprojected + token * row;
                for (int n = 0; n < heads; n++) {
                    const float *from = n < H ? dq + (token * H + n) * K : dk + (token * G + n - H) * K;
                    const float *x = u + token * C + n * K;
                    float *g = du + token * C + n * K;
                    std::memcpy(g, from, K * sizeof(float));
                    rotate(g, cs, sn, half, -1.f);
                    vec squares = splat(0), dots = splat(0);
                    for (int c = 0; c < K; c += VL) {
                        squares += load(x + c) * load(x + c);
                        dots += load(x + c) * load(g + c);
                    }
                    const float norm = std::sqrt(sum(squares)), dot = sum(dots);
                    float gain = root / std::max(norm, EPS);
                    if (n >= H) {
                        dtemp[token * G + n - H] = gain * dot;
                        gain *= temp[n - H];
                    }
                    const float along = norm > EPS ? dot / (norm * norm) : 0.f;
                    for (int c = 0; c < K; c += VL)
                        store(g + c, (load(g + c) - load(x + c) * along) * gain);
                }
                const float *d = du + token * C;
                for (int g = 0; g < G; g++) {
                    const float *dk_row = d + (H + g) * K;
                    for (int c = 0; c < K; c += VL) {
                        vec share = load(dk_row + c) * (0.5f / R), total = splat(0);
                        for (int r = 0; r < R; r++) {
                            const int at = (g * R + r) * K + c;
                            vec x = 0.5f * load(d + at) + share;
                            store(out + at, x);
                            total += x;
                        }
                        store(out + (H + g) * K + c, total);
                    }
                }
                std::memcpy(out + C, dv + token * kv, kv / 2 * sizeof(float));
                if (t + 1 < len[b])
                    std::memcpy(out + C + kv / 2, dv + (token + 1) * kv + kv / 2,
                                kv / 2 * sizeof(float));
                else std::memset(out + C + kv / 2, 0, kv / 2 * sizeof(float));
            }
        }
        // The convolutions mix rows but not heads.
        float *y1 = scratch.get((size_t)2 * (BM + 1) * K + (size_t)4 * K * K + 5 * K);
        float *dy = y1 + (BM + 1) * K, *back = dy + (BM + 1) * K, *dw = back + 2 * K * K;
        float *sums = dw + 2 * K * K;  // db1, db0, dw0 old, dw0 now
        float *edge = sums + 4 * K;
#pragma omp for schedule(dynamic, 1)
        for (int n = 0; n < heads; n++) {
            const float *wn = w1 + (size_t)n * K * K * 2;
            for (int o = 0; o < K; o++)  // outputs first: rows [old; now] of K inputs
                for (int i = 0; i < K; i++)
                    for (int tap = 0; tap < 2; tap++)
                        back[(tap * K + o) * K + i] = wn[(o * K + i) * 2 + tap];
            std::memset(dw, 0, (2 * K * K + 4 * K) * sizeof(float));
            const float *w_old = taps.data() + n * K, *w_now = w_old + C;
            for (const Block &block : blocks) {
                const int b = block.segment;
                const int64_t first = block.first, T = len[b];
                const int M = (int)std::min<int64_t>(BM, T - first);
                const int more = first + M < T;  // dy1 of the next block's first row is needed too
                const float *own = projected + start[b] * row + n * K;
                Columns s{own, nullptr, row, C};
                const float *g = du + (start[b] + first) * C + n * K;
                depthwise(s, w_old, w_now, b0 + n * K, first - 1, M + 1, K, zeros.data(), y1);
                product(2 * K, K, M, y1, 1, K, g, C, dw, K, true);
                // dy1[t] = now^T du[t] + old^T du[t+1], the latter where the document goes on
                product(M + more, K, K, g, C, 1, back + K * K, K, dy, K, false);
                const int follow = (int)std::min<int64_t>(M + more, T - first - 1);
                if (follow > 0) product(follow, K, K, g + C, C, 1, back, K, dy, K, true);
                if (first == 0) {  // y1[-1] is b0 alone
                    product(1, K, K, g, C, 1, back, K, edge, K, false);
                    for (int c = 0; c < K; c++) sums[K + c] += edge[c];
                }
                float *out = dprojected + (start[b] + first) * row + n * K;
                for (int m = 0; m < M; m++) {
                    const float *old = s.at(first + m - 1, zeros.data()), *now = own + (first + m) * row;
                    const float *d = dy + m * K, *next = dy + (m + 1) * K;
                    const bool has_next = first + m + 1 < T;
                    for (int c = 0; c < K; c += VL) {
                        vec dc = load(d + c), dn = has_next ? load(next + c) : splat(0);
                        store(sums + c, load(sums + c) + load(g + (int64_t)m * C + c));
                        store(sums + K + c, load(sums + K + c) + dc);
                        store(sums + 2 * K + c, load(sums + 2 * K + c) + dc * load(old + c));
                        store(sums + 3 * K + c, load(sums + 3 * K + c) + dc * load(now + c));
                        float *to = out + (int64_t)m * row + c;
                        store(to, load(to) + load(w_now + c) * dc + load(w_old + c) * dn);
                    }
                }
            }
            for (int o = 0; o < K; o++)
                for (int i = 0; i < K; i++)
                    for (int tap = 0; tap < 2; tap++)
                        dw1[((size_t)(n * K + o) * K + i) * 2 + tap] = dw[(tap * K + i) * K + o];
            for (int c = 0; c < K; c++) {
                db1[n * K + c] = sums[c];
                db0[n * K + c] = sums[K + c];
                dw0[2 * (n * K + c)] = sums[2 * K + c];
                dw0[2 * (n * K + c) + 1] = sums[3 * K + c];
            }
        }
    }
}
}
