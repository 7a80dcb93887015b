// Row-wise parts of a block, fp32, each in one pass with its gradient: RMSNorm and the residual
// merge; and the sort of rows by expert.
//
// Gradients of vectors are summed over fixed groups of rows and then over groups in order: the
// result does not depend on the number of threads.
#include <algorithm>
#include <cmath>
#include <vector>

#include "tile.h"

namespace {

constexpr int64_t GROUP = 64;  // rows summed together

int64_t groups_of(int64_t rows) { return (rows + GROUP - 1) / GROUP; }

// out[d] = sum over groups of partial[group, d]
void gather_groups(const float *partial, int64_t groups, int64_t width, int64_t stride, float *out) {
    for (int64_t d = 0; d < width; d++) out[d] = partial[d];
    for (int64_t g = 1; g < groups; g++)
        for (int64_t d = 0; d < width; d++) out[d] += partial[g * stride + d];
}

}  // namespace

extern "C" {

// y = x / sqrt(mean(x^2) + eps) * w; `inverse` (N) is kept for the gradient.
void rms_norm_forward(const float *x, const float *w, float *y, float *inverse, int64_t rows,
                      int width, float eps, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t n = 0; n < rows; n++) {
        const float *from = x + n * width;
        float *to = y + n * width;
        vec squares = splat(0);
        for (int d = 0; d < width; d += VL) squares += load(from + d) * load(from + d);
        const float r = 1.f / std::sqrt(sum(squares) / width + eps);
        inverse[n] = r;
        for (int d = 0; d < width; d += VL) store(to + d, load(from + d) * r * load(w + d));
    }
}

void rms_norm_backward(const float *x, const float *w, const float *inverse, const float *dy,
                       float *dx, float *dw, int64_t rows, int width, int threads) {
    const int64_t groups = groups_of(rows);
    std::vector<float> partial(groups * width, 0.f);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t g = 0; g < groups; g++) {
        float *sums = partial.data() + g * width;
        for (int64_t n = g * GROUP; n < std::min(rows, (g + 1) * GROUP); n++) {
            const float *from = x + n * width, *grad = dy + n * width;
            float *to = dx + n * width;
            const float r = inverse[n];
            vec dots = splat(0);
            for (int d = 0; d < width; d += VL) {
                vec normed = load(from + d) * r;
                store(sums + d, load(sums + d) + load(grad + d) * normed);
                dots += load(grad + d) * load(w + d) * normed;
            }
            const float mean = sum(dots) / width;
            for (int d = 0; d < width; d += VL)
                store(to + d, (load(grad + d) * load(w + d) - load(from + d) * (r * mean)) * r);
        }
    }
    gather_groups(partial.data(), groups, width, width, dw);
}

// out = (branch + hb) * hs + (residual + rb) * rs
void merge_forward(const float *branch, const float *residual, const float *hs, const float *hb,
                   const float *rs, const float *rb, float *out, int64_t rows, int width,
                   int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t n = 0; n < rows; n++)
        for (int d = 0; d < width; d += VL)
            store(out + n * width + d,
                  (load(branch + n * width + d) + load(hb + d)) * load(hs + d) +
                      (load(residual + n * width + d) + load(rb + d)) * load(rs + d));
}

// dvectors (4, width): hs, hb, rs, rb
void merge_backward(const float *branch, const float *residual, const float *hs, const float *hb,
                    const float *rs, const float *rb, const float *dout, float *dbranch,
                    float *dresidual, float *dvectors, int64_t rows, int width, int threads) {
    const int64_t groups = groups_of(rows), stride = 3 * (int64_t)width;
    std::vector<float> partial(groups * stride, 0.f);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t g = 0; g < groups; g++) {
        float *total = partial.data() + g * stride, *by_branch = total + width;
        float *by_residual = by_branch + width;
        for (int64_t n = g * GROUP; n < std::min(rows, (g + 1) * GROUP); n++)
            for (int d = 0; d < width; d += VL) {
                const int64_t at = n * width + d;
                vec grad = load(dout + at);
                store(dbranch + at, grad * load(hs + d));
                store(dresidual + at, grad * load(rs + d));
                store(total + d, load(total + d) + grad);
                store(by_branch + d, load(by_branch + d) + grad * (load(branch + at) + load(hb + d)));
                store(by_residual + d,
                      load(by_residual + d) + grad * (load(residual + at) + load(rb + d)));
            }
    }
    std::vector<float> sums(stride);
    gather_groups(partial.data(), groups, stride, stride, sums.data());
    for (int d = 0; d < width; d++) {
        dvectors[d] = sums[width + d];
        dvectors[width + d] = sums[d] * hs[d];
        dvectors[2 * width + d] = sums[2 * width + d];
        dvectors[3 * width + d] = sums[d] * rs[d];
    }
}

// The merge and the norm that reads it: out as above, y = rms_norm(out; w). Both are kept.
void merge_norm_forward(const float *branch, const float *residual, const float *hs,
                        const float *hb, const float *rs, const float *rb, const float *w,
                        float *out, float *y, float *inverse, int64_t rows, int width, float eps,
                        int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t n = 0; n < rows; n++) {
        float *merged = out + n * width;
        vec squares = splat(0);
        for (int d = 0; d < width; d += VL) {
            vec x = (load(branch + n * width + d) + load(hb + d)) * load(hs + d) +
                    (load(residual + n * width + d) + load(rb + d)) * load(rs + d);
            store(merged + d, x);
            squares += x * x;
        }
        const float r = 1.f / std::sqrt(sum(squares) / width + eps);
        inverse[n] = r;
        for (int d = 0; d < width; d += VL)
            store(y + n * width + d, load(merged + d) * r * load(w + d));
    }
}

// dout reaches the merge directly, dy through the norm. dvectors (5, width): hs, hb, rs, rb, w.
void merge_norm_backward(const float *branch, const float *residual, const float *hs,
                         const float *hb, const float *rs, const float *rb, const float *w,
                         const float *merged, const float *inverse, const float *dout,
                         const float *dy, float *dbranch, float *dresidual, float *dvectors,
                         int64_t rows, int width, int threads) {
    const int64_t groups = groups_of(rows), stride = 4 * (int64_t)width;
    std::vector<float> partial(groups * stride, 0.f);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t g = 0; g < groups; g++) {
        float *total = partial.data() + g * stride, *by_branch = total + width;
        float *by_residual = by_branch + width, *by_norm = by_residual + width;
        for (int64_t n = g * GROUP; n < std::min(rows, (g + 1) * GROUP); n++) {
            const float *x = merged + n * width, *grad_y = dy + n * width;
            const float r = inverse[n];
            vec dots = splat(0);
            for (int d = 0; d < width; d += VL) {
                vec normed = load(x + d) * r;
                store(by_norm + d, load(by_norm + d) + load(grad_y + d) * normed);
                dots += load(grad_y + d) * load(w + d) * normed;
            }
            const float mean = sum(dots) / width;
            for (int d = 0; d < width; d += VL) {
                const int64_t at = n * width + d;
                vec grad = load(dout + at) +
                           (load(grad_y + d) * load(w + d) - load(x + d) * (r * mean)) * r;
                store(dbranch + at, grad * load(hs + d));
                store(dresidual + at, grad * load(rs + d));
                store(total + d, load(total + d) + grad);
                store(by_branch + d, load(by_branch + d) + grad * (load(branch + at) + load(hb + d)));
                store(by_residual + d,
                      load(by_residual + d) + grad * (load(residual + at) + load(rb + d)));
            }
        }
    }
    std::vector<float> sums(stride);
    gather_groups(partial.data(), groups, stride, stride, sums.data());
    for (int d = 0; d < width; d++) {
        dvectors[d] = sums[width + d];
        dvectors[width + d] = sums[d] * hs[d];
        dvectors[2 * width + d] = sums[2 * width + d];
        dvectors[3 * width + d] = sums[d] * rs[d];
        dvectors[4 * width + d] = sums[3 * width + d];
    }
}

// Stable counting sort of classes 0 .. classes - 1: `order` sorts, `inverse` undoes it.
void sort_by_class(const int64_t *choice, int64_t *order, int64_t *inverse, int64_t *count,
                   int64_t rows, int classes, int) {
    std::fill(count, count + classes, 0);
    for (int64_t n = 0; n < rows; n++) count[choice[n]]++;
    std::vector<int64_t> next(classes, 0);
    for (int c = 1; c < classes; c++) next[c] = next[c - 1] + count[c - 1];
    for (int64_t n = 0; n < rows; n++) {
        const int64_t at = next[choice[n]]++;
        order[at] = n;
        inverse[n] = at;
    }
}
}
