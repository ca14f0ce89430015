// SPDX-License-Identifier: Apache-2.0
// One training step: images, feature maps, loss, gradients, update, journal.
//
// On the card the host only enqueues: it waits for nothing, and what changes from step to step (indices, labels, epoch, the step's number, learning rate,
// ratio, the journal's row) lies in device memory. So the step of each batch size is run once as it is, which warms up the allocator, then recorded as one CUDA
// graph, and from then on replayed: one launch for some hundreds of kernels. An epoch has two: of a full batch, and of the last one where it is smaller.
#pragma once
#include <map>
#include <memory>
#include <optional>

#include "core/graph_memory.h"
#include "datasets/loader.h"
#include "datasets/mixing.h"
#include "datasets/resident_images.h"
#include "losses/loss.h"
#include "models/network.h"
#include "training/journal.h"
#include "training/optimizer.h"

namespace isda {

struct StepOptions {
  Placement placement = {};
  std::uint64_t seed = 0;
  bool is_augmented = true;
  MixOptions mix = {};
  bool is_recorded = true;         // on the card: replay a graph; false: enqueue kernel by kernel
  std::int64_t journal_rows = 64;  // how many steps may be taken before the journal is read
};

class TrainingStep {
 public:
  // images: on the device, or null where each batch brings its own. All must outlive the step.
  TrainingStep(const Network& network, Loss& loss, SgdOptimizer& optimizer, const ResidentImages* images, const StepOptions& options);

  // Of which epoch the batches that follow are: their augmentation depends on it.
  void set_epoch(std::int32_t epoch);
  // The number of the step that follows; those behind it count on. A network that drops at random does so by it, the same in a resumed run.
  void set_step(std::int64_t step) { next_step_ = step; }
  // Enqueues a step on this batch, which may be changed when this returns.
  void run(const Batch& batch);
  // The losses and hits of the steps since the last reading; waits for them.
  std::vector<Journal::Entry> read_journal();
  std::int64_t unread() const { return unread_; }
  bool is_journal_full() const { return unread_ == journal_.rows(); }

  // Kernels and copies in the graph of a batch of this size; 0 where none is recorded.
  std::size_t graph_nodes(std::int64_t batch_size) const;

 private:
  // What a batch is copied to, and the graph that works on it.
  struct Sized {
    Tensor images, indices, labels;  // images: where they are not on the device already
    SecondLabels second;             // of mixed images, as is what follows
    Tensor pixel_weight, place;
    std::unique_ptr<GraphMemory> memory;
    std::optional<cuda::Graph> graph;
    bool is_warm = false;
  };

  Sized& sized_for(const Batch& batch);
  void make_mix_inputs(Sized& inputs, std::int64_t images) const;
  void draw_mix_inputs(const Batch& batch, const Sized& inputs, std::int64_t step) const;
  LossResult loss_of(const Sized& inputs, const Tensor& images);
  void compute(const Sized& inputs);
  void record(Sized& inputs);

  const Network& network_;
  Loss& loss_;
  SgdOptimizer& optimizer_;
  const ResidentImages* images_;
  const StepOptions options_;
  const Journal journal_;
  const Tensor epoch_;  // (1) i32
  std::map<std::int64_t, Sized> sized_;
  std::int64_t unread_ = 0;
  std::int64_t next_step_ = 0;
};

}  // namespace isda
