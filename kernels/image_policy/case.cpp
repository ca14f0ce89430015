// SPDX-License-Identifier: Apache-2.0
// NOTE: bytes, which are compared exactly.
#include "kernels/common/case.h"
#include "kernels/image_policy/image_policy.h"

namespace isda::kernels {
namespace {

// Every operation, each hardly ever left out.
Policy everything() {
  using enum ImageOperation;
  const Spread sign = Spread::sign, range = Spread::range;
  return {{{{{shear_x, 0.9, 0.2, sign},
             {color, 0.9, 0.6, sign},
             {posterize, 0.9, 6},
             {translate_x, 0.9, 0.2, sign},
             {autocontrast, 0.9},
             {rotate, 0.9, 17, sign},
             {sharpness, 0.9, 0.8, sign}},
            {{solarize_add, 0.9, 70},
             {contrast, 0.9, 0.7, sign},
             {shear_y, 0.9, 0.25, sign},
             {equalize, 0.9},
             {sharpness, 0.9, 1, range},
             {translate_y, 0.9, 0.3, sign},
             {brightness, 0.9, 0.5, sign},
             {invert, 0.9},
             {solarize, 0.9, 100},
             {contrast, 0.9, 0.5, range}}}}};
}

Policy of(const std::string& name, double jitter = 0) {
  Policy policy = name == "everything" ? everything() : policy_of(name);
  policy.add(color_jitter(jitter));
  return policy;
}

struct Sizes {
  std::int64_t M, N, H, W;
  const char* policy;
  double jitter = 0;
  int padding = 4;
  bool is_gathered = false;
};

const Declare image_policy{CaseOf<Sizes>{
    .name = "image_policy",
    .shapes = {{1, 1, 1, 1, "everything", 0.4, 0},                  // a single pixel
               {5, 7, 7, 5, "everything", 0, 2},                    // ragged, an image several times in a batch
               {4, 3, 2, 9, "everything", 0, 1},                    // all border
               {8, 6, 32, 32, "autoaugment-cifar10", 0.4},          // CIFAR
               {8, 5, 32, 32, "randaugment:2:9"},                   //
               {3, 4, 16, 24, "autoaugment-imagenet", 0, 0, true},  // gathered
               {2, 2, 90, 85, "everything", 0, 0}},                 // by way of the card's memory
    .bench_shapes = {{1024, 128, 32, 32, "autoaugment-cifar10"}, {1024, 128, 32, 32, "randaugment:2:9"}, {64, 64, 224, 224, "autoaugment-imagenet"}},
    .make =
        [](Problem& p, const Sizes& s) {
          const PolicyTable table = compile(of(s.policy, s.jitter), s.H, s.W);
          const auto given = [](const std::vector<std::int32_t>& words) {
            return [words](Draw&, std::int64_t i) { return double(words[static_cast<std::size_t>(i)]); };
          };
          const ConstView images = p.bytes("images", {s.is_gathered ? s.N : s.M, s.H, s.W, 3});
          const ConstView indices = p.labels("indices", s.N, s.M);
          const ConstView epoch = p.integers("epoch", {1}, [](Draw& draw, std::int64_t) { return static_cast<double>(draw.below(300)); });
          const ConstView steps = p.integers("steps", {table.sub_policies, table.steps_of_one, PolicyTable::kWords}, given(table.steps));
          const ConstView rounds = p.integers("rounds", {static_cast<std::int64_t>(table.rounds.size()) / 2, 2}, given(table.rounds));
          const View y = p.output("y", {s.N, s.H, s.W, 3}, DType::u8);
          p.forward(ImagePolicy{.images = images,
                                .indices = indices,
                                .epoch = epoch,
                                .steps = steps,
                                .rounds = rounds,
                                .seed = 17,
                                .padding = s.padding,
                                .flip = !s.is_gathered,
                                .gathered_from = s.is_gathered ? s.M : 0,
                                .y = y});
        },
    .tolerance = {.f32 = 0, .bf16 = 0},
}};

}  // namespace
}  // namespace isda::kernels
