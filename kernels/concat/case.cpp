// SPDX-License-Identifier: Apache-2.0
// Channels side by side: what is tested and timed.
#include "kernels/common/case.h"
#include "kernels/concat/concat.h"

namespace isda::kernels {
namespace {

struct Sizes {
  Shape rows;
  std::int64_t A, B;

  Shape of(std::int64_t channels) const {
    std::vector<std::int64_t> extents(rows.begin(), rows.end());
    extents.push_back(channels);
    return Shape(std::span<const std::int64_t>(extents));
  }
};

const Declare concat{CaseOf<Sizes>{
    .name = "concat",
    // One element each, vectors, packets of 2 to 16 bytes, more rows than a block takes at once, more channels than threads.
    .shapes = {{{1, 1, 1}, 1, 1},
               {{}, 24, 12},
               {{2, 5, 3}, 7, 2},
               {{2, 7, 5}, 6, 4},
               {{3, 9, 8}, 24, 12},
               {{2, 4, 4}, 64, 32},
               {{1, 33, 17}, 8, 40},
               {{2, 3}, 5, 301},
               {{5}, 1030, 8}},
    // DenseNet-BC-100-12's first block, and DenseNet-121's.
    .bench_shapes = {{{64, 32, 32}, 120, 12}, {{64, 56, 56}, 128, 32}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView a = p.input("a", s.of(s.A)), b = p.input("b", s.of(s.B));
          p.forward(Concat{.a = a, .b = b, .y = p.output("y", s.of(s.A + s.B))});
          const ConstView dy = p.input("dy", s.of(s.A + s.B));
          p.backward(ConcatBackward{.dy = dy, .da = p.output("da", s.of(s.A)), .db = p.output("db", s.of(s.B))});
          p.seed("y", "dy");
          p.gradient("a", "da");
          p.gradient("b", "db");
        },
    .tolerance = {.f32 = 0, .bf16 = 0},
}};

}  // namespace
}  // namespace isda::kernels
