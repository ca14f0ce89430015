// SPDX-License-Identifier: Apache-2.0
// Element types, and the step from a run-time type to a compile-time one.
//
//   f32   activations, parameters, statistics        bf16  activations under --precision bf16
//   f64   the reference device                       u8    images        i32 labels        i64 labels on disk
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "kernels/common/error.h"

namespace isda {

enum class DType : std::uint8_t { f32, bf16, f64, u8, i32, i64 };

// The upper half of an f32: 8 exponent bits, 7 mantissa bits.
struct bf16 {
  std::uint16_t bits = 0;

  bf16() = default;
  // Rounds to nearest, ties to even; a NaN stays a NaN.
  explicit bf16(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    if ((word & 0x7fffffffu) > 0x7f800000u) {
      bits = static_cast<std::uint16_t>((word >> 16) | 0x40u);
    } else {
      bits = static_cast<std::uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
    }
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
  explicit operator double() const { return static_cast<float>(*this); }
};

constexpr std::size_t size_of(DType type) {
  switch (type) {
    case DType::u8: return 1;
    case DType::bf16: return 2;
    case DType::f32:
    case DType::i32: return 4;
    case DType::f64:
    case DType::i64: return 8;
  }
  return 0;
}

constexpr std::string_view name_of(DType type) {
  switch (type) {
    case DType::f32: return "f32";
    case DType::bf16: return "bf16";
    case DType::f64: return "f64";
    case DType::u8: return "u8";
    case DType::i32: return "i32";
    case DType::i64: return "i64";
  }
  return "?";
}

constexpr bool is_float(DType type) { return type == DType::f32 || type == DType::bf16 || type == DType::f64; }

// The type of parameters and statistics beside activations of type `activation`: f64 with f64, otherwise f32.
constexpr DType parameter_type(DType activation) { return activation == DType::f64 ? DType::f64 : DType::f32; }

template <class T>
constexpr DType dtype_of() {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<U, float>)
    return DType::f32;
  else if constexpr (std::is_same_v<U, bf16>)
    return DType::bf16;
  else if constexpr (std::is_same_v<U, double>)
    return DType::f64;
  else if constexpr (std::is_same_v<U, std::uint8_t>)
    return DType::u8;
  else if constexpr (std::is_same_v<U, std::int32_t>)
    return DType::i32;
  else {
    static_assert(std::is_same_v<U, std::int64_t>, "not an element type");
    return DType::i64;
  }
}

// Calls body<T>() for the floating type `type`: dispatch_float(type, [&]<class T>() { ... }).
template <class Body>
decltype(auto) dispatch_float(DType type, Body&& body) {
  switch (type) {
    case DType::f32: return body.template operator()<float>();
    case DType::bf16: return body.template operator()<bf16>();
    case DType::f64: return body.template operator()<double>();
    default: fail("[dtype] {} is not a floating type; expected f32, bf16 or f64", name_of(type));
  }
}

}  // namespace isda
