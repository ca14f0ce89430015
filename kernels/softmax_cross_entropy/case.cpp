// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/case.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::int64_t N, C;
  double label_smoothing = 0;
  double offset = 0;  // the mean of the logits: what is not subtracted first overflows
  bool is_loss_only = false;
};

const Declare softmax_cross_entropy{CaseOf<Sizes>{
    .name = "softmax_cross_entropy",
    .shapes = {{1, 1},
               {1, 2},
               {7, 3},
               {5, 10, 0.1},
               {33, 17, 0.0f, 200},
               {3, 10, 0.25f, -200},
               {128, 100},
               {4, 1000},
               {300, 4, 0.1},
               {3, 257, 0.1, 100},
               {9, 5, 0.1, 0, true}},
    .bench_shapes = {{128, 10}, {128, 100}, {256, 1000}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView logits = p.input("logits", {s.N, s.C}, normal(s.offset, 3));
          const ConstView labels = p.labels("labels", s.N, s.C);
          const View loss = p.parameter_output("loss", {1});
          if (s.is_loss_only) {
            p.forward(SoftmaxCrossEntropy{.logits = logits, .labels = labels, .label_smoothing = s.label_smoothing, .loss = loss});
            return;
          }
          const View losses = p.parameter_output("losses", {s.N});
          const View dlogits = p.output("dlogits", {s.N, s.C});
          const View correct = p.integer_output("correct", {1});
          p.forward(SoftmaxCrossEntropy{.logits = logits,
                                        .labels = labels,
                                        .label_smoothing = s.label_smoothing,
                                        .loss = loss,
                                        .losses = losses,
                                        .dlogits = dlogits,
                                        .correct = correct});
          p.seed("loss");
          p.gradient("logits", "dlogits");
        },
    .tolerance = {.f32 = 1e-5},
}};

}  // namespace
}  // namespace isda::kernels
