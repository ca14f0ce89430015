// SPDX-License-Identifier: Apache-2.0
#include "training/step.h"

#include <algorithm>

#include "core/autograd.h"
#include "kernels/common/trace.h"
#include "kernels/mix/mix.h"

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
  if (options_.mix.is_on()) draw_mix_inputs(batch, inputs, next_step_);
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
  if (options_.mix.is_on()) make_mix_inputs(inputs, batch.labels.size());
  // NOTE: the trace times each kernel by events that the host reads, which a graph does not have.
  if (device == Device::cuda && options_.is_recorded && !Trace::is_enabled()) inputs.memory = std::make_unique<GraphMemory>();
  return inputs;
}

void TrainingStep::make_mix_inputs(Sized& inputs, std::int64_t images) const {
  const auto& [device, type] = options_.placement;
  const auto number = [&, t = type, d = device] { return Tensor({1}, parameter_type(t), d); };
  inputs.second = {.labels = Tensor({images}, DType::i32, device), .weight_of_first = number(), .weight_of_second = number()};
  inputs.pixel_weight = number();
  inputs.place = Tensor({5}, DType::i32, device);
}

void TrainingStep::draw_mix_inputs(const Batch& batch, const Sized& inputs, std::int64_t step) const {
  const std::int64_t N = batch.labels.size(), height = images_ ? images_->height() : batch.images.extent(1);
  const std::int64_t width = images_ ? images_->width() : batch.images.extent(2);
  const MixDraw draw = draw_mix(options_.mix, options_.seed, step, N, height, width);
  std::vector<std::int32_t> second(batch.labels.as<std::int32_t>(), batch.labels.as<std::int32_t>() + N);
  std::rotate(second.begin(), second.begin() + draw.place[0], second.end());
  copy(ConstView(second.data(), DType::i32, {N}), inputs.second.labels);
  copy(ConstView(draw.place.data(), DType::i32, {5}), inputs.place);
  const double rest = 1 - draw.label_weight;
  copy(ConstView(&draw.pixel_weight, DType::f64, {1}), inputs.pixel_weight);
  copy(ConstView(&draw.label_weight, DType::f64, {1}), inputs.second.weight_of_first);
  copy(ConstView(&rest, DType::f64, {1}), inputs.second.weight_of_second);
}

LossResult TrainingStep::loss_of(const Sized& inputs, const Tensor& images) {
  if (!options_.mix.is_on()) {
    loss_.prepare(network_.classifier(), inputs.labels);
    return loss_(network_.maps(images), network_.classifier(), inputs.labels);
  }
  const Tensor mixed = Tensor::like(images);
  kernels::run(images.context(), kernels::Mix{.x = images, .weight = inputs.pixel_weight, .place = inputs.place, .y = mixed});
  return loss_.mixed(network_.maps(mixed), network_.classifier(), inputs.labels, inputs.second);
}

void TrainingStep::compute(const Sized& inputs) {
  const DType type = options_.placement.type;
  const Tensor images = images_ ? images_->batch(inputs.indices, epoch_, options_.seed, options_.is_augmented, type) : inputs.images;
  const LossResult result = loss_of(inputs, images);
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
