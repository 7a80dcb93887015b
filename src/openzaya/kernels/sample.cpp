// One token per row of logits, and its log-probability.
//
// A row's token is the inverse of its cumulative distribution at the row's own number: what else is
// in the batch does not matter. Order of truncation: min-p, top-k, top-p, as in vLLM.
#include <algorithm>
#include <cmath>
#include <vector>

#include "tile.h"

namespace {

constexpr int64_t PART = 512;  // tokens whose mass is summed together, in fp32; parts sum in fp64

// e^(x * gain - top) of PART tokens at most, to `mass`; the sum of them.
double masses(const float *x, int64_t n, float gain, float top, float *mass) {
    vec total = splat(0);
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        const vec e = exponential(load(x + i) * gain - top);
        store(mass + i, e);
        total += e;
    }
    double rest = 0;
    for (; i < n; i++) {
        const vec e = exponential(splat(x[i] * gain - top));
        mass[i] = e[0];
        rest += e[0];
    }
    return sum(total) + rest;
}

float highest(const float *x, int64_t n) {
    vec top = splat(-INFINITY);
    int64_t i = 0;
    for (; i + VL <= n; i += VL) top = maximum(load(x + i), top);
    float most = largest(top);
    for (; i < n; i++) most = std::max(most, x[i]);
    return most;
}

// The tokens that truncation leaves: their ids in order, and the sum of their masses.
double truncate(const float *mass, int64_t V, int64_t top_k, float top_p, float min_p,
                std::vector<int32_t> &kept) {
    kept.clear();
    double total = 0;
    for (int64_t v = 0; v < V; v++)  // the likeliest token's mass is 1
        if (mass[v] > 0 && mass[v] >= min_p) {
            kept.push_back((int32_t)v);
            total += mass[v];
        }
    auto later = [&](int32_t a, int32_t b) {
        return mass[a] < mass[b] || (mass[a] == mass[b] && a > b);
    };
    const bool few = top_k > 0 && top_k < (int64_t)kept.size();
    if (few) {
        std::nth_element(kept.begin(), kept.begin() + top_k, kept.end(),
                         [&](int32_t a, int32_t b) { return later(b, a); });
        kept.resize(top_k);
        total = 0;
        for (int32_t v : kept) total += mass[v];
    }
    if (top_p < 1) {  // the likeliest, one after another, until their mass is enough
        std::make_heap(kept.begin(), kept.end(), later);
        auto end = kept.end();
        double reached = 0;
        while (end != kept.begin() && (reached < top_p * total || end == kept.end())) {
            std::pop_heap(kept.begin(), end, later);
            reached += mass[*--end];
        }
        kept.erase(kept.begin(), end);
    }
    std::sort(kept.begin(), kept.end());
    total = 0;
    for (int32_t v : kept) total += mass[v];
    return total;
}

}  // namespace

extern "C" {

// logits (rows, ld) of which V are tokens. temperature 0: the likeliest token. `uniform` in [0, 1).
// `logp`: under the distribution the token was drawn from; `raw`: under the softmax of the logits.
// A row without one finite largest logit yields token -1.
void sample_rows(const float *logits, int64_t ld, int64_t V, const float *temperature,
                 const int64_t *top_k, const float *top_p, const float *min_p,
                 const double *uniform, int64_t *token, float *logp, float *raw, int64_t rows,
                 int threads) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int64_t n = 0; n < rows; n++) {
        static thread_local Scratch memory;
        static thread_local std::vector<double> parts;
        static thread_local std::vector<int32_t> kept;
        const float *x = logits + n * ld, top = highest(x, V);
        float *mass = memory.get(V);
        auto all = [&](float gain) {
            parts.clear();
            double total = 0;
            for (int64_t v = 0; v < V; v += PART) {
                parts.push_back(masses(x + v, std::min(PART, V - v), gain, top * gain, mass + v));
                total += parts.back();
            }
            return total;
        };
        const double plain = all(1.f);
        token[n] = -1, logp[n] = raw[n] = NAN;
        if (!std::isfinite(top) || !std::isfinite(plain)) continue;
        const double plain_log = std::log(plain);
        auto choose = [&](int64_t v, double probability) {
            token[n] = v;
            raw[n] = (float)((double)x[v] - top - plain_log);
            logp[n] = (float)probability;
        };
        if (temperature[n] == 0) {
            choose(std::find(x, x + V, top) - x, 0);
            continue;
        }
        const float gain = 1.f / temperature[n];
        double total = gain == 1.f ? plain : all(gain);
        auto log_of = [&](int64_t v) { return ((double)x[v] - top) * gain - std::log(total); };
        if (top_p[n] >= 1 && min_p[n] <= 0 && (top_k[n] <= 0 || top_k[n] >= V)) {
            double left = uniform[n] * total;
            size_t p = 0;
            while (p + 1 < parts.size() && left >= parts[p]) left -= parts[p++];
            int64_t last = -1, end = std::min<int64_t>(V, (p + 1) * PART);
            for (int64_t v = p * PART; v < end; v++) {
                if (mass[v] > 0) last = v;  // rounding never points at an impossible token
                if ((left -= mass[v]) < 0) break;
            }
            if (last < 0) last = std::find(x, x + V, top) - x;
            choose(last, log_of(last));
            continue;
        }
        total = truncate(mass, V, top_k[n], top_p[n], min_p[n], kept);
        double left = uniform[n] * total;
        size_t k = 0;
        while (k + 1 < kept.size() && (left -= mass[kept[k]]) >= 0) k++;
        choose(kept[k], log_of(kept[k]));
    }
}
}
