// SPDX-License-Identifier: Apache-2.0
// Pooling: what is tested and timed.
#include "kernels/common/case.h"
#include "kernels/pooling/pooling.h"
#include "kernels/pooling/window.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::int64_t N, H, W, C;
  bool is_classified = false;  // y and dy are of the parameters' type
};

const Declare global_average{CaseOf<Sizes>{
    .name = "global_average",
    .shapes = {{1, 1, 1, 1}, {2, 7, 7, 3}, {3, 8, 8, 64}, {1, 5, 3, 17}, {2, 3, 3, 59}, {1, 12, 12, 64}, {3, 8, 8, 64, true}, {2, 3, 5, 59, true}},
    .bench_shapes = {{128, 8, 8, 64}, {64, 7, 7, 2048}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView x = p.input("x", {s.N, s.H, s.W, s.C});
          const View y = s.is_classified ? p.parameter_output("y", {s.N, s.C}) : p.output("y", {s.N, s.C});
          p.forward(GlobalAverage{.x = x, .y = y});

          const ConstView dy = s.is_classified ? p.parameter("dy", {s.N, s.C}) : p.input("dy", {s.N, s.C});
          const View dx = p.output("dx", {s.N, s.H, s.W, s.C});
          p.backward(GlobalAverageBackward{.dy = dy, .dx = dx});
          p.seed("y", "dy");
          p.gradient("x", "dx");
        },
    .tolerance = {.f32 = 1e-6, .bf16 = 8e-3},
}};

struct WindowSizes {
  Shape x;
  Window window;

  Shape pooled() const { return {x[0], window.outputs(x[1]), window.outputs(x[2]), x[3]}; }
};

// Whole and cut-off windows, apart, touching and overlapping, with and without padding.
const std::vector<WindowSizes> kWindowShapes = {{{1, 1, 1, 1}, {1, 1, 0}}, {{2, 4, 6, 3}, {2, 2, 0}},    {{1, 5, 7, 17}, {2, 2, 0}},
                                                {{2, 9, 8, 5}, {3, 2, 1}}, {{3, 7, 5, 16}, {3, 1, 1}},   {{1, 8, 8, 9}, {2, 3, 1}},
                                                {{2, 6, 6, 4}, {5, 2, 2}}, {{1, 11, 10, 33}, {3, 5, 0}}, {{1, 2, 3, 259}, {2, 1, 0}}};
const std::vector<WindowSizes> kWindowBenchShapes = {{{16, 112, 112, 64}, {3, 2, 1}}, {{64, 32, 32, 48}, {2, 2, 0}}};

const Declare max_pool2d{CaseOf<WindowSizes>{
    .name = "max_pool2d",
    .shapes = kWindowShapes,
    .bench_shapes = kWindowBenchShapes,
    .make =
        [](Problem& p, const WindowSizes& s) {
          const auto [kernel, stride, padding] = s.window;
          const ConstView x = p.input("x", s.x, distinct());
          const View y = p.output("y", s.pooled());
          const View indices = p.integer_output("indices", s.pooled());
          p.forward(MaxPool2d{.x = x, .y = y, .indices = indices, .kernel = kernel, .stride = stride, .padding = padding});
          p.forward(MaxPool2d{.x = x, .y = p.output("y_alone", s.pooled()), .kernel = kernel, .stride = stride, .padding = padding});

          const ConstView dy = p.input("dy", s.pooled());
          const View dx = p.output("dx", s.x);
          p.backward(MaxPool2dBackward{.dy = dy, .indices = indices, .dx = dx, .kernel = kernel, .stride = stride, .padding = padding});
          p.seed("y", "dy");
          p.gradient("x", "dx");
        },
    .tolerance = {.f32 = 1e-6, .bf16 = 8e-3},
}};

const Declare average_pool2d{CaseOf<WindowSizes>{
    .name = "average_pool2d",
    .shapes = kWindowShapes,
    .bench_shapes = kWindowBenchShapes,
    .make =
        [](Problem& p, const WindowSizes& s) {
          const auto [kernel, stride, padding] = s.window;
          const ConstView x = p.input("x", s.x);
          p.forward(AveragePool2d{.x = x, .y = p.output("y", s.pooled()), .kernel = kernel, .stride = stride, .padding = padding});

          const ConstView dy = p.input("dy", s.pooled());
          p.backward(AveragePool2dBackward{.dy = dy, .dx = p.output("dx", s.x), .kernel = kernel, .stride = stride, .padding = padding});
          p.seed("y", "dy");
          p.gradient("x", "dx");
        },
    .tolerance = {.f32 = 1e-6, .bf16 = 8e-3},
}};

}  // namespace
}  // namespace isda::kernels
