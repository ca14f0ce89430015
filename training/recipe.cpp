// SPDX-License-Identifier: Apache-2.0
#include "training/recipe.h"

#include "models/registry.h"

namespace isda {

namespace {

struct Recipe {
  const char* networks;  // a family, or one network, which then comes before its family
  std::int64_t epochs, batch_size;
  double lr;
  std::vector<std::int64_t> milestones;  // none: cosine
  double lr_factor, weight_decay, dropout;
  double lambda_0 = 0.5;
  const char* covariance = "full";
};

// Wang et al. 2019, appendix; those for 224x224 images Wang et al. 2021. NOTE: pre-activation networks and SE-Wide-ResNets are not among theirs, and are
// trained as ResNets and Wide-ResNets are. Nor are these:
//   shake_shake            epochs, batch, cosine and decay are theirs; they state no rate: Gastaldi 2017 has 0.2 with batches of 128, so half of it
//   pyramidnet             Han et al. 2017, section 4.2
//   shakedrop_pyramidnet   as Cubuk et al., AutoAugment, 2019, trained it: 1800 epochs, batches of 64, cosine from 0.05, decay 5e-5
const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> list = {
      {"resnet", 160, 128, 0.1, {80, 120}, 0.1, 1e-4, 0},
      {"preact_resnet", 160, 128, 0.1, {80, 120}, 0.1, 1e-4, 0},
      {"se_resnet", 200, 128, 0.1, {80, 120, 160}, 0.1, 1e-4, 0},
      {"wide_resnet", 240, 128, 0.1, {60, 120, 160, 200}, 0.2, 5e-4, 0.3},
      {"se_wide_resnet", 240, 128, 0.1, {60, 120, 160, 200}, 0.2, 5e-4, 0.3},
      {"resnext", 350, 128, 0.05, {150, 225, 300}, 0.1, 5e-4, 0},
      {"densenet_bc", 300, 64, 0.1, {150, 200, 250}, 0.1, 1e-4, 0},
      {"shake_shake", 1800, 64, 0.1, {}, 0.1, 1e-4, 0},
      {"pyramidnet", 300, 128, 0.1, {150, 225}, 0.1, 1e-4, 0},
      {"shakedrop_pyramidnet", 1800, 64, 0.05, {}, 0.1, 5e-5, 0},
      {"imagenet_resnet101", 300, 512, 0.2, {}, 0.1, 1e-4, 0, 5, "diagonal"},
      {"imagenet_resnet", 300, 512, 0.2, {}, 0.1, 1e-4, 0, 7.5, "diagonal"},
      {"imagenet_resnext", 300, 512, 0.2, {}, 0.1, 1e-4, 0, 7.5, "diagonal"},
      {"imagenet_densenet", 300, 512, 0.2, {}, 0.1, 1e-4, 0, 1, "diagonal"},
  };
  return list;
}

}  // namespace

TrainConfig recipe_of(const std::string& model) {
  const NetworkEntry entry = find_network(model);
  TrainConfig config;
  config.model = entry.name;
  for (const Recipe& recipe : recipes()) {
    if (recipe.networks != entry.family && recipe.networks != entry.name) continue;
    config.epochs = recipe.epochs;
    config.batch_size = recipe.batch_size;
    config.lr = recipe.lr;
    config.schedule = recipe.milestones.empty() ? "cosine" : "step";
    config.milestones = recipe.milestones;
    config.lr_factor = recipe.lr_factor;
    config.weight_decay = recipe.weight_decay;
    config.dropout = recipe.dropout;
    config.lambda_0 = recipe.lambda_0;
    config.covariance = recipe.covariance;
    return config;
  }
  fail("[recipe] there is none for the family '{}' of {}: add it to training/recipe.cpp", entry.family, entry.name);
}

std::vector<std::int64_t> scaled_milestones(const std::vector<std::int64_t>& milestones, std::int64_t recipe_epochs, std::int64_t epochs) {
  std::vector<std::int64_t> result;
  for (const auto milestone : milestones) result.push_back(((milestone - 1) * epochs + recipe_epochs / 2) / recipe_epochs + 1);
  return result;
}

}  // namespace isda
