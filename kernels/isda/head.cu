// SPDX-License-Identifier: Apache-2.0
// IsdaHead on the card: up to 128 features a block owns a class and does all of it (head_by_class.cuh); beyond, the operations that it consists of.
#include <algorithm>

#include "kernels/isda/convert.cuh"
#include "kernels/isda/head_by_class.cuh"
#include "kernels/pooling/pooling.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace isda::kernels {

namespace {

// One operation after the other, in f32.
void head_by_parts(const Context& context, const IsdaHead& op) {
  const std::int64_t N = op.x.extent(0);
  const auto [C, A] = op.weight.extents<2>();
  Scratch scratch = context.scratch();
  const auto made = [&](const Shape& shape) { return View(scratch.take<float>(shape.size()), DType::f32, shape); };

  const View features = made({N, A}), logits = made({N, C}), augmented = made({N, C});
  const View u = op.covariance.shape().rank() == 3 ? made({std::min(N, C), C, A}) : View();
  const View slots(scratch.take<std::int32_t>(C), DType::i32, {C});
  run(Cuda{}, context, GlobalAverage{.x = as_maps(as_f32(context, scratch, op.name, op.x)), .y = features});
  run(Cuda{}, context,
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
  run(Cuda{}, context, SoftmaxCrossEntropy{.logits = logits, .labels = op.labels, .loss = plain_loss, .correct = op.correct});
  run(Cuda{}, context, SoftmaxCrossEntropy{.logits = augmented, .labels = op.labels, .loss = op.loss, .dlogits = daugmented});
  run(Cuda{}, context,
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
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    if constexpr (std::is_same_v<T, float>) {
      run(Cuda{}, context, GlobalAverageBackward{.dy = dfeatures, .dx = as_maps(op.dx)});
    } else {
      const View dx = made(op.dx.shape());
      run(Cuda{}, context, GlobalAverageBackward{.dy = dfeatures, .dx = as_maps(dx)});
      convert_elements(context, dx.as<float>(), elements<T>(op.dx), dx.size());
    }
  });
}

}  // namespace

void run(Cuda, const Context& context, const IsdaHead& op) {
  if (op.x.extent(-1) <= kMostFeaturesByClass)
    head_by_class(context, op);
  else
    head_by_parts(context, op);
}

}  // namespace isda::kernels
