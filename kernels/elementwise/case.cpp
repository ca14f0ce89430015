// SPDX-License-Identifier: Apache-2.0
// Operations on single elements: what is tested and timed.
#include "kernels/common/case.h"
#include "kernels/elementwise/elementwise.h"

namespace isda::kernels {
namespace {

struct Sizes {
  Shape x;
};

const std::vector<Sizes> kShapes = {{{1}}, {{3, 5}}, {{2, 7, 7, 3}}, {{2, 3, 1, 1, 67}}, {{5, 9973}}};
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
          const ConstView a = p.input("a", s.x);
          const ConstView b = p.input("b", s.x);
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
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView x = p.input("x", s.x);
          const ConstView factor = p.parameter("factor", {1});
          p.forward(Scale{.x = x, .factor = factor, .y = p.output("y", s.x)});
          const ConstView dy = p.input("dy", s.x);
          p.backward(Scale{.x = dy, .factor = factor, .y = p.output("dx", s.x)});
          p.seed("y", "dy");
          p.gradient("x", "dx");
        },
    .tolerance = {.f32 = 1e-7, .bf16 = 8e-3},
}};

const Declare sigmoid{CaseOf<Sizes>{
    .name = "sigmoid",
    .shapes = kShapes,
    .bench_shapes = {{{128, 64}}, {{128, 8, 8, 64}}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView x = p.input("x", s.x, uniform(-3, 3));
          const View y = p.output("y", s.x);
          p.forward(Sigmoid{.x = x, .y = y});
          const ConstView dy = p.input("dy", s.x);
          p.backward(SigmoidBackward{.dy = dy, .y = y, .dx = p.output("dx", s.x)});
          p.seed("y", "dy");
          p.gradient("x", "dx");
        },
    .tolerance = {.f32 = 5e-6, .bf16 = 8e-3},
}};

const Declare scale_channels{CaseOf<Sizes>{
    .name = "scale_channels",
    .shapes = {{{1, 1, 1, 1}}, {{2, 3, 5, 7}}, {{3, 8, 8, 16}}, {{2, 7, 7, 67}}, {{2, 40, 41, 20}}, {{1, 5, 6, 150}}},
    .bench_shapes = {{{128, 32, 32, 16}}, {{128, 8, 8, 64}}},
    .make =
        [](Problem& p, const Sizes& s) {
          const Shape per_image{s.x[0], s.x[3]};
          const ConstView x = p.input("x", s.x);
          const ConstView factors = p.input("scale", per_image);
          p.forward(ScaleChannels{.x = x, .scale = factors, .y = p.output("y", s.x)});
          const ConstView dy = p.input("dy", s.x);
          p.backward(ScaleChannelsBackward{.dy = dy, .x = x, .scale = factors, .dx = p.output("dx", s.x), .dscale = p.output("dscale", per_image)});
          p.seed("y", "dy");
          p.gradient("x", "dx");
          p.gradient("scale", "dscale");
        },
    // NOTE: dscale adds up to 1640 products one after the other: sqrt(1640) roundings of 6e-8 are 2.4e-6.
    .tolerance = {.f32 = 5e-6, .bf16 = 2e-2},
}};

const Declare dropout{CaseOf<Sizes>{
    .name = "dropout",
    .shapes = kShapes,
    .bench_shapes = {{{128, 32, 32, 16}}, {{128, 8, 8, 64}}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView x = p.input("x", s.x);
          const ConstView step = p.integers("step", {1}, [](Draw& draw, std::int64_t) { return static_cast<double>(draw.below(1000)); });
          const auto dropout_of = [&](const ConstView& from, const View& to) {
            return Dropout{.x = from, .step = step, .probability = 0.3f, .seed = 0x123456789ABCDEFu, .layer = 5, .y = to};
          };
          p.forward(dropout_of(x, p.output("y", s.x)));
          const ConstView dy = p.input("dy", s.x);
          p.backward(dropout_of(dy, p.output("dx", s.x)));
          p.seed("y", "dy");
          p.gradient("x", "dx");
        },
    .tolerance = {.f32 = 2e-7, .bf16 = 8e-3},
}};

}  // namespace
}  // namespace isda::kernels
