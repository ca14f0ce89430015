// SPDX-License-Identifier: Apache-2.0
// A network on a data set: mean cross-entropy and top-1 of the plain logits, running statistics in batch-norm, no augmentation; and how far a loss would
// move these logits.
#pragma once
#include "datasets/dataset.h"
#include "datasets/resident_images.h"
#include "losses/loss.h"
#include "models/network.h"
#include "training/metrics.h"

namespace isda {

struct EvaluateOptions {
  std::int64_t batch_size = 128;
  int workers = 1;
  Placement placement = {};
  const ResidentImages* images = nullptr;  // of the split, on the device; null: each batch brings its own
};

// Leaves the network as it was, in training or evaluation.
Tally evaluate(Network& network, const Dataset& dataset, const Split& split, const EvaluateOptions& options);

// Loss::correction on the first images of the split, at most 64 and a batch: the scale-free reading of lambda_0. Leaves the network as it was.
double correction_of(const Loss& loss, Network& network, const Dataset& dataset, const Split& split, const EvaluateOptions& options);

}  // namespace isda
