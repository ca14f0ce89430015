// SPDX-License-Identifier: Apache-2.0
// The policies of the papers, and how their levels become magnitudes.
#include <array>
#include <charconv>
#include <cmath>

#include "kernels/common/error.h"
#include "kernels/common/nearest.h"
#include "kernels/image_policy/policy.h"

namespace isda::kernels {

namespace {

using enum ImageOperation;

// Level `level` of 0 to `most`.
PolicyStep step_of(ImageOperation operation, double probability, int level, int most) {
  const double share = static_cast<double>(level) / most;
  switch (operation) {
    case shear_x:
    case shear_y: return {operation, probability, 0.3 * share, Spread::sign};
    case translate_x:
    case translate_y: return {operation, probability, 150.0 / 331.0 * share, Spread::sign};
    case rotate: return {operation, probability, 30 * share, Spread::sign};
    case color:
    case contrast:
    case brightness:
    case sharpness: return {operation, probability, 0.9 * share, Spread::sign};
    // NOTE: rounded half to even, as torchvision does.
    case posterize: return {operation, probability, 8 - std::nearbyint(4 * share), Spread::none};
    case solarize: return {operation, probability, 255 * (1 - share), Spread::none};
    default: return {operation, probability, 0, Spread::none};
  }
}

struct Level {
  ImageOperation operation;
  double probability;
  int level = 0;
};
using Table = std::array<std::array<Level, 2>, 25>;

constexpr Table kCifar10{{
    {{{invert, 0.1}, {contrast, 0.2, 6}}},          {{{rotate, 0.7, 2}, {translate_x, 0.3, 9}}},
    {{{sharpness, 0.8, 1}, {sharpness, 0.9, 3}}},   {{{shear_y, 0.5, 8}, {translate_y, 0.7, 9}}},
    {{{autocontrast, 0.5}, {equalize, 0.9}}},       {{{shear_y, 0.2, 7}, {posterize, 0.3, 7}}},
    {{{color, 0.4, 3}, {brightness, 0.6, 7}}},      {{{sharpness, 0.3, 9}, {brightness, 0.7, 9}}},
    {{{equalize, 0.6}, {equalize, 0.5}}},           {{{contrast, 0.6, 7}, {sharpness, 0.6, 5}}},
    {{{color, 0.7, 7}, {translate_x, 0.5, 8}}},     {{{equalize, 0.3}, {autocontrast, 0.4}}},
    {{{translate_y, 0.4, 3}, {sharpness, 0.2, 6}}}, {{{brightness, 0.9, 6}, {color, 0.2, 8}}},
    {{{solarize, 0.5, 2}, {invert, 0.0}}},          {{{equalize, 0.2}, {autocontrast, 0.6}}},
    {{{equalize, 0.2}, {equalize, 0.6}}},           {{{color, 0.9, 9}, {equalize, 0.6}}},
    {{{autocontrast, 0.8}, {solarize, 0.2, 8}}},    {{{brightness, 0.1, 3}, {color, 0.7, 0}}},
    {{{solarize, 0.4, 5}, {autocontrast, 0.9}}},    {{{translate_y, 0.9, 9}, {translate_y, 0.7, 9}}},
    {{{autocontrast, 0.9}, {solarize, 0.8, 3}}},    {{{equalize, 0.8}, {invert, 0.1}}},
    {{{translate_y, 0.7, 9}, {autocontrast, 0.9}}},
}};

constexpr Table kImageNet{{
    {{{posterize, 0.4, 8}, {rotate, 0.6, 9}}},    {{{solarize, 0.6, 5}, {autocontrast, 0.6}}}, {{{equalize, 0.8}, {equalize, 0.6}}},
    {{{posterize, 0.6, 7}, {posterize, 0.6, 6}}}, {{{equalize, 0.4}, {solarize, 0.2, 4}}},     {{{equalize, 0.4}, {rotate, 0.8, 8}}},
    {{{solarize, 0.6, 3}, {equalize, 0.6}}},      {{{posterize, 0.8, 5}, {equalize, 1.0}}},    {{{rotate, 0.2, 3}, {solarize, 0.6, 8}}},
    {{{equalize, 0.6}, {posterize, 0.4, 6}}},     {{{rotate, 0.8, 8}, {color, 0.4, 0}}},       {{{rotate, 0.4, 9}, {equalize, 0.6}}},
    {{{equalize, 0.0}, {equalize, 0.8}}},         {{{invert, 0.6}, {equalize, 1.0}}},          {{{color, 0.6, 4}, {contrast, 1.0, 8}}},
    {{{rotate, 0.8, 8}, {color, 1.0, 2}}},        {{{color, 0.8, 8}, {solarize, 0.8, 7}}},     {{{sharpness, 0.4, 7}, {invert, 0.6}}},
    {{{shear_x, 0.6, 5}, {equalize, 1.0}}},       {{{color, 0.4, 0}, {equalize, 0.6}}},        {{{equalize, 0.4}, {solarize, 0.2, 4}}},
    {{{solarize, 0.6, 5}, {autocontrast, 0.6}}},  {{{invert, 0.6}, {equalize, 1.0}}},          {{{color, 0.6, 4}, {contrast, 1.0, 8}}},
    {{{equalize, 0.8}, {equalize, 0.6}}},
}};

Policy auto_augment(const Table& table) {
  constexpr int kMostLevel = 9;
  PolicyRound round;
  for (const auto& levels : table) {
    SubPolicy& steps = round.emplace_back();
    for (const Level& level : levels) steps.push_back(step_of(level.operation, level.probability, level.level, kMostLevel));
  }
  return {{round}};
}

constexpr std::array kRandAugment{identity, shear_x,  shear_y,   translate_x, translate_y, rotate,       brightness,
                                  color,    contrast, sharpness, posterize,   solarize,    autocontrast, equalize};
constexpr int kMostMagnitude = 30, kMostRounds = 16;

Policy rand_augment(int count, int magnitude) {
  PolicyRound round;
  for (const ImageOperation operation : kRandAugment) round.push_back({step_of(operation, 1, magnitude, kMostMagnitude)});
  return {std::vector<PolicyRound>(static_cast<std::size_t>(count), round)};
}

// N and M of "randaugment:N:M"; false where these are no two numbers in their ranges.
bool read_rand_augment(const std::string& name, int& count, int& magnitude) {
  const std::string head = "randaugment:";
  if (!name.starts_with(head)) return false;
  const char* const last = name.data() + name.size();
  const auto first = std::from_chars(name.data() + head.size(), last, count);
  if (first.ec != std::errc() || first.ptr == last || *first.ptr != ':') return false;
  const auto second = std::from_chars(first.ptr + 1, last, magnitude);
  return second.ec == std::errc() && second.ptr == last && count >= 1 && count <= kMostRounds && magnitude >= 0 && magnitude <= kMostMagnitude;
}

}  // namespace

Policy policy_of(const std::string& name) {
  if (name == "none") return {};
  if (name == "autoaugment-cifar10") return auto_augment(kCifar10);
  if (name == "autoaugment-imagenet") return auto_augment(kImageNet);
  int count = 0, magnitude = 0;
  if (read_rand_augment(name, count, magnitude)) return rand_augment(count, magnitude);
  const std::vector<std::string> names{"none", "autoaugment-cifar10", "autoaugment-imagenet", "randaugment:2:9"};
  const std::string near = nearest(name, names);
  fail(
      "[image_policy] no policy is called '{}'{}; there are none, autoaugment-cifar10, autoaugment-imagenet, and randaugment:N:M with N from 1 to {} "
      "operations of magnitude M from 0 to {}",
      name, near.empty() ? "" : fmt::format(", did you mean '{}'?", near), kMostRounds, kMostMagnitude);
}

Policy color_jitter(double strength) {
  require(strength >= 0 && strength <= 1, "[image_policy] the strength of colour jitter is {}, expected 0 to 1", strength);
  if (strength == 0) return {};
  constexpr std::array<std::array<ImageOperation, 3>, 6> kOrders{{{brightness, contrast, color},
                                                                  {brightness, color, contrast},
                                                                  {contrast, brightness, color},
                                                                  {contrast, color, brightness},
                                                                  {color, brightness, contrast},
                                                                  {color, contrast, brightness}}};
  PolicyRound round;
  for (const auto& order : kOrders) {
    SubPolicy& steps = round.emplace_back();
    for (const ImageOperation operation : order) steps.push_back({operation, 1, strength, Spread::range});
  }
  return {{round}};
}

}  // namespace isda::kernels
