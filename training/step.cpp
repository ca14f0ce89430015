// SPDX-License-Identifier: Apache-2.0
#include "training/step.h"

#include "core/autograd.h"
#include "kernels/common/trace.h"

namespace isda {

TrainingStep::TrainingStep(const Network& network, Loss& loss, SgdOptimizer& optimizer, const ResidentImages* images, const StepOptions& options)
    : network_(network),
      loss_(loss),
      optimizer_(optimizer),
      images_(images),
      options_(options),
      journal_(options.journal_rows, parameter_type(options.placement.type), options.placement.device),
      epoch_(Tensor::zeros({1}, DType::i32, options.placement.device)) {}

void TrainingStep::set_epoch(std::int32_t epoch) { copy(ConstView(&epoch, DType::i32, {1}), epoch_); }

void TrainingStep::run(const Batch& batch) {
  require(!is_journal_full(), "[step] {} steps were taken since the journal was read, and it has no more rows", unread_);
  Sized& inputs = sized_for(batch);
  copy(batch.labels, inputs.labels);
  if (images_)
    copy(batch.indices, inputs.indices);
  else
    copy(batch.images, inputs.images);
  const auto step = static_cast<std::int32_t>(next_step_++);
  if (const Tensor number = network_.step()) copy(ConstView(&step, DType::i32, {1}), number);

  if (!inputs.memory) {
    compute(inputs);
  } else {
    if (inputs.is_warm && !inputs.graph) record(inputs);
    if (inputs.graph) {
      inputs.graph->launch(context_of(Device::cuda).stream());
    } else {
      const GraphMemory::Scope scope(*inputs.memory);
      compute(inputs);
      inputs.is_warm = true;
    }
  }
  unread_ += 1;
}

TrainingStep::Sized& TrainingStep::sized_for(const Batch& batch) {
  const auto [found, is_new] = sized_.try_emplace(batch.labels.size());
  Sized& inputs = found->second;
  if (!is_new) return inputs;
  const auto& [device, type] = options_.placement;
  inputs.labels = Tensor(batch.labels.shape(), DType::i32, device);
  if (images_)
    inputs.indices = Tensor(batch.indices.shape(), DType::i32, device);
  else
    inputs.images = Tensor(batch.images.shape(), batch.images.type(), device);
  // NOTE: the trace times each kernel by events that the host reads, which a graph does not have.
  if (device == Device::cuda && options_.is_recorded && !Trace::is_enabled()) inputs.memory = std::make_unique<GraphMemory>();
  return inputs;
}

void TrainingStep::compute(const Sized& inputs) {
  const DType type = options_.placement.type;
  const Tensor images = images_ ? images_->batch(inputs.indices, epoch_, options_.seed, options_.is_augmented, type) : inputs.images;
  loss_.prepare(network_.classifier(), inputs.labels);
  const LossResult result = loss_(network_.maps(images), network_.classifier(), inputs.labels);
  journal_.add(result);
  backward(result.loss);
  optimizer_.step();
}

void TrainingStep::record(Sized& inputs) {
  const GraphMemory::Scope scope(*inputs.memory);
  inputs.graph.emplace(context_of(Device::cuda).stream());
  try {
    compute(inputs);
    inputs.graph->finish();
  } catch (...) {
    inputs.graph.reset();
    throw;
  }
}

std::vector<Journal::Entry> TrainingStep::read_journal() { return journal_.read(std::exchange(unread_, 0)); }

std::size_t TrainingStep::graph_nodes(std::int64_t batch_size) const {
  const auto found = sized_.find(batch_size);
  return found != sized_.end() && found->second.graph ? found->second.graph->nodes() : 0;
}

}  // namespace isda
