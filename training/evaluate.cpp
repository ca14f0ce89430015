// SPDX-License-Identifier: Apache-2.0
#include "training/evaluate.h"

#include <algorithm>

#include "core/autograd.h"
#include "datasets/loader.h"
#include "losses/cross_entropy.h"
#include "training/journal.h"

namespace isda {

namespace {

// Evaluation for as long as it lives: no history, and the network's layers as they are when it is used.
class Evaluation {
 public:
  explicit Evaluation(Network& network) : network_(network), was_training_(network.is_training()) { network.evaluate(); }
  ~Evaluation() { network_.train(was_training_); }
  Evaluation(const Evaluation&) = delete;
  Evaluation& operator=(const Evaluation&) = delete;

 private:
  const NoGradient no_gradient_;
  Network& network_;
  const bool was_training_;
};

LoaderOptions in_order(const EvaluateOptions& options) {
  return {.batch_size = options.batch_size,
          .is_shuffled = false,
          .is_augmented = false,
          .workers = options.workers,
          .type = options.placement.type,
          .makes_images = !options.images};
}

Tensor images_of(const Batch& batch, const EvaluateOptions& options) {
  const auto& [device, type] = options.placement;
  if (!options.images) return Tensor::copy_of(batch.images, device);
  const Tensor epoch = Tensor::zeros({1}, DType::i32, device);
  return options.images->batch(Tensor::copy_of(batch.indices, device), epoch, 0, /*is_augmented=*/false, type);
}

}  // namespace

Tally evaluate(Network& network, const Dataset& dataset, const Split& split, const EvaluateOptions& options) {
  const Evaluation evaluation(network);
  Loader loader(split, dataset.mean, dataset.deviation, in_order(options));
  const auto& [device, type] = options.placement;
  const Journal journal(loader.batches(), parameter_type(type), device);
  std::vector<std::int64_t> sizes;
  for (const Batch& batch : loader.epoch(0)) {
    const Tensor labels = Tensor::copy_of(batch.labels, device);
    journal.add(cross_entropy(network.logits(images_of(batch, options)), labels));
    sizes.push_back(labels.size());
  }
  Tally tally;
  const auto entries = journal.read(loader.batches());
  for (std::size_t i = 0; i < entries.size(); ++i) tally.add(entries[i].loss, entries[i].correct, sizes[i]);
  return tally;
}

double correction_of(const Loss& loss, Network& network, const Dataset& dataset, const Split& split, const EvaluateOptions& options) {
  const Evaluation evaluation(network);
  constexpr std::int64_t kMostImages = 64;
  LoaderOptions first = in_order(options);
  first.batch_size = first.limit = std::min(options.batch_size, kMostImages);
  Loader loader(split, dataset.mean, dataset.deviation, first);
  double result = 0;
  for (const Batch& batch : loader.epoch(0)) {
    const Tensor labels = Tensor::copy_of(batch.labels, options.placement.device);
    result = loss.correction(network.features(images_of(batch, options)), network.classifier(), labels);
  }
  return result;
}

}  // namespace isda
