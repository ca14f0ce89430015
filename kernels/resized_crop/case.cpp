// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/case.h"
#include "kernels/resized_crop/resized_crop.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::int64_t N, H, W, C, h, w;
  bool is_whole;  // the box is the image; else it is drawn, with fractions of a pixel
};

// left, top, right, bottom of each image, in an order in which the draws are always the same number.
Fill boxes_of(const Sizes& s) {
  return [=](Draw& draw, std::int64_t index) {
    const auto extent = static_cast<double>(index % 2 == 0 ? s.W : s.H);
    const double share = draw.uniform();
    if (s.is_whole) return index % 4 < 2 ? 0.0 : extent;
    return index % 4 < 2 ? extent / 2 * share : extent / 2 * (1.02 + 0.98 * share);
  };
}

const Declare resized_crop{CaseOf<Sizes>{
    .name = "resized_crop",
    .shapes = {{1, 1, 1, 1, 1, 1, true},       // a single byte
               {1, 1, 1, 2, 3, 5, true},       // one pixel for many
               {2, 5, 7, 3, 5, 7, true},       // as it is
               {3, 5, 4, 1, 11, 9, false},     // larger
               {2, 41, 57, 3, 7, 5, false},    // much smaller: many taps
               {3, 37, 29, 3, 16, 31, false},  // one way smaller, the other larger; two rounds of rows
               {2, 64, 48, 4, 1, 1, true}},    // all in one
    .bench_shapes = {{16, 375, 500, 3, 224, 224, false}, {16, 256, 256, 3, 224, 224, true}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView x = p.bytes("x", {s.N, s.H, s.W, s.C});
          const ConstView boxes = p.parameter("boxes", {s.N, 4}, boxes_of(s));
          const ConstView flips = p.labels("flips", s.N, 2);
          const View y = p.output("y", {s.N, s.h, s.w, s.C}, DType::u8);
          p.forward(ResizedCrop{.x = x, .boxes = boxes, .flips = flips, .y = y});
        },
    .tolerance = {.f32 = 0, .bf16 = 0},
}};

}  // namespace
}  // namespace isda::kernels
