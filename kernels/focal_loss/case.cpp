// SPDX-License-Identifier: Apache-2.0
// Focal loss behind the cross-entropy that it weights: so the gradient check sees the derivative of the whole.
#include "kernels/common/case.h"
#include "kernels/focal_loss/focal_loss.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::int64_t N, C;
  double gamma;
};

const Declare focal_loss{CaseOf<Sizes>{
    .name = "focal_loss",
    .shapes = {{1, 2, 2}, {7, 3, 1}, {33, 17, 2}, {5, 10, 0}, {9, 40, 0.5}, {300, 4, 5}},
    .bench_shapes = {{128, 10, 2}, {128, 100, 2}, {256, 1000, 2}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView logits = p.input("logits", {s.N, s.C}, normal(0, 2));
          const ConstView labels = p.labels("labels", s.N, s.C);
          const View mean = p.parameter_output("mean", {1}), losses = p.parameter_output("losses", {s.N}), loss = p.parameter_output("loss", {1});
          const View dlogits = p.output("dlogits", {s.N, s.C});
          p.forward(SoftmaxCrossEntropy{.logits = logits, .labels = labels, .loss = mean, .losses = losses, .dlogits = dlogits});
          p.forward(FocalLoss{.losses = losses, .gamma = s.gamma, .loss = loss, .dlogits = dlogits});
          p.seed("loss");
          p.gradient("logits", "dlogits");
        },
    .tolerance = {.f32 = 1e-5},
}};

}  // namespace
}  // namespace isda::kernels
