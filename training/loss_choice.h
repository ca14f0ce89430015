// SPDX-License-Identifier: Apache-2.0
// What --loss names, some with a number behind a colon, and the loss itself.
//
//   ce   isda   isda-sampled:M   focal:GAMMA   large-margin:M   center:LAMBDA
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "losses/isda.h"
#include "models/network.h"
#include "training/config.h"

namespace isda {

// What the class statistics of the run's loss will take; nothing for a loss that keeps none.
std::optional<StatisticsForecast> forecast_of(const TrainConfig& config, const Network& network, const Placement& placement);

// Throws Error where the class statistics do not fit.
std::unique_ptr<Loss> make_loss(const TrainConfig& config, const Network& network, const Placement& placement);

// "ISDA, full covariance, lambda_0 0.5", "focal, gamma 2"
std::string describe_loss(const TrainConfig& config, const Network& network, Device device);

}  // namespace isda
