// SPDX-License-Identifier: Apache-2.0
// IsdaHead on the card. Up to 128 features, or with a diagonal covariance up to a size, a block owns a class and does all of it: two launches
// (head_by_class.cuh). Beyond, and with covariances of low rank:
//
//   membership            the batch sorted by class (membership.cuh)
//   fold                  features, means, and the terms of the covariances; diagonal: these are added, too (head_statistics.cuh)
//   correction            U and Q, full: in one pass over S_c, which adds the terms (correction.cuh)
//   logits                F W^T + b (kernels/linear)
//   softmax               losses, hits, G in the place of the logits, Gc
//   dfeatures, dweight    G W, G^T F
//   weight correction     one pass over U, and its sums (weight_correction.cuh)
//   sums                  over the classes: db, loss, hits (head_by_class.cuh)
//   spread                dx from dF, where x is maps or bf16
//
//   11 launches, 10 for features in f32; low rank: 17, and 16.  bytes  x, dx, S_c and U of K classes once or, where they are changed, twice; W and the logits a
//   few times
#include <algorithm>

#include "kernels/isda/head_by_class.cuh"
#include "kernels/isda/head_statistics.cuh"
#include "kernels/isda/low_rank.cuh"
#include "kernels/isda/weight_correction.cuh"
#include "kernels/linear/linear.h"

namespace isda::kernels {

namespace {

void head_by_parts(const Context& context, const IsdaHead& op) {
  const std::int64_t N = op.x.extent(0);
  const auto [C, A] = op.weight.extents<2>();
  const bool is_diagonal = kernels::is_diagonal(op.covariance);
  Scratch scratch = context.scratch();
  const auto made = [&](const Shape& shape) { return View(scratch.take<float>(shape.size()), DType::f32, shape); };

  // The statistics, and what corrects the logits.
  auto* slots = scratch.take<std::int32_t>(C);
  const Membership members = membership_of(context, scratch, op.labels, C, slots);
  const View features = made({N, A}), u = is_diagonal ? View() : made({members.most, C, width_of_u(op.covariance)});
  const BatchTerms terms = fold_maps(context, scratch, op, members, features.as<float>());
  const CorrectionTable table =
      correction_of(context, scratch, {.members = members, .weight = op.weight, .covariance = op.covariance, .terms = terms, .count = op.count, .u = u});

  // Logits, losses and their gradients.
  const View logits = made({N, C});
  run(Cuda{}, context, Linear{.x = features, .weight = op.weight, .bias = op.bias, .y = logits});
  const ClassSoftmax softmax{.members = members,
                             .labels = op.labels.as<std::int32_t>(),
                             .slots = slots,
                             .N = static_cast<int>(N),
                             .C = static_cast<int>(C),
                             .count = is_diagonal ? op.count.as<float>() : nullptr,
                             .ratio = op.ratio.as<float>(),
                             .table = table,
                             .logits = logits.as<float>(),
                             .records = scratch.take<ClassRecord>(C),
                             .gc = scratch.take<float>(members.most * C),
                             .g = scratch.take<float>(members.most * C)};
  take_softmax(context, softmax);

  // Gradients of the features, and of the maps.
  const bool are_features = op.dx.shape().rank() == 2 && op.dx.type() == DType::f32;
  const View dfeatures = are_features ? op.dx : made({N, A});
  run(Cuda{}, context, LinearBackward{.dy = logits, .x = features, .weight = op.weight, .dx = dfeatures, .dweight = op.dweight});
  if (!are_features) spread(context, dfeatures.as<float>(), op.dx);

  // Gradients of the parameters, and the sums over the classes.
  const WeightCorrection correction{.members = members,
                                    .C = softmax.C,
                                    .A = static_cast<int>(A),
                                    .ratio = softmax.ratio,
                                    .weight = op.weight.as<float>(),
                                    .variance = is_diagonal ? op.covariance.as<float>() : nullptr,
                                    .u = u.as<float>(),
                                    .slots = slots,
                                    .g = softmax.g,
                                    .dweight = op.dweight.as<float>()};
  if (is_low_rank(op.covariance))
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
                        .dbias = op.dbias.as<float>(),
                        .loss = op.loss.as<float>(),
                        .correct = op.correct.as<std::int32_t>()});
}

}  // namespace

void run(Cuda, const Context& context, const IsdaHead& op) {
  if (is_full(op.covariance) && op.x.extent(-1) <= kMostFeaturesByClass)
    head_by_class(context, op);
  else if (is_diagonal(op.covariance) && is_diagonal_by_class(op))
    head_by_class_diagonal(context, op);
  else
    head_by_parts(context, op);
}

}  // namespace isda::kernels
