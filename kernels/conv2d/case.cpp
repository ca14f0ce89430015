// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/case.h"
#include "kernels/conv2d/conv2d.h"

namespace isda::kernels {
namespace {

// Which words of the contract a variant uses.
struct Words {
  bool prologue = false;           // relu(x*scale + shift) on load, and its mask in backward-data
  bool relu_only = false;          // relu(x) on load; mask without scale
  bool statistics = false;         // mean and variance of y; sums of dx
  bool residual = false;           // added to y and to dx
  bool far_residual = false;       // the mean of y is some hundred deviations, and bf16 rounds y to one
  bool in_place = false;           // the residual is y, and dx, itself
  bool gradient_prologue = false;  // dy combined with y on load
};

struct Sizes {
  std::int64_t N, H, W, C, K, R, S;
  int stride = 1, padding = 0, groups = 1;
  Words words = {};
};

// Constants of channel c that are exact in f32. The prologue's kink lies at x = 0.25 in every channel, some slopes are negative.
double scale_of(std::int64_t c) { return (c % 5 == 3 ? -1 : 1) * (0.5 + static_cast<double>(c * 37 % 11) / 8); }
Fill scales() {
  return [](Draw&, std::int64_t c) { return scale_of(c); };
}
Fill shifts() {
  return [](Draw&, std::int64_t c) { return -0.25 * scale_of(c); };
}

void make(Problem& p, const Sizes& s) {
  const auto& words = s.words;
  const std::int64_t P = (s.H + 2 * s.padding - s.R) / s.stride + 1, Q = (s.W + 2 * s.padding - s.S) / s.stride + 1;
  const Shape input = {s.N, s.H, s.W, s.C}, output = {s.N, P, Q, s.K}, weights = {s.K, s.R, s.S, s.C / s.groups};
  const bool has_kink = words.prologue || words.relu_only;

  const ConstView x = p.input("x", input, has_kink ? away_from(words.prologue ? 0.25 : 0) : normal());
  const ConstView weight = p.input("weight", weights);
  Conv2dPrologue prologue = {.relu = has_kink};
  if (words.prologue) {
    prologue.scale = p.parameter("scale", {s.C}, scales());
    prologue.shift = p.parameter("shift", {s.C}, shifts());
  }
  Conv2dEpilogue epilogue;
  const View y = words.in_place ? p.inout("y", output) : p.output("y", output);
  if (words.residual) epilogue.residual = words.in_place ? ConstView(y) : p.input("residual", output, normal(words.far_residual ? 1000 : 0));
  if (words.statistics) epilogue.statistics = {.mean = p.parameter_output("mean", {s.K}), .variance = p.parameter_output("variance", {s.K})};
  p.forward(Conv2d{.x = x, .weight = weight, .y = y, .stride = s.stride, .padding = s.padding, .groups = s.groups, .prologue = prologue, .epilogue = epilogue});

  const ConstView dy = p.input("dy", output);
  Conv2dGradientPrologue gradient_prologue;
  if (words.gradient_prologue) {
    gradient_prologue.y = p.input("normalised", output);
    gradient_prologue.scale = p.parameter("dy_scale", {s.K});
    gradient_prologue.y_scale = p.parameter("y_scale", {s.K});
    gradient_prologue.shift = p.parameter("dy_shift", {s.K});
  }
  const View dx = words.in_place ? p.inout("dx", input) : p.output("dx", input);
  Conv2dBackwardDataEpilogue dx_epilogue;
  if (words.residual) dx_epilogue.residual = words.in_place ? ConstView(dx) : p.input("dx_residual", input);
  if (has_kink) dx_epilogue.mask = {.x = x, .scale = prologue.scale, .shift = prologue.shift};
  if (words.statistics) {
    // With mean 0 the two sums are the gradients of shift and scale.
    dx_epilogue.sums = {.x = x,
                        .mean = p.parameter("x_mean", {s.C}, words.residual ? normal() : constant(0)),
                        .sum = p.parameter_output("sum", {s.C}),
                        .sum_centred = p.parameter_output("sum_centred", {s.C})};
  }
  p.backward(Conv2dBackwardData{.dy = dy,
                                .weight = weight,
                                .dx = dx,
                                .stride = s.stride,
                                .padding = s.padding,
                                .groups = s.groups,
                                .prologue = gradient_prologue,
                                .epilogue = dx_epilogue});
  const View dweight = p.parameter_output("dweight", weights);
  p.backward(Conv2dBackwardWeights{.x = x,
                                   .dy = dy,
                                   .dweight = dweight,
                                   .stride = s.stride,
                                   .padding = s.padding,
                                   .groups = s.groups,
                                   .prologue = prologue,
                                   .gradient_prologue = gradient_prologue});

  // Every difference costs two runs of the reference: the numeric gradient is for the small shapes.
  if (words.gradient_prologue || words.residual || y.size() * weight.size() / s.K > 150'000) return;
  p.seed("y", "dy");
  p.gradient("weight", "dweight");
  if (!words.prologue) p.gradient("x", "dx");
  if (words.prologue && words.statistics) {
    p.gradient("shift", "sum");
    p.gradient("scale", "sum_centred");
  }
}

const Words kForwardNetwork = {.prologue = true, .statistics = true};
const Words kEverything = {.prologue = true, .statistics = true, .residual = true, .gradient_prologue = true};

const Declare conv2d{
    CaseOf<Sizes>{
        .name = "conv2d",
        .shapes =
            {
                {1, 1, 1, 1, 1, 1, 1},
                {2, 5, 7, 3, 5, 3, 3, 1, 1},
                {2, 8, 8, 16, 16, 3, 3, 1, 1},
                {1, 9, 6, 17, 35, 3, 3, 1, 1},
                {3, 4, 4, 40, 24, 3, 3, 1, 1},
                // Stride: even, odd, wider than the kernel (pixels that nothing sees), uneven kernels.
                {2, 8, 8, 16, 32, 3, 3, 2, 1},
                {2, 7, 9, 8, 12, 3, 3, 2, 1},
                {1, 8, 8, 16, 32, 1, 1, 2, 0},
                {1, 7, 5, 5, 4, 1, 1, 3, 0},
                {1, 8, 11, 3, 4, 2, 3, 3, 1},
                {1, 21, 19, 3, 16, 7, 7, 2, 3},
                // Padding wider than the kernel's reach, and none.
                {1, 3, 3, 4, 4, 1, 1, 1, 2},
                {1, 2, 3, 4, 5, 2, 2, 2, 3},
                {1, 6, 6, 8, 8, 3, 3, 1, 0},
                // Groups: a few, one channel each.
                {2, 6, 5, 12, 8, 3, 3, 1, 1, 4},
                {1, 5, 5, 48, 40, 3, 3, 2, 1, 2},
                {1, 7, 6, 6, 6, 3, 3, 2, 1, 6},
                // Many channels: several slabs of weights, rows and parts of rows.
                {1, 4, 4, 50, 20, 3, 3, 1, 1},
                {1, 3, 4, 130, 12, 3, 3, 1, 1},
                {1, 3, 5, 700, 7, 1, 1, 1, 0},
                {1, 3, 3, 6, 200, 3, 3, 1, 1},
                // Winograd: odd rows and columns, groups, several blocks, several images in one block of the weights' gradient.
                {1, 7, 9, 16, 24, 3, 3, 1, 1},
                {2, 5, 5, 32, 17, 3, 3, 1, 1},
                {1, 7, 6, 32, 64, 3, 3, 1, 0, 2},
                {1, 2, 3, 16, 16, 3, 3, 1, 2},
                {1, 19, 11, 24, 16, 3, 3, 1, 1},
                {1, 6, 201, 48, 16, 3, 3, 1, 1},
                {20, 3, 3, 16, 16, 3, 3, 1, 1},
                {20, 3, 2, 5, 6, 3, 3, 1, 1},
                // Large images: several blocks of rows and of columns.
                {1, 40, 34, 40, 4, 3, 3, 1, 1},
                {1, 5, 300, 40, 3, 3, 3, 1, 1},
                // Wide on both sides: more than one tile of columns, and of rows of the weights' gradient.
                {1, 5, 6, 72, 40, 3, 3, 1, 1},
                // Every word of the contract, alone and together, on whole and ragged channels.
                {2, 6, 6, 16, 16, 3, 3, 1, 1, 1, {.prologue = true}},
                {2, 6, 5, 7, 9, 3, 3, 2, 1, 1, {.prologue = true}},
                {2, 6, 5, 8, 7, 3, 3, 1, 1, 1, {.relu_only = true}},
                {2, 6, 5, 8, 6, 3, 3, 1, 1, 2, {.relu_only = true, .statistics = true}},
                {2, 6, 5, 9, 19, 3, 3, 1, 1, 1, {.statistics = true}},
                {2, 6, 5, 9, 19, 3, 3, 1, 1, 1, {.residual = true}},
                {2, 6, 5, 9, 19, 3, 3, 2, 1, 1, {.statistics = true, .residual = true, .in_place = true}},
                {2, 6, 5, 9, 19, 3, 3, 1, 1, 1, {.gradient_prologue = true}},
                {3, 12, 10, 16, 16, 3, 3, 1, 1, 1, kForwardNetwork},
                {1, 24, 14, 11, 5, 3, 3, 1, 1, 1, kForwardNetwork},
                // Statistics of more pixels than one tile of the epilogue holds: merges within a block.
                {2, 8, 30, 5, 9, 3, 3, 1, 1, 1, kForwardNetwork},
                {1, 8, 30, 16, 16, 3, 3, 1, 1, 1, kForwardNetwork},
                {2, 7, 9, 16, 32, 3, 3, 2, 1, 1, kForwardNetwork},
                {2, 7, 9, 16, 32, 3, 3, 2, 1, 1, kEverything},
                {3, 8, 8, 24, 20, 3, 3, 1, 1, 2, kEverything},
                {2, 7, 9, 16, 32, 3, 3, 1, 1, 1, kEverything},
                {1, 17, 5, 32, 48, 3, 3, 1, 1, 2, kEverything},
                {2, 8, 8, 16, 32, 1, 1, 2, 0, 1, kEverything},
                {2, 5, 6, 40, 72, 3, 3, 1, 1, 1, kEverything},
                {1, 5, 7, 24, 40, 3, 3, 2, 1, 1, kEverything},
            },
        .bench_shapes =
            {
                // ResNet-32 on CIFAR: stem, the three stages, the two transitions and their shortcuts.
                {128, 32, 32, 3, 16, 3, 3, 1, 1},
                {128, 32, 32, 16, 16, 3, 3, 1, 1},
                {128, 32, 32, 16, 16, 3, 3, 1, 1, 1, kForwardNetwork},
                {128, 32, 32, 16, 16, 3, 3, 1, 1, 1, kEverything},
                {128, 32, 32, 16, 32, 3, 3, 2, 1},
                {128, 32, 32, 16, 32, 1, 1, 2, 0},
                {128, 16, 16, 32, 32, 3, 3, 1, 1},
                {128, 16, 16, 32, 32, 3, 3, 1, 1, 1, kForwardNetwork},
                {128, 16, 16, 32, 64, 3, 3, 2, 1},
                {128, 16, 16, 32, 64, 1, 1, 2, 0},
                {128, 8, 8, 64, 64, 3, 3, 1, 1},
                {128, 8, 8, 64, 64, 3, 3, 1, 1, 1, kForwardNetwork},
                // Wide ResNet, ResNeXt, DenseNet, ResNet-50.
                {16, 16, 16, 320, 320, 3, 3, 1, 1},
                {16, 32, 32, 128, 128, 3, 3, 1, 1, 8},
                {32, 32, 32, 48, 12, 3, 3, 1, 1},
                {4, 224, 224, 3, 64, 7, 7, 2, 3},
                {4, 14, 14, 1024, 256, 1, 1, 1, 0},
            },
        .make = make,
        .tolerance = {.f32 = 1e-5, .bf16 = 2e-2, .tf32 = kTf32Tolerance, .plain = 4e-6},
    }};

// A mean of some hundred deviations: a variance taken as E[x^2] - E[x]^2 has no correct digit here, nor one of y before it was rounded to bf16.
// NOTE: y itself has only four digits of a deviation in f32.
const Declare far_mean{CaseOf<Sizes>{
    .name = "conv2d_far_mean",
    .shapes = {{1, 15, 14, 4, 16, 1, 1, 1, 0, 1, {.statistics = true, .residual = true, .far_residual = true}}},
    .make = make,
    .tolerance = {.f32 = 1e-4, .bf16 = 2e-2, .tf32 = kTf32Tolerance, .plain = 1e-4},
}};

}  // namespace
}  // namespace isda::kernels
