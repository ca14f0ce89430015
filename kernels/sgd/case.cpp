// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent: what is tested and timed. Two steps, so that the second sees the first's momentum.
#include "kernels/common/case.h"
#include "kernels/sgd/sgd.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::vector<Shape> tensors;
  double momentum = 0.9;
  double weight_decay = 1e-2;
  bool nesterov = false;
};

// The parameters of the CIFAR ResNet with 6 * 5 + 2 layers.
std::vector<Shape> resnet32() {
  std::vector<Shape> shapes{{16, 3, 3, 3}, {16}, {16}};
  std::int64_t inputs = 16;
  for (const std::int64_t width : {16, 32, 64}) {
    for (int layer = 0; layer < 10; ++layer) {
      shapes.insert(shapes.end(), {Shape{width, 3, 3, inputs}, Shape{width}, Shape{width}});
      inputs = width;
    }
  }
  shapes.insert(shapes.end(), {Shape{10, 64}, Shape{10}});
  return shapes;
}

// More than one launch of the card takes.
std::vector<Shape> many_small() {
  std::vector<Shape> shapes;
  for (std::int64_t i = 0; i < 83; ++i) shapes.push_back({i % 5 + 1, i % 7 + 1});
  shapes[79] = {2100};
  return shapes;
}

const Declare sgd{CaseOf<Sizes>{
    .name = "sgd",
    .shapes = {{{{1}}},
               {{{3, 5}, {7}}, 0},
               {{{2, 3, 3, 4}, {1}, {17}, {16, 8}}, 0.9, 0},
               {{{4096}, {4096}, {3}, {8191}}, 0.8, 1e-2, true},  // a tensor ends with a range
               {{{3}, {30011}, {2, 2}, {9000}}, 0.9, 1e-2, true},
               {{{20, 1000}, {5}}},
               {many_small(), 0.9, 1e-2, true}},
    .bench_shapes = {{resnet32()}, {resnet32(), 0.9, 1e-4, true}, {{{4 << 20}}}},
    .make =
        [](Problem& p, const Sizes& s) {
          // NOTE: all positive and the parameter large, so that a tensor of one element does not cancel to nearly 0.
          const Fill about_one = uniform(0.5, 2);
          const auto tensors = std::make_shared<std::vector<SgdTensor>>();
          for (std::size_t i = 0; i < s.tensors.size(); ++i) {
            tensors->push_back({.parameter = p.parameter_inout(fmt::format("parameter{}", i), s.tensors[i], uniform(10, 20)),
                                .gradient = p.parameter(fmt::format("gradient{}", i), s.tensors[i], about_one),
                                .momentum = s.momentum > 0 ? p.parameter_inout(fmt::format("momentum{}", i), s.tensors[i], about_one) : View(),
                                .copy = i % 3 == 1 ? View() : p.output(fmt::format("copy{}", i), s.tensors[i], DType::bf16)});
          }
          const Sgd step{.tensors = *tensors,
                         .learning_rate = p.parameter("learning_rate", {1}, uniform(0.05, 0.5)),
                         .momentum = s.momentum,
                         .weight_decay = s.weight_decay,
                         .nesterov = s.nesterov};
          p.forward(step, tensors);
          p.forward(step, tensors);
        },
    .tolerance = {.f32 = 1e-6, .bf16 = 8e-3},
}};

}  // namespace
}  // namespace isda::kernels
