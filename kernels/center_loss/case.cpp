// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/case.h"
#include "kernels/center_loss/center_loss.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::int64_t N, C, A;
  double weight = 0.7, rate = 0.5;
};

// Tiny, ragged about warps and blocks, absent classes, a center that follows at once.
const Declare center_loss{CaseOf<Sizes>{
    .name = "center_loss",
    .shapes = {{1, 1, 1}, {7, 3, 5}, {9, 20, 33, 0.1}, {70, 2, 300}, {300, 4, 6, 1, 1}},
    .bench_shapes = {{128, 10, 64}, {128, 100, 640}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView features = p.parameter("features", {s.N, s.A}), labels = p.labels("labels", s.N, s.C);
          const View centers = p.parameter_inout("centers", {s.C, s.A});
          p.forward(CenterLoss{.features = features,
                               .labels = labels,
                               .weight = s.weight,
                               .rate = s.rate,
                               .centers = centers,
                               .loss = p.parameter_output("loss", {1}),
                               .dfeatures = p.parameter_output("dfeatures", {s.N, s.A})});
          p.seed("loss");
          p.gradient("features", "dfeatures");
        },
    // NOTE: a center that follows at once takes away nearly all of itself: what is left is a tenth, and has a digit less.
    .tolerance = {.f32 = 1e-5},
}};

}  // namespace
}  // namespace isda::kernels
