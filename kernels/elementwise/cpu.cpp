// SPDX-License-Identifier: Apache-2.0
// Ranges of 16 K elements per task; the loops inside are plain and vectorise. Each reads and writes memory once.
#include <algorithm>
#include <cmath>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "kernels/elementwise/elementwise.h"

namespace isda::kernels {

namespace {

constexpr std::int64_t kGrain = std::int64_t{1} << 14;

// y[i] = function(a[i]) for every element.
template <class Function>
void map(const Context& context, const ConstView& a, const View& y, Function function) {
  parallel_ranges(context, a.size(), kGrain, [&, a = a.as<float>(), y = y.as<float>()](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = function(a[i]);
  });
}

// y[i] = function(a[i], b[i]) for every element.
template <class Function>
void map(const Context& context, const ConstView& a, const ConstView& b, const View& y, Function function) {
  parallel_ranges(context, a.size(), kGrain, [&, a = a.as<float>(), b = b.as<float>(), y = y.as<float>()](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = function(a[i], b[i]);
  });
}

}  // namespace

void run(Cpu, const Context& context, const Relu& op) {
  check_cpu(op.name, op.x);
  // NOTE: written so that a NaN, of which every comparison is false, passes through.
  map(context, op.x, op.y, [](float x) { return x <= 0 ? 0.0f : x; });
}

void run(Cpu, const Context& context, const ReluBackward& op) {
  check_cpu(op.name, op.dy);
  map(context, op.dy, op.y, op.dx, [](float dy, float y) { return y > 0 ? dy : 0.0f; });
}

void run(Cpu, const Context& context, const Add& op) {
  check_cpu(op.name, op.a);
  map(context, op.a, op.b, op.y, [](float a, float b) { return a + b; });
}

void run(Cpu, const Context& context, const Scale& op) {
  check_cpu(op.name, op.x);
  map(context, op.x, op.y, [factor = op.factor.as<float>()[0]](float x) { return x * factor; });
}

void run(Cpu, const Context& context, const Sigmoid& op) {
  check_cpu(op.name, op.x);
  map(context, op.x, op.y, [](float x) { return 1 / (1 + std::exp(-x)); });
}

void run(Cpu, const Context& context, const SigmoidBackward& op) {
  check_cpu(op.name, op.dy);
  map(context, op.dy, op.y, op.dx, [](float dy, float y) { return dy * y * (1 - y); });
}

void run(Cpu, const Context& context, const ScaleChannels& op) {
  check_cpu(op.name, op.x);
  const auto [N, H, W, C] = op.x.extents<4>();
  parallel_for(context, N, [&, pixels = H * W, channels = C](std::int64_t n) {
    const float* x = op.x.as<float>() + n * pixels * channels;
    const float* scale = op.scale.as<float>() + n * channels;
    float* y = op.y.as<float>() + n * pixels * channels;
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::int64_t c = 0; c < channels; ++c) y[pixel * channels + c] = x[pixel * channels + c] * scale[c];
    }
  });
}

void run(Cpu, const Context& context, const ScaleChannelsBackward& op) {
  check_cpu(op.name, op.x);
  const auto [N, H, W, C] = op.x.extents<4>();
  parallel_for(context, N, [&, pixels = H * W, channels = C](std::int64_t n) {
    const float* dy = op.dy.as<float>() + n * pixels * channels;
    const float* x = op.x.as<float>() + n * pixels * channels;
    const float* scale = op.scale.as<float>() + n * channels;
    float* dx = op.dx.as<float>() + n * pixels * channels;
    float* dscale = op.dscale.as<float>() + n * channels;
    std::fill_n(dscale, channels, 0.0f);
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const float gradient = dy[pixel * channels + c];
        dscale[c] += gradient * x[pixel * channels + c];
        dx[pixel * channels + c] = gradient * scale[c];
      }
    }
  });
}

void run(Cpu, const Context& context, const Dropout& op) {
  check_cpu(op.name, op.x);
  static_assert(kGrain % 4 == 0, "a range begins with a whole quad of random words");
  const auto step = static_cast<std::uint32_t>(op.step.as<std::int32_t>()[0]);
  const float scale = 1 / (1 - op.probability);
  parallel_ranges(context, op.x.size(), kGrain, [&, x = op.x.as<float>(), y = op.y.as<float>()](std::int64_t begin, std::int64_t end) {
    for (std::int64_t quad = begin; quad < end; quad += 4) {
      const auto words = dropout_words(op.seed, op.layer, step, static_cast<std::uint64_t>(quad / 4));
      for (std::int64_t i = quad; i < std::min(quad + 4, end); ++i) {
        y[i] = uniform_float(words[static_cast<std::size_t>(i - quad)]) >= op.probability ? x[i] * scale : 0.0f;
      }
    }
  });
}

}  // namespace isda::kernels
