// SPDX-License-Identifier: Apache-2.0
#include "datasets/mixing.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/common/philox.h"

namespace isda {

double MixingNumbers::uniform() {
  const std::uint64_t place = std::uint64_t{position_++} << 32 | static_cast<std::uint32_t>(static_cast<std::uint64_t>(step_) >> 32);
  const auto words = philox(seed_, RandomStream::mixing, place, static_cast<std::uint32_t>(step_));
  // NOTE: 52 bits and a half: neither 0, whose logarithm is none, nor 1.
  const std::uint64_t bits = (std::uint64_t{words[0]} << 32 | words[1]) >> 12;
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

double MixingNumbers::normal() {
  const double radius = std::sqrt(-2 * std::log(uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

// Marsaglia, Tsang, A Simple Method for Generating Gamma Variables, 2000; below 1 from alpha + 1.
double MixingNumbers::log_gamma(double alpha) {
  if (alpha < 1) {
    const double above = log_gamma(alpha + 1);
    return above + std::log(uniform()) / alpha;
  }
  const double d = alpha - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = normal(), root = 1 + c * x;
    if (root <= 0) continue;
    const double v = root * root * root;
    if (std::log(uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return std::log(d) + std::log(v);
  }
}

double MixingNumbers::beta(double alpha) {
  const double one = log_gamma(alpha), other = log_gamma(alpha);
  return 1 / (1 + std::exp(other - one));
}

namespace {

std::int64_t below(MixingNumbers& numbers, std::int64_t count) {
  return std::min(static_cast<std::int64_t>(numbers.uniform() * static_cast<double>(count)), count - 1);
}

// One axis of the box: `share` of the length, about any pixel, cut off at the border.
struct Interval {
  std::int64_t begin, end;
};
Interval draw_interval(MixingNumbers& numbers, double share, std::int64_t length) {
  const std::int64_t half = static_cast<std::int64_t>(static_cast<double>(length) * share) / 2, middle = below(numbers, length);
  return {std::max<std::int64_t>(middle - half, 0), std::min(middle + half, length)};
}

}  // namespace

MixDraw draw_mix(const MixOptions& options, std::uint64_t seed, std::int64_t step, std::int64_t images, std::int64_t height, std::int64_t width) {
  MixingNumbers numbers(seed, step);
  const bool is_mixup = options.mixup > 0 && (options.cutmix <= 0 || numbers.uniform() < 0.5);
  MixDraw draw;
  draw.place[0] = images > 1 ? static_cast<std::int32_t>(1 + below(numbers, images - 1)) : 0;
  const double weight = numbers.beta(is_mixup ? options.mixup : options.cutmix);
  if (is_mixup) {
    draw.pixel_weight = draw.label_weight = weight;
    return draw;
  }
  const double share = std::sqrt(1 - weight);
  const Interval rows = draw_interval(numbers, share, height), columns = draw_interval(numbers, share, width);
  const double area = static_cast<double>((rows.end - rows.begin) * (columns.end - columns.begin));
  draw.label_weight = 1 - area / static_cast<double>(height * width);
  const std::array<std::int64_t, 4> box{rows.begin, columns.begin, rows.end, columns.end};
  std::transform(box.begin(), box.end(), draw.place.begin() + 1, [](std::int64_t value) { return static_cast<std::int32_t>(value); });
  return draw;
}

}  // namespace isda
