// SPDX-License-Identifier: Apache-2.0
#include "training/optimizer.h"

#include "core/autograd.h"
#include "core/mixed_precision.h"
#include "kernels/sgd/sgd.h"

namespace isda {

SgdOptimizer::SgdOptimizer(const Module& module, const SgdOptions& options) : options_(options), parameters_(module.parameters()) {
  require(!parameters_.empty(), "[optimizer] the module has no parameters");
  for (const auto& [name, tensor] : parameters_) momenta_.push_back({name, Tensor::zeros(tensor.shape(), tensor.type(), tensor.device())});
  const Tensor& first = parameters_.front().tensor;
  learning_rate_ = Tensor::zeros({1}, first.type(), first.device());
}

void SgdOptimizer::set_learning_rate(double rate) { copy(Tensor::full({1}, rate, learning_rate_.type()), learning_rate_); }

void SgdOptimizer::step() {
  std::vector<kernels::SgdTensor> tensors;
  tensors.reserve(parameters_.size());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor gradient = gradient_of(parameters_[i].tensor);
    require(static_cast<bool>(gradient), "[optimizer] {} has no gradient: run backward() first", parameters_[i].name);
    tensors.push_back({.parameter = parameters_[i].tensor, .gradient = gradient, .momentum = momenta_[i].tensor, .copy = bf16_copy_of(parameters_[i].tensor)});
  }
  run(learning_rate_.context(), kernels::Sgd{.tensors = tensors,
                                             .learning_rate = learning_rate_,
                                             .momentum = options_.momentum,
                                             .weight_decay = options_.weight_decay,
                                             .nesterov = options_.nesterov});
  for (const auto& parameter : parameters_) clear_gradient(parameter.tensor);
}

}  // namespace isda
