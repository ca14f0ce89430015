// SPDX-License-Identifier: Apache-2.0
#include "training/evaluate.h"

#include "core/autograd.h"
#include "datasets/loader.h"
#include "losses/cross_entropy.h"
#include "training/journal.h"

namespace isda {

Tally evaluate(Network& network, const Dataset& dataset, const Split& split, const EvaluateOptions& options) {
  const NoGradient no_gradient;
  const bool was_training = network.is_training();
  network.evaluate();
  Loader loader(split, dataset.mean, dataset.deviation,
                {.batch_size = options.batch_size,
                 .is_shuffled = false,
                 .is_augmented = false,
                 .workers = options.workers,
                 .type = options.placement.type,
                 .makes_images = !options.images});
  const auto& [device, type] = options.placement;
  const Journal journal(loader.batches(), parameter_type(type), device);
  const Tensor epoch = Tensor::zeros({1}, DType::i32, device);
  std::vector<std::int64_t> sizes;
  for (const Batch& batch : loader.epoch(0)) {
    const Tensor labels = Tensor::copy_of(batch.labels, device);
    const Tensor images = options.images ? options.images->batch(Tensor::copy_of(batch.indices, device), epoch, 0, /*is_augmented=*/false, type)
                                         : Tensor::copy_of(batch.images, device);
    journal.add(cross_entropy(network.logits(images), labels));
    sizes.push_back(labels.size());
  }
  Tally tally;
  const auto entries = journal.read(loader.batches());
  for (std::size_t i = 0; i < entries.size(); ++i) tally.add(entries[i].loss, entries[i].correct, sizes[i]);
  network.train(was_training);
  return tally;
}

}  // namespace isda
