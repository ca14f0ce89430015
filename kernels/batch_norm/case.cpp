// SPDX-License-Identifier: Apache-2.0
// Batch normalisation: what is tested and timed.
#include "kernels/batch_norm/batch_norm.h"

#include "kernels/common/case.h"

namespace isda::kernels {
namespace {

struct Sizes {
  Shape x;
  bool relu = false;
  bool residual = false;
};

// A training step: forward through statistics and normalisation, then back.
//
// NOTE: differences must not step over the ReLU's kink. Without a residual, x is 1 +- (3..3.5) with the signs balanced in every
// channel, so that its normalised value is never below 0.6, and the bias is smaller than the weight times that. With one, the
// residual is at least 6 and decides the sign.
const Declare training{CaseOf<Sizes>{
    .name = "batch_norm",
    .shapes = {{{1, 1}},
               {{5, 3}, true},
               {{4, 7}, false, true},
               {{2, 3, 3, 5}, true, true},
               {{1, 17}, true, true},
               {{2, 7, 5, 17}, true},
               {{3, 8, 8, 16}, false, false},
               {{2, 8, 8, 64}, true, true},
               {{3, 11, 13, 33}, true, true},
               {{2, 9, 9, 20}, true, true},
               {{600, 4, 4, 16}, true},
               {{13, 150}, true},
               {{9, 3000}, true, true}},
    .bench_shapes = {{{128, 32, 32, 16}, true},
                     {{128, 32, 32, 16}, true, true},
                     {{128, 16, 16, 32}, true},
                     {{128, 16, 16, 32}, true, true},
                     {{128, 8, 8, 64}, true},
                     {{128, 8, 8, 64}, true, true},
                     {{64, 14, 14, 256}, true}},
    .make =
        [](Problem& p, const Sizes& s) {
          const std::int64_t C = s.x[-1];
          const Fill balanced = [C](Draw& draw, std::int64_t index) { return 1 + ((index / C + index % C) % 2 ? 3 : -3) * (1 + draw.uniform() / 6); };
          const Fill weights = [](Draw& draw, std::int64_t) { return (draw.uniform() < 0.3 ? -1 : 1) * (0.5 + draw.uniform()); };
          const Fill biases = [](Draw& draw, std::int64_t) { return (draw.uniform() < 0.5 ? -1 : 1) * (0.05 + 0.2 * draw.uniform()); };
          const ConstView x = p.input("x", s.x, s.relu ? balanced : normal(0.5, 2));
          const ConstView weight = p.parameter("weight", {C}, weights);
          const ConstView bias = p.parameter("bias", {C}, biases);
          const ConstView residual = s.residual ? p.input("residual", s.x, away_from(0, 6)) : ConstView();
          const View mean = p.parameter_output("mean", {C});
          const View variance = p.parameter_output("variance", {C});
          const View running_mean = p.parameter_inout("running_mean", {C});
          const View running_variance = p.parameter_inout("running_variance", {C}, uniform(0.5, 2));
          const View y = p.output("y", s.x);
          p.forward(BatchNormStatistics{.x = x, .mean = mean, .variance = variance});
          p.forward(BatchNorm{.x = x,
                              .mean = mean,
                              .variance = variance,
                              .weight = weight,
                              .bias = bias,
                              .residual = residual,
                              .relu = s.relu,
                              .epsilon = 1e-3,
                              .y = y,
                              .running = {.mean = running_mean, .variance = running_variance, .momentum = 0.3}});

          const ConstView dy = p.input("dy", s.x);
          const View sum_dz = p.parameter_output("sum_dz", {C});
          const View sum_dz_x = p.parameter_output("sum_dz_x", {C});
          const View dx = p.output("dx", s.x);
          const View dresidual = s.residual ? p.output("dresidual", s.x) : View();
          const View dweight = p.parameter_output("dweight", {C});
          const View dbias = p.parameter_output("dbias", {C});
          const ConstView masked_by = s.relu ? ConstView(y) : ConstView();
          p.backward(BatchNormBackwardReduce{.dy = dy, .x = x, .y = masked_by, .mean = mean, .sum_dz = sum_dz, .sum_dz_x = sum_dz_x});
          p.backward(BatchNormBackward{.dy = dy,
                                       .x = x,
                                       .y = masked_by,
                                       .mean = mean,
                                       .variance = variance,
                                       .weight = weight,
                                       .sum_dz = sum_dz,
                                       .sum_dz_x = sum_dz_x,
                                       .epsilon = 1e-3,
                                       .dx = dx,
                                       .dresidual = dresidual,
                                       .dweight = dweight,
                                       .dbias = dbias});
          p.seed("y", "dy");
          p.gradient("x", "dx");
          p.gradient("weight", "dweight");
          p.gradient("bias", "dbias");
          if (s.residual) p.gradient("residual", "dresidual");
        },
    .tolerance = {.f32 = 2e-6, .bf16 = 2e-2},
}};

// The gradient of x from elsewhere is added on the way; the sums are given.
const Declare added{CaseOf<Sizes>{
    .name = "batch_norm_added",
    .shapes = {{{1, 1}}, {{5, 3}}, {{2, 7, 5, 17}}, {{3, 8, 8, 16}}, {{2, 9, 9, 20}}, {{600, 4, 4, 16}}, {{13, 150}}},
    .bench_shapes = {{{64, 32, 32, 120}}},
    .make =
        [](Problem& p, const Sizes& s) {
          const std::int64_t C = s.x[-1];
          const ConstView dy = p.input("dy", s.x), x = p.input("x", s.x, normal(0.5, 2)), addend = p.input("addend", s.x);
          p.backward(BatchNormBackward{.dy = dy,
                                       .x = x,
                                       .mean = p.parameter("mean", {C}),
                                       .variance = p.parameter("variance", {C}, uniform(0.5, 2)),
                                       .weight = p.parameter("weight", {C}),
                                       .sum_dz = p.parameter("sum_dz", {C}),
                                       .sum_dz_x = p.parameter("sum_dz_x", {C}),
                                       .addend = addend,
                                       .epsilon = 1e-3,
                                       .dx = p.output("dx", s.x),
                                       .dweight = p.parameter_output("dweight", {C}),
                                       .dbias = p.parameter_output("dbias", {C})});
        },
    .tolerance = {.f32 = 2e-6, .bf16 = 2e-2},
}};

// A mean of ten thousand deviations: a variance taken as E[x^2] - E[x]^2 has no correct digit here.
const Declare large_mean{CaseOf<Sizes>{
    .name = "batch_norm_large_mean",
    .shapes = {{{2, 3}}, {{64, 5}}, {{3, 31, 31, 16}}, {{40, 16, 16, 17}}, {{3200, 255}}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView x = p.input("x", s.x, normal(1e4, 1));
          const View mean = p.parameter_output("mean", {s.x[-1]});
          const View variance = p.parameter_output("variance", {s.x[-1]});
          p.forward(BatchNormStatistics{.x = x, .mean = mean, .variance = variance});
        },
    .tolerance = {.f32 = 2e-6},
}};

// Evaluation: the statistics are given, and the mean is large against the deviation: x - mean must be taken first.
const Declare evaluation{CaseOf<Sizes>{
    .name = "batch_norm_evaluation",
    .shapes = {{{3, 7}}, {{2, 5, 5, 19}, true}, {{2, 8, 8, 16}, true, true}},
    .make =
        [](Problem& p, const Sizes& s) {
          const std::int64_t C = s.x[-1];
          const ConstView x = p.input("x", s.x, normal(1e4, 1));
          const ConstView mean = p.parameter("mean", {C}, normal(1e4, 0.1));
          const ConstView variance = p.parameter("variance", {C}, uniform(0.5, 2));
          const ConstView weight = p.parameter("weight", {C});
          const ConstView bias = p.parameter("bias", {C});
          const ConstView residual = s.residual ? p.input("residual", s.x) : ConstView();
          const View y = p.output("y", s.x);
          p.forward(BatchNorm{.x = x, .mean = mean, .variance = variance, .weight = weight, .bias = bias, .residual = residual, .relu = s.relu, .y = y});
        },
    .tolerance = {.f32 = 1e-6},
}};

// values: how many the statistics were made of; 0 without running ones.
struct ChannelSizes {
  Shape x;
  std::int64_t values;
};

const Declare affine{CaseOf<ChannelSizes>{
    .name = "batch_norm_affine",
    .shapes = {{{1}, 0}, {{17}, 0}, {{64}, 0}, {{1}, 1}, {{17}, 6}, {{300}, 1000}},
    .make =
        [](Problem& p, const ChannelSizes& s) {
          const ConstView mean = p.parameter("mean", s.x), variance = p.parameter("variance", s.x, uniform(0, 2));
          const ConstView weight = p.parameter("weight", s.x), bias = p.parameter("bias", s.x);
          const View scale = p.parameter_output("scale", s.x), shift = p.parameter_output("shift", s.x);
          RunningStatistics running;
          if (s.values > 0) running = {.mean = p.parameter_inout("running_mean", s.x), .variance = p.parameter_inout("running_variance", s.x, uniform(0.5, 2))};
          p.forward(BatchNormAffine{
              .mean = mean, .variance = variance, .weight = weight, .bias = bias, .scale = scale, .shift = shift, .running = running, .count = s.values});
        },
    .tolerance = {.f32 = 1e-6},
}};

}  // namespace
}  // namespace isda::kernels
