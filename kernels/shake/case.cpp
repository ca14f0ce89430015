// SPDX-License-Identifier: Apache-2.0
// Shaken branches: what is tested and timed. Their gradient is the derivative only where nothing is shaken.
#include "kernels/common/case.h"
#include "kernels/shake/shake.h"

namespace isda::kernels {
namespace {

struct Sizes {
  Shape x;              // of the branches
  std::int64_t narrow;  // channels of the shortcut
  bool has_two;
  bool is_shaken = true;
};

const Declare shake{CaseOf<Sizes>{
    .name = "shake",
    .shapes = {{{1, 1, 1, 1}, 1, true},
               {{3, 5, 4, 16}, 16, true},
               {{2, 7, 7, 67}, 67, true},
               {{2, 3, 5, 6}, 6, true, false},
               {{2, 4, 3, 10}, 8, true},
               {{3, 4, 5, 18}, 16, false},
               {{2, 7, 3, 23}, 20, false},
               {{5, 9, 8, 40}, 24, false},
               {{2, 3, 3, 8}, 8, false},
               {{2, 3, 4, 11}, 9, false, false},
               // Rows and images of which a thread of the card takes more than one batch.
               {{67, 3, 4, 513}, 511, false}},
    .bench_shapes = {{{64, 32, 32, 32}, 32, true}, {{64, 8, 8, 128}, 128, true}, {{64, 32, 32, 92}, 88, false}},
    .make =
        [](Problem& p, const Sizes& s) {
          const Shape narrow{s.x[0], s.x[1], s.x[2], s.narrow};
          const ConstView shortcut = p.input("shortcut", narrow), a = p.input("a", s.x), b = s.has_two ? p.input("b", s.x) : ConstView();
          const ConstView step = p.integers("step", {1}, [](Draw& draw, std::int64_t) { return static_cast<double>(draw.below(1000)); });
          const ShakeRule rule{.survival = 0.6f, .seed = 0x123456789ABCDEFu, .layer = 5, .is_shaken = s.is_shaken};
          p.forward(Shake{.shortcut = shortcut, .a = a, .b = b, .step = step, .rule = rule, .y = p.output("y", s.x)});

          const ConstView dy = p.input("dy", s.x);
          const View da = p.output("da", s.x), db = s.has_two ? p.output("db", s.x) : View();
          const View dshortcut = s.narrow < s.x[3] ? p.output("dshortcut", narrow) : View();
          p.backward(ShakeBackward{.dy = dy, .step = step, .rule = rule, .da = da, .db = db, .dshortcut = dshortcut});
          if (s.is_shaken) return;
          p.seed("y", "dy");
          p.gradient("a", "da");
          if (s.has_two) p.gradient("b", "db");
          if (dshortcut) p.gradient("shortcut", "dshortcut");
        },
    .tolerance = {.f32 = 3e-7, .bf16 = 8e-3},
}};

}  // namespace
}  // namespace isda::kernels
