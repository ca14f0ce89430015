// SPDX-License-Identifier: Apache-2.0
#include "training/schedule.h"

#include <cmath>
#include <numbers>

namespace isda {

double learning_rate(const TrainConfig& config, std::int64_t epoch) {
  const std::int64_t number = epoch + 1;
  if (config.schedule == "cosine") return config.lr / 2 * (1 + std::cos(std::numbers::pi * static_cast<double>(number) / static_cast<double>(config.epochs)));
  double rate = config.lr;
  if (config.schedule == "step") {
    for (const auto milestone : config.milestones) {
      if (number >= milestone) rate *= config.lr_factor;
    }
  }
  return rate;
}

}  // namespace isda
