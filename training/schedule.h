// SPDX-License-Identifier: Apache-2.0
// The learning rate of an epoch.
#pragma once
#include "training/config.h"

namespace isda {

// epoch counts from 0. As in the paper's runs, milestones and the cosine count epochs from 1: with a milestone of 80 the 80th epoch
// (epoch = 79) already runs at the lower rate, and under cosine the rate is lr/2 (1 + cos(pi (epoch+1) / epochs)).
double learning_rate(const TrainConfig& config, std::int64_t epoch);

}  // namespace isda
