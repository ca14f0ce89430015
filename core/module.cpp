// SPDX-License-Identifier: Apache-2.0
#include "core/module.h"

#include "core/autograd.h"
#include "core/mixed_precision.h"
#include "core/random.h"

namespace isda {

namespace {
thread_local Placement current_placement;
}

PlacementScope::PlacementScope(const Placement& placement) : outer_(current_placement) { current_placement = placement; }
PlacementScope::~PlacementScope() { current_placement = outer_; }
const Placement& PlacementScope::current() { return current_placement; }

std::vector<NamedTensor> Module::parameters() const {
  std::vector<NamedTensor> result;
  visit("", [&](const std::string& prefix, const Module& module) {
    for (const auto& parameter : module.parameters_) result.push_back({prefix + parameter.named.name, parameter.named.tensor});
  });
  return result;
}

std::vector<NamedTensor> Module::buffers() const {
  std::vector<NamedTensor> result;
  visit("", [&](const std::string& prefix, const Module& module) {
    for (const auto& buffer : module.buffers_) result.push_back({prefix + buffer.name, buffer.tensor});
  });
  return result;
}

std::int64_t Module::parameter_count() const {
  std::int64_t count = 0;
  for (const auto& [name, tensor] : parameters()) count += tensor.size();
  return count;
}

void Module::train(bool is_training) {
  is_training_ = is_training;
  for (const auto& [name, module] : children_) module->train(is_training);
}

void Module::initialise(std::uint64_t seed) {
  std::uint64_t position = 0;
  visit("", [&](const std::string&, const Module& module) {
    for (const auto& [named, initial] : module.parameters_) {
      const View view = named.tensor;
      switch (initial.kind) {
        case Initial::Kind::constant: copy(Tensor::full(view.shape(), initial.value, view.type()), view); break;
        case Initial::Kind::normal: fill_normal(view, initial.value, seed, RandomStream::initialisation, position); break;
        case Initial::Kind::uniform: fill_uniform(view, -initial.value, initial.value, seed, RandomStream::initialisation, position); break;
      }
      refresh_bf16_copy(named.tensor);
      ++position;
    }
  });
}

Tensor Module::add_parameter(const std::string& name, const Shape& shape, const Initial& initial) {
  const auto& [device, type] = PlacementScope::current();
  const Tensor tensor = parameter(Tensor::zeros(shape, parameter_type(type), device));
  parameters_.push_back({{name, tensor}, initial});
  return tensor;
}

Tensor Module::add_weight(const std::string& name, const Shape& shape, const Initial& initial) {
  const Tensor tensor = add_parameter(name, shape, initial);
  if (PlacementScope::current().type == DType::bf16) keep_bf16_copy(tensor);
  return tensor;
}

Tensor Module::add_buffer(const std::string& name, const Shape& shape, double value) {
  const auto& [device, type] = PlacementScope::current();
  const Tensor tensor = Tensor::full(shape, value, parameter_type(type), device);
  buffers_.push_back({name, tensor});
  return tensor;
}

}  // namespace isda
