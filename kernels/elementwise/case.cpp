// SPDX-License-Identifier: Apache-2.0
// Element-wise operations: what is tested and timed.
#include "kernels/common/case.h"
#include "kernels/elementwise/elementwise.h"

namespace isda::kernels {
namespace {

struct Sizes {
  Shape x;
};

const std::vector<Sizes> kShapes = {{{1}}, {{7}}, {{3, 5}}, {{2, 3, 5, 7}}, {{2, 130, 130}}};  // the last: more than one range
const std::vector<Sizes> kBenchShapes = {{{128, 32, 32, 16}}, {{128, 8, 8, 64}}};

const Declare relu{CaseOf<Sizes>{
    .name = "relu",
    .shapes = kShapes,
    .bench_shapes = kBenchShapes,
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView x = p.input("x", s.x, away_from(0));
          const View y = p.output("y", s.x);
          p.forward(Relu{.x = x, .y = y});
          const ConstView dy = p.input("dy", s.x);
          const View dx = p.output("dx", s.x);
          p.backward(ReluBackward{.dy = dy, .y = y, .dx = dx});
          p.seed("y", "dy");
          p.gradient("x", "dx");
        },
    .tolerance = {.f32 = 0, .bf16 = 0},
}};

const Declare add{CaseOf<Sizes>{
    .name = "add",
    .shapes = kShapes,
    .bench_shapes = kBenchShapes,
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView a = p.input("a", s.x), b = p.input("b", s.x);
          p.forward(Add{.a = a, .b = b, .y = p.output("y", s.x)});
          const View sum = p.inout("sum", s.x);
          p.forward(Add{.a = sum, .b = b, .y = sum});
        },
    .tolerance = {.f32 = 1e-7, .bf16 = 8e-3},
}};

const Declare scale{CaseOf<Sizes>{
    .name = "scale",
    .shapes = kShapes,
    .bench_shapes = kBenchShapes,
    .make = [](Problem& p, const Sizes& s) { p.forward(Scale{.x = p.input("x", s.x), .factor = p.parameter("factor", {1}), .y = p.output("y", s.x)}); },
    .tolerance = {.f32 = 1e-7, .bf16 = 8e-3},
}};

const Declare sigmoid{CaseOf<Sizes>{
    .name = "sigmoid",
    .shapes = kShapes,
    .bench_shapes = kBenchShapes,
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView x = p.input("x", s.x, normal(0, 3));
          const View y = p.output("y", s.x);
          p.forward(Sigmoid{.x = x, .y = y});
          const ConstView dy = p.input("dy", s.x);
          p.backward(SigmoidBackward{.dy = dy, .y = y, .dx = p.output("dx", s.x)});
          p.seed("y", "dy");
          p.gradient("x", "dx");
        },
    .tolerance = {.f32 = 1e-6, .bf16 = 2e-2},
}};

const Declare scale_channels{CaseOf<Sizes>{
    .name = "scale_channels",
    .shapes = {{{1, 1, 1, 1}}, {{2, 3, 5, 7}}, {{3, 4, 4, 16}}},
    .bench_shapes = kBenchShapes,
    .make =
        [](Problem& p, const Sizes& s) {
          const Shape per_image{s.x[0], s.x[3]};
          const ConstView x = p.input("x", s.x), factors = p.input("scale", per_image);
          p.forward(ScaleChannels{.x = x, .scale = factors, .y = p.output("y", s.x)});
          const ConstView dy = p.input("dy", s.x);
          p.backward(ScaleChannelsBackward{.dy = dy, .x = x, .scale = factors, .dx = p.output("dx", s.x), .dscale = p.output("dscale", per_image)});
          p.seed("y", "dy");
          p.gradient("x", "dx");
          p.gradient("scale", "dscale");
        },
    .tolerance = {.f32 = 2e-6, .bf16 = 2e-2},
}};

const Declare dropout{CaseOf<Sizes>{
    .name = "dropout",
    .shapes = kShapes,
    .bench_shapes = kBenchShapes,
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView step = p.integers("step", {1}, constant(1234));
          const auto dropped = [&](const ConstView& x, const View& y) {
            return Dropout{.x = x, .step = step, .probability = 0.3f, .seed = 42, .layer = 7, .y = y};
          };
          const ConstView x = p.input("x", s.x), dy = p.input("dy", s.x);
          p.forward(dropped(x, p.output("y", s.x)));
          p.backward(dropped(dy, p.output("dx", s.x)));
          p.seed("y", "dy");
          p.gradient("x", "dx");
        },
    .tolerance = {.f32 = 1e-6, .bf16 = 8e-3},
}};

}  // namespace
}  // namespace isda::kernels
