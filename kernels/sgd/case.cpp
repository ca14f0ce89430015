// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent: what is tested and timed. Two steps, so that the second sees the first's momentum.
#include "kernels/common/case.h"
#include "kernels/sgd/sgd.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::vector<Shape> tensors;
  double momentum = 0.9;
  bool nesterov = true;
};

const Declare sgd{CaseOf<Sizes>{
    .name = "sgd",
    .shapes = {{{{1}}}, {{{3, 3}, {7}}, 0.9, false}, {{{5}, {2, 3}}, 0.0, false}, {{{16, 3, 3, 3}, {16}, {200, 100}, {1}}}},
    .bench_shapes = {{{{16, 3, 3, 3}, {64, 3, 3, 64}, {512, 512}}}},
    .make =
        [](Problem& p, const Sizes& s) {
          const auto tensors = std::make_shared<std::vector<SgdTensor>>();
          for (std::size_t i = 0; i < s.tensors.size(); ++i) {
            const auto name = [&](const char* array) { return fmt::format("{}{}", array, i); };
            const View parameter = p.parameter_inout(name("parameter"), s.tensors[i]);
            const ConstView gradient = p.parameter(name("gradient"), s.tensors[i]);
            const View momentum = s.momentum > 0 ? p.parameter_inout(name("momentum"), s.tensors[i]) : View();
            tensors->push_back({parameter, gradient, momentum});
          }
          const ConstView rate = p.parameter("learning_rate", {1}, constant(0.1));
          const Sgd step{.tensors = *tensors, .learning_rate = rate, .momentum = s.momentum, .weight_decay = 0.01, .nesterov = s.nesterov};
          p.forward(step, tensors);
          p.forward(step, tensors);
        },
    .tolerance = {.f32 = 1e-6},
}};

}  // namespace
}  // namespace isda::kernels
