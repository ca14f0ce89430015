// SPDX-License-Identifier: Apache-2.0
#include "training/evaluate.h"

#include "core/autograd.h"
#include "datasets/loader.h"
#include "losses/cross_entropy.h"

namespace isda {

Tally evaluate(Network& network, const Dataset& dataset, const Split& split, const EvaluateOptions& options) {
  const NoGradient no_gradient;
  const bool was_training = network.is_training();
  network.evaluate();
  Loader loader(split, dataset.mean, dataset.deviation,
                {.batch_size = options.batch_size, .is_shuffled = false, .is_augmented = false, .workers = options.workers, .type = options.placement.type});
  Tally tally;
  for (const Batch& batch : loader.epoch(0)) {
    const Tensor images = Tensor::copy_of(batch.images, options.placement.device);
    const Tensor labels = Tensor::copy_of(batch.labels, options.placement.device);
    const auto [loss, correct] = cross_entropy(network.logits(images), labels);
    tally.add(loss.item(), static_cast<std::int64_t>(correct.item()), labels.size());
  }
  network.train(was_training);
  return tally;
}

}  // namespace isda
