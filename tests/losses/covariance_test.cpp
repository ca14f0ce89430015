// SPDX-License-Identifier: Apache-2.0
// The kinds of covariances by name and by memory, and what is said before any memory is taken.
#include "losses/covariance.h"

#include <gtest/gtest.h>

#include "losses/isda.h"
#include "tests/core/expect_error.h"

namespace isda {
namespace {

TEST(Covariance, IsNamed) {
  for (const Covariance& covariance : {Covariance::full, Covariance::diagonal, Covariance::low_rank(1), Covariance::low_rank(64)})
    EXPECT_EQ(covariance_of(covariance.text()), covariance) << covariance.text();
  EXPECT_EQ(Covariance::low_rank(64).text(), "lowrank:64");
  for (const char* wrong :
       {"", "lowrank", "lowrank:", "lowrank:0", "lowrank:-3", "lowrank:x", "lowrank:4x", "lowrank:4:", "lowrank: 4", "lowrank:99999999999999999999"})
    expect_error([&] { covariance_of(wrong); }, fmt::format("'{}', expected full, diagonal or lowrank:R with R directions, 1 or more, e.g. lowrank:64", wrong));
  expect_error([] { covariance_of("diagnoal"); }, "; did you mean diagonal?");
  expect_error([] { covariance_of("low-rank:4"); }, "; did you mean lowrank:R?");
  expect_error([] { covariance_of("full:4"); }, "'full:4', expected full");
}

TEST(Covariance, HasAShape) {
  EXPECT_EQ(Covariance::full.shape(7, 5), (Shape{7, 5, 5}));
  EXPECT_EQ(Covariance::diagonal.shape(7, 5), (Shape{7, 5}));
  EXPECT_EQ(Covariance::low_rank(3).shape(7, 5), (Shape{7, 4, 5}));
  expect_error([] { Covariance::low_rank(4).shape(7, 5); },
               "[isda] lowrank:4 of 5 features would take as much memory as the full covariance, or more; use --covariance full, or at most lowrank:3");
  expect_error([] { Covariance::low_rank(1).shape(7, 2); },
               "lowrank:1 of 2 features would take as much memory as the full covariance, or more; use --covariance full");
}

TEST(Covariance, TheForecastIsWhatTheStatisticsTake) {
  for (const Covariance& covariance : {Covariance::full, Covariance::diagonal, Covariance::low_rank(9)}) {
    const ClassStatistics statistics(10, 64, covariance);
    std::int64_t bytes = 0;
    for (const auto& [name, tensor] : statistics.state()) bytes += tensor.bytes();
    EXPECT_EQ(statistics_bytes(10, 64, covariance), bytes) << covariance.text();
    EXPECT_EQ(forecast_statistics(10, 64, covariance).bytes(), bytes) << covariance.text();
  }
}

TEST(Covariance, TheForecastNamesAllThree) {
  EXPECT_EQ(forecast_statistics(1000, 2048, Covariance::full).text(), "class statistics: 16.8 GB full, 16.4 MB diagonal, 0.5 GB lowrank:64; using full");
  EXPECT_EQ(forecast_statistics(1000, 2048, Covariance::low_rank(16)).text(),
            "class statistics: 16.8 GB full, 16.4 MB diagonal, 0.1 GB lowrank:16; using lowrank:16");
  EXPECT_EQ(forecast_statistics(10, 64, Covariance::diagonal).text(), "class statistics: 0.2 MB full, 5.2 kB diagonal, 0.2 MB lowrank:62; using diagonal");
  EXPECT_EQ(forecast_statistics(10, 2, Covariance::full, 8).text(), "class statistics: 0.6 kB full, 0.4 kB diagonal; using full");
  // In 64 bits.
  EXPECT_EQ(forecast_statistics(21841, 4096, Covariance::full).full_bytes, std::int64_t{4} * 21841 * (1 + 4096 + 4096 * 4096));
}

TEST(Covariance, WhatDoesNotFitIsRefusedWithTheAlternatives) {
  const StatisticsForecast full = forecast_statistics(1000, 2048, Covariance::full);
  full.check_fits(full.full_bytes, "the card");
  expect_error(
      [&] { full.check_fits(full.full_bytes - 1, "the card"); },
      "the class statistics of --covariance full take 16.8 GB, and the card has 16.8 GB free; use --covariance lowrank:64 (0.5 GB) or --covariance diagonal "
      "(16.4 MB)");
  const StatisticsForecast low_rank = forecast_statistics(1000, 2048, Covariance::low_rank(100));
  low_rank.check_fits(low_rank.low_rank_bytes, "this machine");
  expect_error([&] { low_rank.check_fits(1000000, "this machine"); },
               "--covariance lowrank:100 take 0.8 GB, and this machine has 1.0 MB free; use fewer directions or --covariance diagonal (16.4 MB)");
  expect_error([&] { forecast_statistics(1000, 2048, Covariance::diagonal).check_fits(0, "this machine"); },
               "no kind takes less, use a network with fewer features");
}

}  // namespace
}  // namespace isda
