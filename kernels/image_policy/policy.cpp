// SPDX-License-Identifier: Apache-2.0
// From a policy to the numbers an operation needs. Everything that is not exact in 32 bits is computed here, once and on the host, so that every device
// makes the same bytes.
#include "kernels/image_policy/policy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <numbers>

#include "kernels/common/error.h"

namespace isda::kernels {

namespace {

using enum ImageOperation;

constexpr std::int64_t kMostExtent = 16384;

// A product that is rounded by itself. NOTE: the compiler would fuse it with the sum that it is part of, and Python does not.
double product(double a, double b) {
  const volatile double result = a * b;
  return result;
}

// Python's round(value, 15).
double rounded_to_15_digits(double value) {
  const std::string digits = fmt::format("{:.15f}", value);
  double result = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), result);
  return result;
}

// Where output (x,y) comes from: (a0 x + a1 y + a2, a3 x + a4 y + a5).
using Matrix = std::array<double, 6>;
using Parameters = std::array<std::int32_t, 6>;

// Pillow's Image.rotate about the middle.
Matrix rotation(double degrees, double height, double width) {
  double turn = std::fmod(degrees, 360.0);
  if (turn < 0) turn += 360;
  const double angle = -product(turn, std::numbers::pi / 180);
  const double cosine = rounded_to_15_digits(std::cos(angle)), sine = rounded_to_15_digits(std::sin(angle)),
               minus_sine = rounded_to_15_digits(-std::sin(angle));
  const double x = width / 2, y = height / 2;
  return {cosine, sine, product(cosine, -x) + product(sine, -y) + x, minus_sine, cosine, product(minus_sine, -x) + product(cosine, -y) + y};
}

// Pillow's affine transformation without interpolation walks in steps of 2^-16 pixels, from the middle of the first pixel.
Parameters in_fixed_point(const Matrix& a) {
  const auto fixed = [](double value) { return static_cast<std::int32_t>(std::floor(value * 65536 + 0.5)); };
  return {fixed(a[0]), fixed(a[1]), fixed(a[2] + a[0] * 0.5 + a[1] * 0.5), fixed(a[3]), fixed(a[4]), fixed(a[5] + a[3] * 0.5 + a[4] * 0.5)};
}

bool is_factor(ImageOperation operation) { return operation >= color; }

Parameters parameters_of(ImageOperation operation, double magnitude, double height, double width) {
  switch (operation) {
    case shear_x: return in_fixed_point({1, magnitude, 0, 0, 1, 0});
    case shear_y: return in_fixed_point({1, 0, 0, magnitude, 1, 0});
    // NOTE: by whole pixels, towards 0.
    case translate_x: return in_fixed_point({1, 0, std::trunc(magnitude * width), 0, 1, 0});
    case translate_y: return in_fixed_point({1, 0, 0, 0, 1, std::trunc(magnitude * height)});
    case rotate: return in_fixed_point(rotation(magnitude, height, width));
    case posterize: return {static_cast<std::int32_t>(magnitude)};
    case solarize: return {static_cast<std::int32_t>(std::ceil(magnitude))};
    case solarize_add: return {static_cast<std::int32_t>(magnitude)};
    case color:
    case contrast:
    case brightness:
    case sharpness: return {std::bit_cast<std::int32_t>(static_cast<float>(1 + magnitude))};
    default: return {};
  }
}

void check(const PolicyStep& step) {
  require(step.probability >= 0 && step.probability <= 1, "[image_policy] the probability of a step is {}, expected 0 to 1", step.probability);
  require(step.spread != Spread::range || (is_factor(step.operation) && step.magnitude >= 0 && step.magnitude <= 1),
          "[image_policy] a range is of factors, of magnitude 0 to 1, got operation {} of magnitude {}", static_cast<int>(step.operation), step.magnitude);
}

void write(const PolicyStep& step, std::int64_t height, std::int64_t width, std::int32_t* words) {
  check(step);
  words[0] = static_cast<std::int32_t>(step.operation);
  words[1] = static_cast<std::int32_t>(std::lround(step.probability * 0x1p24));
  words[2] = static_cast<std::int32_t>(step.spread);
  const auto H = static_cast<double>(height), W = static_cast<double>(width);
  if (step.spread == Spread::range) {
    words[PolicyTable::kParameters] = static_cast<std::int32_t>(std::lround((1 - step.magnitude) * 0x1p20));
    words[PolicyTable::kOther] = static_cast<std::int32_t>(std::lround((1 + step.magnitude) * 0x1p20));
    return;
  }
  const auto put = [&](double magnitude, std::int32_t* to) {
    const Parameters parameters = parameters_of(step.operation, magnitude, H, W);
    std::copy(parameters.begin(), parameters.end(), to);
  };
  put(step.magnitude, words + PolicyTable::kParameters);
  put(step.spread == Spread::sign ? -step.magnitude : step.magnitude, words + PolicyTable::kOther);
}

}  // namespace

PolicyTable compile(const Policy& policy, std::int64_t height, std::int64_t width) {
  require(height <= kMostExtent && width <= kMostExtent, "[image_policy] the images have {}x{} pixels, expected at most {} each way", height, width,
          kMostExtent);
  PolicyTable table;
  for (const PolicyRound& round : policy.rounds) {
    require(!round.empty(), "[image_policy] a round has no sub-policy to draw from");
    for (const SubPolicy& steps : round) table.steps_of_one = std::max(table.steps_of_one, static_cast<std::int64_t>(steps.size()));
  }
  for (const PolicyRound& round : policy.rounds) {
    table.rounds.push_back(static_cast<std::int32_t>(table.sub_policies));
    table.rounds.push_back(static_cast<std::int32_t>(round.size()));
    for (const SubPolicy& steps : round) {
      const std::size_t first = table.steps.size();
      table.steps.resize(first + static_cast<std::size_t>(table.steps_of_one) * PolicyTable::kWords);
      for (std::size_t s = 0; s < steps.size(); ++s) write(steps[s], height, width, table.steps.data() + first + s * PolicyTable::kWords);
      ++table.sub_policies;
    }
  }
  return table;
}

}  // namespace isda::kernels
