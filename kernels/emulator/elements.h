// SPDX-License-Identifier: Apache-2.0
// Elements of f32 and bf16 as the stand-ins of NVIDIA's libraries read and write them, and nested loops over them in one line.
#pragma once
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace isda::emulator {

enum class Element : std::uint8_t { f32, bf16 };

inline double read_element(const void* data, Element type, std::int64_t offset) {
  if (type == Element::f32) return static_cast<const float*>(data)[offset];
  return std::bit_cast<float>(std::uint32_t{static_cast<const std::uint16_t*>(data)[offset]} << 16);
}

// Rounded to the nearest, ties to even.
inline void write_element(void* data, Element type, std::int64_t offset, double value) {
  const auto rounded = static_cast<float>(value);
  if (type == Element::f32) {
    static_cast<float*>(data)[offset] = rounded;
    return;
  }
  const auto bits = std::bit_cast<std::uint32_t>(rounded);
  static_cast<std::uint16_t*>(data)[offset] = static_cast<std::uint16_t>(std::isnan(rounded) ? 0x7fff : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// A float rounded to the 10 bits of mantissa that TF32 has.
inline double to_tf32(double value) {
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
  return std::bit_cast<float>((bits + 0xfff + ((bits >> 13) & 1)) & ~std::uint32_t{0x1fff});
}

// Calls body(index) for every index below the extents, the last fastest.
template <std::size_t rank, class Body>
void for_indices(const std::array<std::int64_t, rank>& extents, Body&& body) {
  std::int64_t count = 1;
  for (const std::int64_t extent : extents) count *= extent;
  std::array<std::int64_t, rank> index{};
  for (std::int64_t i = 0; i < count; ++i) {
    body(index);
    for (std::size_t axis = rank; axis-- > 0 && ++index[axis] == extents[axis];) index[axis] = 0;
  }
}

}  // namespace isda::emulator
