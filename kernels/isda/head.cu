// SPDX-License-Identifier: Apache-2.0
// IsdaHead on the card. Up to 128 features, or with a diagonal covariance up to a size, a block owns a class and does all of it: two launches
// (head_by_class.cuh). Beyond, and with covariances of low rank, in parts:
//
//   membership    the batch sorted by class (membership.cuh)
//   fold          features, means, and the terms of the covariances; diagonal: these are added, too (head_statistics.cuh)
//   correction    U and Q, full: in one pass over S_c, which adds the terms (correction.cuh)
//   the rest      from logits to gradients (head_by_parts.cuh)
//
//   11 launches, 10 for features in f32; low rank: 17, and 16.  bytes  x, dx, S_c and U of K classes once or, where they are changed, twice; W and the logits a
//   few times
#include "kernels/isda/head_by_class.cuh"
#include "kernels/isda/head_by_parts.cuh"

namespace isda::kernels {

namespace {

void head_by_parts(const Context& context, const IsdaHead& op) {
  const std::int64_t N = op.x.extent(0);
  const auto [C, A] = op.weight.extents<2>();
  const bool is_diagonal = kernels::is_diagonal(op.covariance);
  Scratch scratch = context.scratch();
  auto* slots = scratch.take<std::int32_t>(C);
  const Membership members = membership_of(context, scratch, op.labels, C, slots);
  CovarianceTerms terms;
  if (!is_diagonal) terms = {.rows = scratch.take<float>((N + members.most) * A), .keep = scratch.take<float>(members.most)};
  auto* features = scratch.take<float>(N * A);
  fold_maps(context, {.members = members,
                      .x = op.x,
                      .labels = op.labels,
                      .count = op.count,
                      .mean = op.mean,
                      .features = features,
                      .variance = is_diagonal ? op.covariance : View(),
                      .terms = terms});
  const std::int64_t width = width_of_u(op.covariance);
  const View u = is_diagonal ? View() : View(scratch.take<float>(members.most * C * width), DType::f32, {members.most, C, width});
  const Correction correction{
      .members = members, .weight = op.weight, .covariance = op.covariance, .terms = terms, .count = is_diagonal ? View() : op.count, .u = u};
  finish_head(context, scratch,
              {.batch = batch_of(op),
               .members = members,
               .slots = slots,
               .features = features,
               .table = correction_of(context, scratch, correction),
               .count = is_diagonal ? op.count : View(),
               .u = u.as<float>(),
               .covariance = op.covariance});
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
