// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/case.h"
#include "kernels/linear/linear.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::int64_t N, A, C;
  bool has_bias = true;
};

const Declare linear{CaseOf<Sizes>{
    .name = "linear",
    // Tiny, ragged about the 6 x 16 tile, one class, without bias, CIFAR-10, CIFAR-100.
    .shapes = {{1, 1, 1}, {5, 7, 3}, {7, 33, 17}, {13, 5, 1}, {6, 16, 16, false}, {1, 130, 67, false}, {128, 64, 10}, {64, 64, 100}},
    .bench_shapes = {{128, 64, 10}, {128, 64, 100}, {128, 640, 100}, {64, 2048, 1000}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView x = p.input("x", {s.N, s.A});
          const ConstView weight = p.input("weight", {s.C, s.A});
          const ConstView bias = s.has_bias ? p.parameter("bias", {s.C}) : ConstView();
          const View y = p.output("y", {s.N, s.C});
          p.forward(Linear{.x = x, .weight = weight, .bias = bias, .y = y});

          const ConstView dy = p.input("dy", {s.N, s.C});
          const View dx = p.output("dx", {s.N, s.A});
          const View dweight = p.parameter_output("dweight", {s.C, s.A});
          const View dbias = s.has_bias ? p.parameter_output("dbias", {s.C}) : View();
          p.backward(LinearBackward{.dy = dy, .x = x, .weight = weight, .dx = dx, .dweight = dweight, .dbias = dbias});
          p.seed("y", "dy");
          p.gradient("x", "dx");
          p.gradient("weight", "dweight");
          if (s.has_bias) p.gradient("bias", "dbias");
        },
    .tolerance = {.f32 = 2e-6, .tf32 = kTf32Tolerance, .plain = 2e-6},
}};

}  // namespace
}  // namespace isda::kernels
