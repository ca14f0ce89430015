// SPDX-License-Identifier: Apache-2.0
// What the machine could do at best, measured once: the share of it that a line of the bench reaches.   Williams et al., Roofline, 2009.
//
//   perfect seconds = launch + max(bytes / rate of a copy, FLOP / rate of the multipliers that the operation uses)
//
// Bytes and FLOP are those that the operation's cost() declares, so that work saved by another algorithm (Winograd), or arrays that stay in a cache,
// can reach more than 100 %. On the card the multipliers' rates are those of a large product by cuBLAS, on the cpu that of a loop of multiply-adds.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "kernels/common/context.h"
#include "kernels/common/dtype.h"
#include "kernels/common/trace.h"

namespace isda::bench {

// What multiplies: the f32 lanes, or tensor cores in bf16, in TF32, or three times in TF32 for one product in f32.
enum class Unit : std::uint8_t { f32, bf16, tf32, three_tf32 };

struct Roofline {
  double bytes_per_second = 0;                 // of a large copy, read and written bytes both counted
  double launch_seconds = 0;                   // of the smallest kernel in a row of such
  std::array<double, 3> flop_per_second = {};  // of f32, bf16, tf32; 0 where it was not measured

  double rate(Unit unit) const;
  // 0 where the unit's rate was not measured.
  double perfect_seconds(const Cost& cost, Unit unit) const;
};

// Which multipliers an operation of this name uses on the card.
Unit unit_of(std::string_view operation, DType type, F32Products products = F32Products::three_tf32);

Roofline measure_cpu(const Context& context);

}  // namespace isda::bench
