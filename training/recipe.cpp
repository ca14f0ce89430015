// SPDX-License-Identifier: Apache-2.0
#include "training/recipe.h"

#include "models/registry.h"

namespace isda {

TrainConfig recipe_of(const std::string& model) {
  TrainConfig recipe;
  recipe.model = find_network(model).name;
  // CIFAR ResNets, Wang et al. 2019: 160 epochs, rate 0.1, a tenth at 80 and at 120.
  recipe.milestones = {80, 120};
  return recipe;
}

std::vector<std::int64_t> scaled_milestones(const std::vector<std::int64_t>& milestones, std::int64_t recipe_epochs, std::int64_t epochs) {
  std::vector<std::int64_t> result;
  for (const auto milestone : milestones) result.push_back(((milestone - 1) * epochs + recipe_epochs / 2) / recipe_epochs + 1);
  return result;
}

}  // namespace isda
