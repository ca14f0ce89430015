// SPDX-License-Identifier: Apache-2.0
// Operations on single elements on the cpu device: one pass over the arrays, in ranges of fixed size.
#include <algorithm>
#include <cmath>

#include "kernels/common/check.h"
#include "kernels/common/lanes.h"
#include "kernels/common/parallel.h"
#include "kernels/elementwise/elementwise.h"

namespace isda::kernels {

namespace {

constexpr std::int64_t kRangeElements = 16 * 1024;

// y[i] = body(i) for every element, vectorised.
template <class Body>
void for_elements(const Context& context, const View& y, Body&& body) {
  parallel_ranges(context, y.size(), kRangeElements, [body, out = y.as<float>()](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) out[i] = body(i);
  });
}

// The random words of the elements first ... first + kDrawn - 1.
constexpr std::int64_t kDrawn = 256;
void draw(std::uint64_t seed, std::uint32_t layer, std::uint32_t step, std::int64_t first, std::uint32_t* words) {
  for (std::int64_t quad = 0; quad < kDrawn / 4; ++quad) {
    const PhiloxCounter drawn = dropout_words(seed, layer, step, static_cast<std::uint64_t>(first / 4 + quad));
    for (int word = 0; word < 4; ++word) words[4 * quad + word] = drawn[static_cast<std::size_t>(word)];
  }
}

}  // namespace

void run(Cpu, const Context& context, const Relu& op) {
  check_cpu(op.name, op.x);
  for_elements(context, op.y, [x = op.x.as<float>()](std::int64_t i) { return x[i] < 0 ? 0.0f : x[i]; });
}

void run(Cpu, const Context& context, const ReluBackward& op) {
  check_cpu(op.name, op.dy);
  for_elements(context, op.dx, [dy = op.dy.as<float>(), y = op.y.as<float>()](std::int64_t i) {
    const float gradient = dy[i];  // NOTE: loaded always: a conditional load would not be vectorised
    return y[i] > 0 ? gradient : 0.0f;
  });
}

void run(Cpu, const Context& context, const Add& op) {
  check_cpu(op.name, op.a);
  for_elements(context, op.y, [a = op.a.as<float>(), b = op.b.as<float>()](std::int64_t i) { return a[i] + b[i]; });
}

void run(Cpu, const Context& context, const Scale& op) {
  check_cpu(op.name, op.x);
  for_elements(context, op.y, [x = op.x.as<float>(), factor = op.factor.as<float>()[0]](std::int64_t i) { return factor * x[i]; });
}

void run(Cpu, const Context& context, const Sigmoid& op) {
  check_cpu(op.name, op.x);
  for_elements(context, op.y, [x = op.x.as<float>()](std::int64_t i) { return 1 / (1 + std::exp(-x[i])); });
}

void run(Cpu, const Context& context, const SigmoidBackward& op) {
  check_cpu(op.name, op.dy);
  for_elements(context, op.dx, [dy = op.dy.as<float>(), y = op.y.as<float>()](std::int64_t i) { return dy[i] * y[i] * (1 - y[i]); });
}

void run(Cpu, const Context& context, const ScaleChannels& op) {
  check_cpu(op.name, op.x);
  const std::int64_t C = op.x.extent(3), H = op.x.extent(1), row = op.x.extent(2) * C;
  // One row of pixels at a time.
  parallel_for(context, op.x.extent(0) * H, [=, x = op.x.as<float>(), scale = op.scale.as<float>(), y = op.y.as<float>()](std::int64_t index) {
    const float* factor = scale + index / H * C;
    for (std::int64_t pixel = index * row; pixel < (index + 1) * row; pixel += C) {
#pragma omp simd
      for (std::int64_t c = 0; c < C; ++c) y[pixel + c] = x[pixel + c] * factor[c];
    }
  });
}

void run(Cpu, const Context& context, const ScaleChannelsBackward& op) {
  check_cpu(op.name, op.x);
  const std::int64_t C = op.x.extent(3), image = op.x.extent(1) * op.x.extent(2) * C;
  const float *dy = op.dy.as<float>(), *x = op.x.as<float>(), *scale = op.scale.as<float>();
  float *dx = op.dx.as<float>(), *dscale = op.dscale.as<float>();
  // One image at a time, by strips of channels.
  parallel_for(context, op.x.extent(0), [=](std::int64_t n) {
    for_strips(C, [=]<class V, int count>(std::int64_t c) {
      V factor[count], sum[count]{};
      for (int v = 0; v < count; ++v) factor[v] = load<V>(scale + n * C + c, v);
      for (std::int64_t i = n * image + c; i < (n + 1) * image; i += C) {
        for (int v = 0; v < count; ++v) {
          const V gradient = load<V>(dy + i, v);
          sum[v] += gradient * load<V>(x + i, v);
          store(dx + i, v, V(gradient * factor[v]));
        }
      }
      for (int v = 0; v < count; ++v) store(dscale + n * C + c, v, sum[v]);
    });
  });
}

void run(Cpu, const Context& context, const Dropout& op) {
  check_cpu(op.name, op.x);
  const auto step = static_cast<std::uint32_t>(op.step.as<std::int32_t>()[0]);
  // uniform_float(word) >= probability, as integers.
  const auto threshold = static_cast<std::uint32_t>(std::ceil(static_cast<double>(op.probability) * 0x1p24));
  const auto scale = static_cast<float>(1 / (1 - static_cast<double>(op.probability)));
  const float* x = op.x.as<float>();
  float* y = op.y.as<float>();
  parallel_ranges(context, op.x.size(), kRangeElements, [=, seed = op.seed, layer = op.layer](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += kDrawn) {
      std::uint32_t words[kDrawn];
      draw(seed, layer, step, first, words);
      const std::int64_t count = std::min(end - first, kDrawn);
#pragma omp simd
      for (std::int64_t i = 0; i < count; ++i) {
        const float kept = x[first + i] * scale;
        y[first + i] = (words[i] >> 8) >= threshold ? kept : 0.0f;
      }
    }
  });
}

}  // namespace isda::kernels
