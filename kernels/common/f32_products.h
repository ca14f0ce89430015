// SPDX-License-Identifier: Apache-2.0
// How the kernels of a card multiply two f32 where they multiply matrices. A tensor core knows no f32: it takes TF32, which is f32 with 10 of its 23 bits of
// mantissa, and adds in f32. So there are three ways; the context says which (kernels/common/context.h), kernels/common/tensor_core.cuh has them:
//
//             made of             loses of a product, at most                 for
//   3xtf32    3 of TF32           2^-22                                       training with f32's digits; the default
//   tf32      1 of TF32           2^-10, from 2^-11 of each operand           speed
//   plain     1 of f32            2^-24 of the sum: a fused multiply-add      comparison: the card's own reference, no tensor core
//
// Sums are f32 in all three. Whatever is bf16, or on another device, or multiplies no matrices on tensor cores, has no such choice.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "kernels/common/error.h"

namespace isda {

enum class F32Products : std::uint8_t { three_tf32, tf32, plain };

inline constexpr std::array kF32Products = {F32Products::three_tf32, F32Products::tf32, F32Products::plain};

constexpr std::string_view name_of(F32Products products) {
  switch (products) {
    case F32Products::three_tf32: return "3xtf32";
    case F32Products::tf32: return "tf32";
    case F32Products::plain: return "plain";
  }
  return "?";
}

// The one of that name; throws Error where there is none.
inline F32Products f32_products_of(std::string_view name) {
  for (const F32Products products : kF32Products) {
    if (name_of(products) == name) return products;
  }
  fail("[f32 products] there is no '{}', expected 3xtf32, tf32 or plain", name);
}

}  // namespace isda
