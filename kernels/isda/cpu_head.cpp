// SPDX-License-Identifier: Apache-2.0
// The head on the cpu is the operations it consists of, one after the other: beside the pass over the covariances the rest is little.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/isda/isda.h"
#include "kernels/pooling/pooling.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace isda::kernels {

void run(Cpu, const Context& context, const IsdaHead& op) {
  check_cpu(op.name, op.x);
  const std::int64_t N = op.x.extent(0);
  const auto [C, A] = op.weight.extents<2>();
  check_labels(op.name, op.labels, C);
  Scratch scratch = context.scratch();
  const auto made = [&](const Shape& shape) { return View(scratch.take<float>(shape.size()), DType::f32, shape); };

  const View features = made({N, A}), logits = made({N, C}), augmented = made({N, C});
  const View u = is_diagonal(op.covariance) ? View() : made({std::min(N, C), C, width_of_u(op.covariance)});
  const View slots(scratch.take<std::int32_t>(C), DType::i32, {C});
  run(Cpu{}, context, GlobalAverage{.x = as_maps(op.x), .y = features});
  run(Cpu{}, context,
      IsdaUpdateForward{.features = features,
                        .labels = op.labels,
                        .weight = op.weight,
                        .bias = op.bias,
                        .ratio = op.ratio,
                        .count = op.count,
                        .mean = op.mean,
                        .covariance = op.covariance,
                        .logits = logits,
                        .augmented_logits = augmented,
                        .slots = slots,
                        .u = u});

  const View plain_loss = made({1}), daugmented = made({N, C}), dfeatures = made({N, A});
  run(Cpu{}, context, SoftmaxCrossEntropy{.logits = logits, .labels = op.labels, .loss = plain_loss, .correct = op.correct});
  run(Cpu{}, context, SoftmaxCrossEntropy{.logits = augmented, .labels = op.labels, .loss = op.loss, .dlogits = daugmented});
  run(Cpu{}, context,
      IsdaBackward{.daugmented = daugmented,
                   .features = features,
                   .labels = op.labels,
                   .weight = op.weight,
                   .covariance = op.covariance,
                   .slots = slots,
                   .u = u,
                   .ratio = op.ratio,
                   .dfeatures = dfeatures,
                   .dweight = op.dweight,
                   .dbias = op.dbias});
  run(Cpu{}, context, GlobalAverageBackward{.dy = dfeatures, .dx = as_maps(op.dx)});
}

}  // namespace isda::kernels
