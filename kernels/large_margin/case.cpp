// SPDX-License-Identifier: Apache-2.0
// Large-margin softmax. Its gradient here is what is added to that of the plain logits, so the numeric check sees it with logits that are held fixed.
#include "kernels/common/case.h"
#include "kernels/large_margin/large_margin.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::int64_t N, C, A;
  int margin;
  double lambda = 3;
};

const Declare large_margin{CaseOf<Sizes>{
    .name = "large_margin",
    .shapes = {{1, 1, 2, 2}, {7, 3, 5, 1}, {9, 4, 33, 2}, {5, 10, 64, 3, 0}, {17, 3, 6, 4}, {6, 2, 300, 4, 0.5}, {40, 33, 4, 2, 100}},
    .bench_shapes = {{128, 10, 64, 4}, {128, 100, 640, 4}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView features = p.parameter("features", {s.N, s.A}), weight = p.parameter("weight", {s.C, s.A}),
                          logits = p.parameter("logits", {s.N, s.C});
          const ConstView labels = p.labels("labels", s.N, s.C), lambda = p.parameter("lambda", {1}, constant(s.lambda));
          const View margin_logits = p.parameter_output("margin_logits", {s.N, s.C}), coefficients = p.parameter_output("coefficients", {s.N, 3});
          p.forward(LargeMargin{.features = features,
                                .weight = weight,
                                .logits = logits,
                                .labels = labels,
                                .lambda = lambda,
                                .margin = s.margin,
                                .margin_logits = margin_logits,
                                .coefficients = coefficients});
          const ConstView dlogits = p.parameter("dlogits", {s.N, s.C});
          p.backward(LargeMarginBackward{.dlogits = dlogits,
                                         .features = features,
                                         .weight = weight,
                                         .labels = labels,
                                         .coefficients = coefficients,
                                         .dfeatures = p.parameter_output("dfeatures", {s.N, s.A}),
                                         .dweight = p.parameter_output("dweight", {s.C, s.A})});
          p.seed("margin_logits", "dlogits");
          p.gradient("features", "dfeatures");
          p.gradient("weight", "dweight");
        },
    // NOTE: coefficients are large where a vector is short: the rounding of a cosine is seen through them.
    .tolerance = {.f32 = 2e-5},
}};

}  // namespace
}  // namespace isda::kernels
