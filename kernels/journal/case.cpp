// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/case.h"
#include "kernels/journal/journal.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::int64_t rows;
  std::int64_t first;  // the next row before the first step
  int steps = 1;
};

const Declare journal{CaseOf<Sizes>{
    .name = "journal",
    // The only row, several, the last ones and one more, long behind them.
    .shapes = {{1, 0}, {8, 0, 3}, {5, 3, 3}, {4, 70}},
    .bench_shapes = {{64, 10}},
    .make =
        [](Problem& p, const Sizes& s) {
          // NOTE: what is not written must be left as it is.
          const View losses = p.parameter_inout("losses", {s.rows}, constant(-1));
          const View hits = p.integer_inout("hits", {s.rows}, [](Draw& draw, std::int64_t) { return static_cast<double>(draw.below(100)); });
          const View row = p.integer_inout("row", {1}, [first = s.first](Draw&, std::int64_t) { return static_cast<double>(first); });
          for (int step = 0; step < s.steps; ++step) {
            const ConstView loss = p.parameter("loss" + std::to_string(step), {1});
            const ConstView correct =
                p.integers("correct" + std::to_string(step), {1}, [](Draw& draw, std::int64_t) { return static_cast<double>(draw.below(100)); });
            p.forward(Journal{.loss = loss, .correct = correct, .losses = losses, .hits = hits, .row = row});
          }
        },
    .tolerance = {.f32 = 0, .bf16 = 0},
}};

}  // namespace
}  // namespace isda::kernels
