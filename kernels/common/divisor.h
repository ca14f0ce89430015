// SPDX-License-Identifier: Apache-2.0
// Division by a number that is known before the launch: one multiplication and one shift, where a card needs twenty instructions otherwise.
//   Granlund, Montgomery, Division by Invariant Integers using Multiplication, 1994, theorem 4.2
//
// With L = log2(d) rounded up and m = 2^(31+L) / d rounded up (below 2^32), n / d = n * m / 2^(31+L), rounded down, for every 0 <= n < 2^31.
#pragma once
#include <bit>
#include <cstdint>

namespace isda {

class Divisor {
 public:
  Divisor() = default;
  explicit constexpr Divisor(std::int64_t divisor)
      : divisor_(static_cast<std::uint32_t>(divisor)),
        shift_(31 + static_cast<std::uint32_t>(std::bit_width(divisor_ - 1))),
        multiplier_(static_cast<std::uint32_t>(((std::uint64_t{1} << shift_) + divisor_ - 1) / divisor_)) {}

  constexpr int value() const { return static_cast<int>(divisor_); }
  constexpr int quotient(int n) const { return static_cast<int>((static_cast<std::uint64_t>(static_cast<std::uint32_t>(n)) * multiplier_) >> shift_); }
  // Leaves the quotient in n and returns the remainder.
  constexpr int divide(int& n) const {
    const int whole = n;
    n = quotient(n);
    return whole - n * value();
  }

 private:
  std::uint32_t divisor_ = 1, shift_ = 31, multiplier_ = 1u << 31;
};

}  // namespace isda
