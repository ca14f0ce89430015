// SPDX-License-Identifier: Apache-2.0
// A batch of training images as bytes: reflect padding, random crop, random flip, and then what a policy does to their colours and places.
//
//   images (M,H,W,3) u8    indices (N) i32 in [0,M)    epoch (1) i32    y (N,H,W,3) u8
//   steps (P,S,16) i32, rounds (R,2) i32: the policy, as kernels/image_policy/policy.h compiles it for images of this size
//
//   image <- crop and flip of images[indices[n]], as kernels/augment/augment.h draws them
//   for each round: one of its sub-policies is drawn; for each of its steps, with the step's probability: image <- operation(image, magnitude)
//
// The operations are Pillow's, which AutoAugment and RandAugment are defined with, to the last bit:
//   shear, translate, rotate   the nearest pixel in steps of 2^-16; from beyond the border comes grey, 128
//   autocontrast, equalize     by the histogram of each channel            invert, posterize, solarize, solarize_add   of each byte
//   color, contrast, brightness, sharpness   a + f (b - a) in f32, each operation rounded, cut to [0,255] and truncated, where b is the image and a its
//                                            grey (of each pixel), the mean grey, black, or its mean over 3x3 pixels, the middle five times
//
// The draws of an image are a function of (seed, epoch, its index) alone, and all arithmetic is of integers or rounded operation by operation: every device
// makes the same bytes, whoever computes them and in which batch.
//
// Where it stands: the crop and flip move bytes, so they are done here, in the pass that reads the image; Augment normalises what this makes, and cuts holes:
//   no policy    Augment                         bytes of the set -> floats: one launch, as without this folder
//   a policy     ImagePolicy, then Augment       bytes of the set -> bytes of the batch -> floats: 2 bytes more an element
//
//   FLOP  none; some 10 to 50 integer operations a byte and step     bytes  one read and one written an element
// An index outside [0,M) is an Error where the host reads the indices. The cuda device takes image 0 in its place, and Augment, which is given the same
// indices, makes the image NaN.
#pragma once
#include <bit>

#include "kernels/augment/augment.h"
#include "kernels/image_policy/policy.h"

namespace isda::kernels {

struct ImagePolicy {
  static constexpr auto name = "image_policy";
  ConstView images;   // (M,H,W,3), or with `gathered_from` (N,H,W,3): those of the batch
  ConstView indices;  // (N)
  ConstView epoch;    // (1)
  ConstView steps;    // (P,S,16)
  ConstView rounds;   // (R,2)
  std::uint64_t seed = 0;
  int padding = 4;   // pixels added at each side, less than H and W
  bool flip = true;  // mirror left and right with probability 1/2
  std::int64_t gathered_from = 0;
  View y;  // (N,H,W,3), overwritten
};
ISDA_OPERATION(ImagePolicy);

inline constexpr int kFill = 128;

// The words that decide round `round` and its step `step`: [0] whether the step is taken, [1] its sign or place in the range, [2] of step 0: the sub-policy.
inline constexpr int kMostStepsOfOne = 64;
constexpr PhiloxCounter draw_policy(std::uint64_t seed, std::int32_t epoch, std::int32_t index, int round, int step) {
  const std::uint64_t block = static_cast<std::uint64_t>(round * kMostStepsOfOne + step);
  return philox(seed, RandomStream::policy, block << 32 | static_cast<std::uint32_t>(epoch), static_cast<std::uint32_t>(index));
}

// A step as it falls to one image.
struct DrawnStep {
  ImageOperation operation = ImageOperation::identity;
  const std::int32_t* parameters = nullptr;  // six
  float factor = 1;                          // of a blend
};

constexpr DrawnStep draw_step(const std::int32_t* step, const PhiloxCounter& words) {
  if (static_cast<std::int32_t>(words[0] >> 8) >= step[1]) return {};
  DrawnStep drawn{.operation = static_cast<ImageOperation>(step[0]), .parameters = step + PolicyTable::kParameters};
  const auto spread = static_cast<Spread>(step[2]);
  if (spread == Spread::range) {
    const std::int32_t least = step[PolicyTable::kParameters], most = step[PolicyTable::kOther];
    drawn.factor = static_cast<float>(least + static_cast<std::int32_t>(uniform_below(words[1], static_cast<std::uint32_t>(most - least) + 1))) * 0x1p-20f;
    return drawn;
  }
  if (spread == Spread::sign && (words[1] >> 31) != 0) drawn.parameters = step + PolicyTable::kOther;
  drawn.factor = std::bit_cast<float>(drawn.parameters[0]);
  return drawn;
}

// ---- Pillow's arithmetic ----

// The grey of a pixel (ITU-R 601-2).
constexpr int grey(int red, int green, int blue) { return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16; }
// The mean grey, rounded. NOTE: of as many pixels as an image may have, twice the sum still is one of 32 bits.
inline constexpr std::int64_t kMostPixels = std::int64_t{1} << 23;
constexpr int mean_grey(std::uint32_t sum, std::uint32_t pixels) { return static_cast<int>((2 * sum + pixels) / (2 * pixels)); }
// The mean of 3x3 pixels, the middle five times, rounded; `sum` of all nine.
constexpr int smooth(int sum, int middle) { return (2 * (sum + 4 * middle) + 13) / 26; }
constexpr int solarized(int value, int threshold) { return value < threshold ? value : 255 - value; }
constexpr int posterized(int value, int bits) { return value & ~((1 << (8 - bits)) - 1); }
constexpr int solarize_added(int value, int added) { return value >= 128 ? value : value + added < 255 ? value + added : 255; }
constexpr int cut(float value) { return value <= 0 ? 0 : value >= 255 ? 255 : static_cast<int>(value); }

// A product that is rounded by itself, and not fused with the sum it is part of.
template <class T>
constexpr T rounded_product(T a, T b) {
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(T) == sizeof(float))
    return __fmul_rn(a, b);
  else
    return __dmul_rn(a, b);
#else
  const volatile T result = a * b;
  return result;
#endif
}

// PIL.Image.blend of two bytes.
constexpr int blend(int a, int b, float factor) { return cut(static_cast<float>(a) + rounded_product(factor, static_cast<float>(b - a))); }

}  // namespace isda::kernels
