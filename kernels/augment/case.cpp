// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/case.h"
#include "kernels/augment/augment.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::int64_t M, N, H, W, C;
  int padding;
  bool flip;
  int holes = 0, hole_length = 0;
  bool is_gathered = false;
};

const Declare augment{CaseOf<Sizes>{
    .name = "augment",
    .shapes = {{1, 1, 1, 1, 1, 0, true},     // a single byte
               {3, 7, 5, 9, 3, 2, true},     // ragged, an image several times in a batch
               {4, 5, 4, 6, 2, 3, true},     // the widest padding
               {16, 9, 32, 32, 3, 4, true},  // CIFAR
               {16, 9, 32, 32, 3, 4, false},
               {5, 8, 32, 32, 3, 0, false},             // evaluation
               {16, 9, 32, 32, 3, 4, true, 1, 16},      // Cutout as on CIFAR
               {4, 5, 5, 9, 2, 2, true, 3, 3},          // ragged, several holes
               {9, 4, 6, 7, 3, 0, false, 2, 5, true}},  // gathered
    .bench_shapes = {{1024, 128, 32, 32, 3, 4, true}, {1024, 128, 32, 32, 3, 4, true, 1, 16}, {1024, 128, 32, 32, 3, 0, false}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView images = p.bytes("images", {s.is_gathered ? s.N : s.M, s.H, s.W, s.C});
          const ConstView indices = p.labels("indices", s.N, s.M);
          const ConstView mean = p.parameter("mean", {s.C}, uniform(100, 150));
          const ConstView deviation = p.parameter("deviation", {s.C}, uniform(50, 80));
          const ConstView epoch = p.integers("epoch", {1}, [](Draw& draw, std::int64_t) { return static_cast<double>(draw.below(300)); });
          const View y = p.output("y", {s.N, s.H, s.W, s.C});
          p.forward(Augment{.images = images,
                            .indices = indices,
                            .mean = mean,
                            .deviation = deviation,
                            .epoch = epoch,
                            .seed = 17,
                            .padding = s.padding,
                            .flip = s.flip,
                            .gathered_from = s.is_gathered ? s.M : 0,
                            .holes = s.holes,
                            .hole_length = s.hole_length,
                            .y = y});
        },
    .tolerance = {.f32 = 1e-6, .bf16 = 8e-3},
}};

}  // namespace
}  // namespace isda::kernels
