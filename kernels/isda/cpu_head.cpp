// SPDX-License-Identifier: Apache-2.0
// The head on the cpu is the operations it consists of, one after the other: beside the pass over the covariances the rest is little.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/isda/host_head.h"

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

  finish_on_host(Cpu{}, context, op, {.features = features, .logits = logits, .augmented = augmented, .covariance = op.covariance, .slots = slots, .u = u},
                 made);
}

}  // namespace isda::kernels
