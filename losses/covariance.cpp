// SPDX-License-Identifier: Apache-2.0
#include "losses/covariance.h"

#include <algorithm>
#include <charconv>

#include "kernels/common/nearest.h"

namespace isda {

namespace {

constexpr std::int64_t kUsualDirections = 64;
constexpr std::string_view kLowRank = "lowrank";

Shape shape_of(std::int64_t classes, std::int64_t width, const Covariance& covariance) {
  switch (covariance.kind) {
    case Covariance::Kind::full: return {classes, width, width};
    case Covariance::Kind::diagonal: return {classes, width};
    case Covariance::Kind::low_rank: break;
  }
  return {classes, 1 + covariance.directions, width};
}

// "16.8 GB", "8.2 MB", "5.2 kB"
std::string size_text(std::int64_t bytes) {
  const auto number = static_cast<double>(bytes);
  if (number < 1e5) return fmt::format("{:.1f} kB", number * 1e-3);
  return number < 1e8 ? fmt::format("{:.1f} MB", number * 1e-6) : fmt::format("{:.1f} GB", number * 1e-9);
}

}  // namespace

Shape Covariance::shape(std::int64_t classes, std::int64_t width) const {
  require(kind != Kind::low_rank || directions >= 1, "[isda] a covariance of {} directions, expected 1 or more", directions);
  require(kind != Kind::low_rank || 1 + directions < width,
          "[isda] {} of {} features would take as much memory as the full covariance, or more; use --covariance full{}", text(), width,
          width >= 3 ? fmt::format(", or at most lowrank:{}", width - 2) : "");
  return shape_of(classes, width, *this);
}

std::string Covariance::text() const {
  switch (kind) {
    case Kind::full: return "full";
    case Kind::diagonal: return "diagonal";
    case Kind::low_rank: break;
  }
  return fmt::format("{}:{}", kLowRank, directions);
}

Covariance covariance_of(const std::string& text) {
  if (text == "full") return Covariance::full;
  if (text == "diagonal") return Covariance::diagonal;
  const std::size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  if (kind == kLowRank && colon != std::string::npos) {
    std::int64_t directions = 0;
    const char *begin = text.data() + colon + 1, *end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(begin, end, directions);
    if (error == std::errc() && stop == end && directions >= 1) return Covariance::low_rank(directions);
  }
  const std::string kinds[] = {"full", "diagonal", std::string(kLowRank)};
  const std::string near = nearest(kind, kinds);
  const bool is_spelt = near.empty() || near == kind;
  fail("'{}', expected full, diagonal or lowrank:R with R directions, 1 or more, e.g. lowrank:64{}", text,
       is_spelt ? "" : fmt::format("; did you mean {}?", near == kLowRank ? "lowrank:R" : near));
}

std::int64_t statistics_bytes(std::int64_t classes, std::int64_t width, const Covariance& covariance, std::int64_t element_bytes) {
  return element_bytes * (classes + classes * width + shape_of(classes, width, covariance).size());
}

StatisticsForecast forecast_statistics(std::int64_t classes, std::int64_t width, const Covariance& chosen, std::int64_t element_bytes) {
  const std::int64_t most = width - 2;
  const Covariance low_rank = chosen.kind == Covariance::Kind::low_rank ? chosen : Covariance::low_rank(std::min(kUsualDirections, most));
  const auto bytes = [&](const Covariance& covariance) { return statistics_bytes(classes, width, covariance, element_bytes); };
  return {.chosen = chosen,
          .low_rank = low_rank,
          .full_bytes = bytes(Covariance::full),
          .diagonal_bytes = bytes(Covariance::diagonal),
          .low_rank_bytes = low_rank.directions >= 1 ? bytes(low_rank) : 0};
}

std::int64_t StatisticsForecast::bytes() const {
  switch (chosen.kind) {
    case Covariance::Kind::full: return full_bytes;
    case Covariance::Kind::diagonal: return diagonal_bytes;
    case Covariance::Kind::low_rank: break;
  }
  return low_rank_bytes;
}

std::string StatisticsForecast::text() const {
  const std::string of_low_rank = low_rank_bytes > 0 ? fmt::format(", {} {}", size_text(low_rank_bytes), low_rank.text()) : "";
  return fmt::format("class statistics: {} full, {} diagonal{}; using {}", size_text(full_bytes), size_text(diagonal_bytes), of_low_rank, chosen.text());
}

void StatisticsForecast::check_fits(std::int64_t free_bytes, const std::string& place) const {
  if (bytes() <= free_bytes) return;
  std::string advice;
  const std::string of_diagonal = fmt::format("--covariance diagonal ({})", size_text(diagonal_bytes));
  switch (chosen.kind) {
    case Covariance::Kind::full:
      if (low_rank_bytes > 0) advice = fmt::format("use --covariance {} ({}) or ", low_rank.text(), size_text(low_rank_bytes));
      advice += (advice.empty() ? "use " : "") + of_diagonal;
      break;
    case Covariance::Kind::low_rank: advice = "use fewer directions or " + of_diagonal; break;
    case Covariance::Kind::diagonal: advice = "no kind takes less, use a network with fewer features"; break;
  }
  fail("the class statistics of --covariance {} take {}, and {} has {} free; {}", chosen.text(), size_text(bytes()), place, size_text(free_bytes), advice);
}

}  // namespace isda
