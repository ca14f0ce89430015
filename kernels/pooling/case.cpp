// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/case.h"
#include "kernels/pooling/pooling.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::int64_t N, H, W, C;
};

const Declare global_average{CaseOf<Sizes>{
    .name = "global_average",
    .shapes = {{1, 1, 1, 1}, {2, 7, 7, 3}, {3, 8, 8, 64}, {1, 5, 3, 17}},
    .bench_shapes = {{128, 8, 8, 64}, {64, 7, 7, 2048}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView x = p.input("x", {s.N, s.H, s.W, s.C});
          const View y = p.output("y", {s.N, s.C});
          p.forward(GlobalAverage{.x = x, .y = y});

          const ConstView dy = p.input("dy", {s.N, s.C});
          const View dx = p.output("dx", {s.N, s.H, s.W, s.C});
          p.backward(GlobalAverageBackward{.dy = dy, .dx = dx});
          p.seed("y", "dy");
          p.gradient("x", "dx");
        },
    .tolerance = {.f32 = 1e-6, .bf16 = 8e-3},
}};

}  // namespace
}  // namespace isda::kernels
