// SPDX-License-Identifier: Apache-2.0
// What is done to the colours and the place of an image, as data: which operations, how likely, how strong.
//
//   a policy is rounds, a round is sub-policies of which one is drawn, a sub-policy is steps taken in order, each with its probability
//   AutoAugment    one round of 25 sub-policies of two steps       Cubuk et al., AutoAugment, CVPR 2019, appendix, tables 7 and 9
//   RandAugment    N rounds of 14 sub-policies of one step         Cubuk et al., RandAugment, 2020, section 3; M counts to 30, as torchvision's
//   colour jitter  one round of 6 sub-policies of three steps: brightness, contrast and colour in each of their orders, as torchvision's without hue
// Policies of several sources are one after the other: add().
//
// A magnitude is in the unit of its operation (Pillow's: ImageOps, ImageEnhance, Image.transform, Image.rotate):
//   shear_x, shear_y           pixels sideways a pixel                 posterize      bits that are kept
//   translate_x, translate_y   share of the width, of the height       solarize       the least byte that is inverted
//   rotate                     degrees                                 solarize_add   what is added to bytes below 128
//   color, contrast, brightness, sharpness   how far from 1 the factor of the blend is: 0.4 with a sign is 0.6 or 1.4
// How levels become magnitudes is torchvision's, which follows the papers: shear 0.3, translate 150/331, rotate 30 degrees, factors 1 +- 0.9, posterize 8 to 4
// bits, solarize 255 to 0.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace isda::kernels {

enum class ImageOperation : std::int32_t {
  identity,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
  rotate,
  autocontrast,
  equalize,
  invert,
  posterize,
  solarize,
  solarize_add,
  color,
  contrast,
  brightness,
  sharpness
};

// What is drawn of a magnitude m: m itself, m or -m, or anything from -m to m (only of the factors of a blend).
enum class Spread : std::int32_t { none, sign, range };

struct PolicyStep {
  ImageOperation operation = ImageOperation::identity;
  double probability = 1;
  double magnitude = 0;
  Spread spread = Spread::none;
};

using SubPolicy = std::vector<PolicyStep>;
using PolicyRound = std::vector<SubPolicy>;

struct Policy {
  std::vector<PolicyRound> rounds;

  bool is_empty() const { return rounds.empty(); }
  // The rounds of `other` behind these.
  void add(const Policy& other) { rounds.insert(rounds.end(), other.rounds.begin(), other.rounds.end()); }
};

// "none", "autoaugment-cifar10", "autoaugment-imagenet", "randaugment:N:M". Throws Error for another name, and for N or M that cannot be.
Policy policy_of(const std::string& name);
// Factors from 1 - strength to 1 + strength; strength from 0, which is none, to 1.
Policy color_jitter(double strength);

// A policy for images of one size, as the operation reads it.
struct PolicyTable {
  // A step in words: the operation; its probability in 2^-24; the spread; 0; six parameters, and the six of the other sign.
  //   places in the image: Pillow's matrix a0..a5 in 2^-16 pixels, output (x,y) comes from floor(a0 x + a1 y + a2), floor(a3 x + a4 y + a5)
  //   factors: the bits of the f32; with a range the least one, and the largest, in 2^-20
  //   others: the number
  static constexpr int kWords = 16, kParameters = 4, kOther = 10;
  std::int64_t sub_policies = 0, steps_of_one = 0;  // steps that a sub-policy has not are of probability 0
  std::vector<std::int32_t> steps;                  // (sub_policies, steps_of_one, kWords)
  std::vector<std::int32_t> rounds;                 // (rounds, 2): the first sub-policy, how many
};

// Throws Error for what cannot be: a probability outside [0,1], a range of what is no factor, images larger than 16384 pixels.
PolicyTable compile(const Policy& policy, std::int64_t height, std::int64_t width);

}  // namespace isda::kernels
