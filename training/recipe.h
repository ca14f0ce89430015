// SPDX-License-Identifier: Apache-2.0
// What a model's paper trained it with: the defaults of `isda train --model NAME`.
#pragma once
#include <string>

#include "training/config.h"

namespace isda {

// A configuration with the recipe of `model` filled in. Throws Error for an unknown model.
TrainConfig recipe_of(const std::string& model);

// The recipe's milestones for a run of another length: 79 and 119 epochs of 160 before the rate falls are 10 and 15 of 20, milestones 11
// and 16.
std::vector<std::int64_t> scaled_milestones(const std::vector<std::int64_t>& milestones, std::int64_t recipe_epochs, std::int64_t epochs);

}  // namespace isda
