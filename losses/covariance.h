// SPDX-License-Identifier: Apache-2.0
// Which covariance ISDA keeps of each class, and what it costs in memory.
//
//   full        every pair of features                                                (C,A,A)
//   diagonal    each feature by itself                                                (C,A)
//   lowrank:R   the diagonal exactly, and of the pairs what R directions hold         (C,1+R,A)      kernels/isda/low_rank.h
#pragma once
#include <cstdint>
#include <string>

#include "kernels/isda/covariance_kind.h"

namespace isda {

struct Covariance {
  using Kind = kernels::CovarianceKind;
  Kind kind = Kind::full;
  std::int64_t directions = 0;  // R, when low rank

  static const Covariance full, diagonal;
  static Covariance low_rank(std::int64_t directions) { return {Kind::low_rank, directions}; }
  bool operator==(const Covariance&) const = default;

  // Of so many classes and features. Throws Error when R directions are no less than the full covariance.
  Shape shape(std::int64_t classes, std::int64_t width) const;
  // "full", "diagonal", "lowrank:64"
  std::string text() const;
};
inline constexpr Covariance Covariance::full{Covariance::Kind::full, 0};
inline constexpr Covariance Covariance::diagonal{Covariance::Kind::diagonal, 0};

// What `text` names. Throws Error with what is expected: "'lowrank:0', expected full, diagonal or lowrank:R with R directions, 1 or more, e.g. lowrank:64".
Covariance covariance_of(const std::string& text);

// Bytes of count, mean and covariance together. The directions are taken as they are, however many.
std::int64_t statistics_bytes(std::int64_t classes, std::int64_t width, const Covariance& covariance, std::int64_t element_bytes = 4);

// What the class statistics will take, told before they are made.
struct StatisticsForecast {
  Covariance chosen, low_rank;                              // low_rank: the chosen one, or lowrank:64, or as many as there can be
  std::int64_t full_bytes, diagonal_bytes, low_rank_bytes;  // low_rank_bytes 0: with fewer than 3 features there is none
  std::int64_t bytes() const;                               // of the chosen one
  std::string text() const;                                 // "class statistics: 16.8 GB full, 16.4 MB diagonal, 0.5 GB lowrank:64; using full"
  // Throws Error that names the kinds that take less when the chosen one is more than is free. place: "the card", "this machine"
  void check_fits(std::int64_t free_bytes, const std::string& place) const;
};
StatisticsForecast forecast_statistics(std::int64_t classes, std::int64_t width, const Covariance& chosen, std::int64_t element_bytes = 4);

}  // namespace isda
