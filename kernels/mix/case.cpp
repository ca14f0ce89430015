// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/case.h"
#include "kernels/mix/mix.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::int64_t N, H, W, C;
  std::vector<int> place;  // shift, top, left, bottom, right
};

const Declare mix{CaseOf<Sizes>{
    .name = "mix",
    .shapes = {{1, 1, 1, 1, {0, 0, 0, 0, 0}},        // a single element, with itself
               {5, 7, 9, 3, {2, 0, 0, 0, 0}},        // ragged; mixup
               {3, 6, 5, 2, {1, 1, 2, 4, 5}},        // a box to the border
               {4, 8, 8, 3, {3, 0, 0, 8, 8}},        // all of it
               {4, 8, 8, 3, {1, 4, 3, 4, 7}},        // an empty box
               {6, 32, 32, 3, {4, 5, 11, 29, 20}}},  // CIFAR
    .bench_shapes = {{128, 32, 32, 3, {64, 8, 8, 24, 24}}, {64, 224, 224, 3, {32, 50, 60, 180, 200}}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView x = p.input("x", {s.N, s.H, s.W, s.C});
          const ConstView weight = p.parameter("weight", {1}, uniform(0, 1));
          const ConstView place = p.integers("place", {5}, [place = s.place](Draw&, std::int64_t i) { return place[static_cast<std::size_t>(i)]; });
          const View y = p.output("y", {s.N, s.H, s.W, s.C});
          p.forward(Mix{.x = x, .weight = weight, .place = place, .y = y});
        },
    .tolerance = {.f32 = 1e-6, .bf16 = 8e-3},
}};

}  // namespace
}  // namespace isda::kernels
