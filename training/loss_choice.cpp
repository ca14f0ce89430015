// SPDX-License-Identifier: Apache-2.0
#include "training/loss_choice.h"

#include "kernels/isda/isda.h"
#include "losses/center.h"
#include "losses/cross_entropy.h"
#include "losses/focal.h"
#include "losses/isda_sampled.h"
#include "losses/large_margin.h"
#include "training/free_memory.h"

namespace isda {

namespace {

// NOTE: where a block of the card owns a class, from its maps to their gradients, there is no pass to move.
bool is_passed_ahead(const TrainConfig& config, const Network& network, Device device) {
  if (config.covariance_pass != "auto") return config.covariance_pass == "ahead";
  return config.loss == "isda" && config.covariance == "full" && device == Device::cuda && network.feature_width() > kernels::kMostFeaturesByClass;
}

bool has_statistics(const NamedLoss& loss) { return loss.name.starts_with("isda"); }

}  // namespace

std::optional<StatisticsForecast> forecast_of(const TrainConfig& config, const Network& network, const Placement& placement) {
  if (!has_statistics(loss_of(config.loss))) return std::nullopt;
  return forecast_statistics(network.classes(), network.feature_width(), covariance_of(config.covariance),
                             static_cast<std::int64_t>(size_of(parameter_type(placement.type))));
}

std::unique_ptr<Loss> make_loss(const TrainConfig& config, const Network& network, const Placement& placement) {
  const auto [name, number] = loss_of(config.loss);
  const std::int64_t classes = network.classes(), width = network.feature_width();
  if (name == "ce") return std::make_unique<CrossEntropyLoss>(config.label_smoothing);
  if (name == "focal") return std::make_unique<FocalLoss>(number);
  if (name == "large-margin") return std::make_unique<LargeMarginLoss>(static_cast<int>(number));
  if (name == "center") return std::make_unique<CenterLoss>(classes, width, number, config.center_rate);
  const Covariance covariance = covariance_of(config.covariance);
  covariance.shape(classes, width);
  forecast_of(config, network, placement)->check_fits(free_bytes(placement.device), placement.device == Device::cuda ? "the card" : "this machine");
  if (name == "isda-sampled")
    return std::make_unique<IsdaSampledLoss>(classes, width, config.lambda_0, static_cast<std::int64_t>(number), covariance, config.seed);
  return std::make_unique<IsdaLoss>(classes, width, config.lambda_0, covariance, is_passed_ahead(config, network, placement.device) ? config.batch_size : 0);
}

std::string describe_loss(const TrainConfig& config, const Network& network, Device device) {
  const auto [name, number] = loss_of(config.loss);
  if (name == "ce") return config.label_smoothing > 0 ? fmt::format("cross-entropy, label smoothing {:g}", config.label_smoothing) : "cross-entropy";
  if (name == "focal") return fmt::format("focal, gamma {:g}", number);
  if (name == "large-margin") return fmt::format("large-margin softmax, margin {:g}", number);
  if (name == "center") return fmt::format("cross-entropy and center loss, lambda {:g}, centers follow by {:g}", number, config.center_rate);
  return fmt::format("ISDA{}, {} covariance{}, lambda_0 {}", number > 0 ? fmt::format(" by {:g} draws a sample", number) : "", config.covariance,
                     is_passed_ahead(config, network, device) ? " passed over ahead of the loss" : "", config.lambda_0);
}

}  // namespace isda
