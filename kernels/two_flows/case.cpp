// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/case.h"
#include "kernels/two_flows/two_flows.h"

namespace isda::kernels {
namespace {

struct Sizes {
  Shape x;
  std::int64_t stride = 2;
};

const Declare two_flows{CaseOf<Sizes>{
    .name = "two_flows",
    .shapes = {{{1, 1, 1, 1}}, {{2, 8, 8, 16}}, {{3, 5, 6, 7}}, {{2, 6, 7, 20}, 1}, {{1, 7, 5, 6}, 3}, {{2, 1, 9, 4}}},
    .bench_shapes = {{{64, 32, 32, 32}}, {{64, 32, 32, 16}, 1}},
    .make =
        [](Problem& p, const Sizes& s) {
          const auto taken = [&](std::int64_t extent) { return (extent + s.stride - 1) / s.stride; };
          const Shape pair{s.x[0], taken(s.x[1]), taken(s.x[2]), 2 * s.x[3]};
          const ConstView x = p.input("x", s.x);
          p.forward(TwoFlows{.x = x, .y = p.output("y", pair), .stride = s.stride});
          const ConstView dy = p.input("dy", pair);
          p.backward(TwoFlowsBackward{.dy = dy, .dx = p.output("dx", s.x), .stride = s.stride});
          p.seed("y", "dy");
          p.gradient("x", "dx");
        },
    .tolerance = {.f32 = 1e-7, .bf16 = 8e-3},
}};

}  // namespace
}  // namespace isda::kernels
