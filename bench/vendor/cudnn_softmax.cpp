// SPDX-License-Identifier: Apache-2.0
// Of softmax cross-entropy cuDNN has the softmax; with the targets in its result, alpha and beta make the gradient of it in the same call:
//
//   dlogits = (1/N) softmax(logits) - (1/N) targets        losses, loss and hits are left out
#include "bench/vendor/cudnn.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace isda::vendor {

using kernels::SoftmaxCrossEntropy;

namespace {

Equal equal_of(const Context& context, const SoftmaxCrossEntropy& op) {
  struct State {
    Images images;
    Twin targets, result;
    float alpha, beta;
    explicit State(const ConstView& logits) : images(logits), targets(logits), result(logits), alpha(1 / static_cast<float>(logits.extent(0))), beta(-alpha) {}
  };
  const std::int64_t N = op.logits.extent(0), C = op.logits.extent(1);
  std::vector<std::int32_t> labels(static_cast<std::size_t>(N));
  cuda::copy_to_host(labels.data(), op.labels.data(), labels.size() * sizeof(std::int32_t), context.stream());
  context.synchronise();
  auto state = std::make_shared<State>(op.logits);
  state->targets.write(context, [&](std::int64_t i) {
    return (1 - op.label_smoothing) * (i % C == labels[static_cast<std::size_t>(i / C)]) + op.label_smoothing / static_cast<double>(C);
  });
  Equal equal;
  equal.words = cudnn_version() + ", the gradient alone; without loss, losses, hits";
  equal.begin = [state](const Context& its) {
    cuda::copy_on_device(state->result.view().data(), state->targets.view().data(), static_cast<std::size_t>(state->targets.view().bytes()), its.stream());
  };
  // NOTE: run again, it takes its own result for the targets, which costs the same.
  equal.run = [state, handle = cudnn_handle(context), logits = op.logits](const Context&) {
    require_success(cudnnSoftmaxForward(handle, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_INSTANCE, &state->alpha, state->images.get(), logits.data(),
                                        &state->beta, state->images.get(), state->result.view().data()),
                    "cudnnSoftmaxForward");
  };
  equal.ours = runner(op);
  equal.results = {{"dlogits", op.dlogits, state->result.view()}};
  return equal;
}

}  // namespace

void add_softmax(const Context& context, std::span<const Launch> launches, std::size_t launch, std::vector<Equal>& equals) {
  const auto* op = operation_of<SoftmaxCrossEntropy>(launches[launch]);
  if (op && op->dlogits) add_equal(equals, Math::full, launch, [&] { return equal_of(context, *op); });
}

}  // namespace isda::vendor
