// SPDX-License-Identifier: Apache-2.0
#include "kernels/isda/head_by_parts.cuh"

#include "kernels/isda/head_by_class.cuh"
#include "kernels/isda/low_rank.cuh"
#include "kernels/linear/linear.h"

namespace isda::kernels {

void finish_head(const Context& context, Scratch& scratch, const HeadRest& op) {
  const HeadBatch& batch = op.batch;
  const std::int64_t N = batch.labels.size();
  const auto [C, A] = batch.weight.extents<2>();
  const auto made = [&](const Shape& shape) { return View(scratch.take<float>(shape.size()), DType::f32, shape); };

  // Logits, losses and their gradients.
  const View features(op.features, DType::f32, {N, A}), logits = made({N, C});
  run(Cuda{}, context, Linear{.x = features, .weight = batch.weight, .bias = batch.bias, .y = logits});
  const ClassSoftmax softmax{.members = op.members,
                             .labels = batch.labels.as<std::int32_t>(),
                             .slots = op.slots,
                             .N = static_cast<int>(N),
                             .C = static_cast<int>(C),
                             .count = op.count.as<float>(),
                             .ratio = batch.ratio.as<float>(),
                             .table = op.table,
                             .logits = logits.as<float>(),
                             .records = scratch.take<ClassRecord>(C),
                             .gc = scratch.take<float>(op.members.most * C),
                             .g = scratch.take<float>(op.members.most * C)};
  take_softmax(context, softmax);

  // Gradients of the features, and of the maps.
  const bool are_features = batch.dx.shape().rank() == 2 && batch.dx.type() == DType::f32;
  const View dfeatures = are_features ? batch.dx : made({N, A});
  run(Cuda{}, context, LinearBackward{.dy = logits, .x = features, .weight = batch.weight, .dx = dfeatures, .dweight = batch.dweight});
  if (!are_features) spread(context, dfeatures.as<float>(), batch.dx);

  // Gradients of the parameters, and the sums over the classes.
  const bool is_full = !op.covariance || kernels::is_full(op.covariance);
  const WeightCorrection correction{.members = op.members,
                                    .C = softmax.C,
                                    .A = static_cast<int>(A),
                                    .ratio = softmax.ratio,
                                    .weight = batch.weight.as<float>(),
                                    .variance = !is_full && is_diagonal(op.covariance) ? op.covariance.as<float>() : nullptr,
                                    .u = op.u,
                                    .slots = op.slots,
                                    .g = softmax.g,
                                    .dweight = batch.dweight.as<float>(),
                                    .terms = op.terms,
                                    .projections = op.projections};
  if (!is_full && is_low_rank(op.covariance))
    correct_weight_gradient_low_rank(context, scratch, correction, op.covariance);
  else
    correct_weight_gradient(context, scratch, correction);
  add_classes(context, {.N = softmax.N,
                        .C = softmax.C,
                        .A = 0,
                        .columns = 0,
                        .records = softmax.records,
                        .dweight_of_slots = nullptr,
                        .dbias_of_slots = softmax.gc,
                        .dweight = nullptr,
                        .dbias = batch.dbias.as<float>(),
                        .loss = batch.loss.as<float>(),
                        .correct = batch.correct.as<std::int32_t>()});
}

}  // namespace isda::kernels
