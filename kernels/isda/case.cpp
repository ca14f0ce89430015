// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels/common/case.h"
#include "kernels/isda/isda.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::int64_t N, C, A;
  bool is_full = true;
  double ratio = 0.7;
  std::int64_t labelled = 0;  // labels lie below it, the classes behind are absent; 0: all of C
};

ConstView labels_of(Problem& p, const Sizes& s) { return p.labels("labels", s.N, s.labelled > 0 ? s.labelled : s.C); }
Shape covariance_shape(const Sizes& s) { return s.is_full ? Shape{s.C, s.A, s.A} : Shape{s.C, s.A}; }

// A number in [-0.5, 0.5) that depends on the key only.
double scatter(std::int64_t key) {
  const auto word = static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15u;
  return static_cast<double>((word ^ (word >> 29)) >> 40) * 0x1p-24 - 0.5;
}

// Symmetric matrices, as covariances are: on that the gradient rests. Their diagonal is positive.
Fill covariances(const Sizes& s) {
  if (!s.is_full) return uniform(0, 1);
  return [A = s.A](Draw&, std::int64_t index) {
    const std::int64_t a = index / A % A, b = index % A;
    return scatter(index / (A * A) + 1000 * (std::min(a, b) * A + std::max(a, b))) + (a == b ? 1 : 0);
  };
}

// Some classes were never seen.
Fill counts() {
  return [](Draw& draw, std::int64_t) { return 17.0 * static_cast<double>(draw.below(4)); };
}

// Tiny, one class, ragged about tile and strip, more classes than samples, absent classes, ratio 0, CIFAR; several tiles of classes, and of features,
// with many samples a class; then diagonal, at last with more classes than a block has threads.
const std::vector<Sizes> kShapes = {{1, 1, 1},
                                    {3, 2, 1},
                                    {5, 1, 7},
                                    {9, 4, 5, true, 0},
                                    {19, 13, 17},
                                    {12, 30, 70},
                                    {20, 7, 33, true, 1.5, 3},
                                    {33, 6, 64, true, 0.5, 1},
                                    {64, 10, 64},
                                    {7, 133, 12},
                                    {70, 3, 132, true, 0.7, 2},
                                    {1, 1, 1, false},
                                    {9, 4, 5, false, 0},
                                    {19, 13, 17, false},
                                    {12, 30, 70, false},
                                    {20, 7, 33, false, 1.5, 3},
                                    {70, 65, 24, false},
                                    {3, 4, 600, false},
                                    {5, 1030, 4, false}};
const std::vector<Sizes> kBenchShapes = {{128, 10, 64}, {128, 100, 64}, {128, 100, 342}, {128, 100, 640}, {128, 100, 640, false}, {256, 1000, 2048, false}};

const Declare isda_update{CaseOf<Sizes>{
    .name = "isda_update",
    .shapes = kShapes,
    .bench_shapes = kBenchShapes,
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView features = p.input("features", {s.N, s.A}, normal(1, 1));
          const ConstView labels = labels_of(p, s);
          const View count = p.parameter_inout("count", {s.C}, counts());
          const View mean = p.parameter_inout("mean", {s.C, s.A});
          const View covariance = p.parameter_inout("covariance", covariance_shape(s), covariances(s));
          p.forward(IsdaUpdate{.features = features, .labels = labels, .count = count, .mean = mean, .covariance = covariance});
        },
    .tolerance = {.f32 = 2e-6},
}};

const Declare isda_forward{CaseOf<Sizes>{
    .name = "isda_forward",
    .shapes = kShapes,
    .bench_shapes = kBenchShapes,
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView features = p.input("features", {s.N, s.A});
          const ConstView labels = labels_of(p, s);
          const ConstView weight = p.parameter("weight", {s.C, s.A});
          const ConstView bias = s.N % 2 ? p.parameter("bias", {s.C}) : ConstView();
          const ConstView covariance = p.parameter("covariance", covariance_shape(s), covariances(s));
          const ConstView ratio = p.parameter("ratio", {1}, constant(s.ratio));
          const View logits = p.parameter_output("logits", {s.N, s.C});
          const View augmented = p.parameter_output("augmented_logits", {s.N, s.C});
          const View slots = p.integer_output("slots", {s.C});
          // NOTE: filled, since slots that are not used keep what they held.
          const View u = s.is_full ? p.parameter_inout("u", {std::min(s.N, s.C), s.C, s.A}, constant(7)) : View();
          p.forward(IsdaForward{.features = features,
                                .labels = labels,
                                .weight = weight,
                                .bias = bias,
                                .covariance = covariance,
                                .ratio = ratio,
                                .logits = logits,
                                .augmented_logits = augmented,
                                .slots = slots,
                                .u = u});

          const ConstView daugmented = p.parameter("daugmented", {s.N, s.C});
          const View dfeatures = p.output("dfeatures", {s.N, s.A});
          const View dweight = p.parameter_output("dweight", {s.C, s.A});
          const View dbias = bias ? p.parameter_output("dbias", {s.C}) : View();
          p.backward(IsdaBackward{.daugmented = daugmented,
                                  .features = features,
                                  .labels = labels,
                                  .weight = weight,
                                  .covariance = covariance,
                                  .slots = slots,
                                  .u = u,
                                  .ratio = ratio,
                                  .dfeatures = dfeatures,
                                  .dweight = dweight,
                                  .dbias = dbias});
          p.seed("augmented_logits", "daugmented");
          p.gradient("features", "dfeatures");
          p.gradient("weight", "dweight");
          if (bias) p.gradient("bias", "dbias");
        },
    .tolerance = {.f32 = 5e-6, .tf32 = kTf32Tolerance, .plain = 5e-6},
}};

const Declare isda_update_forward{CaseOf<Sizes>{
    .name = "isda_update_forward",
    .shapes = kShapes,
    .bench_shapes = kBenchShapes,
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView features = p.input("features", {s.N, s.A}, normal(1, 1));
          const ConstView labels = labels_of(p, s);
          const ConstView weight = p.parameter("weight", {s.C, s.A});
          const ConstView bias = p.parameter("bias", {s.C});
          const ConstView ratio = p.parameter("ratio", {1}, constant(s.ratio));
          const View count = p.parameter_inout("count", {s.C}, counts());
          const View mean = p.parameter_inout("mean", {s.C, s.A});
          const View covariance = p.parameter_inout("covariance", covariance_shape(s), covariances(s));
          const View logits = p.parameter_output("logits", {s.N, s.C});
          const View augmented = p.parameter_output("augmented_logits", {s.N, s.C});
          const View slots = p.integer_output("slots", {s.C});
          const View u = s.is_full ? p.parameter_inout("u", {std::min(s.N, s.C), s.C, s.A}, constant(7)) : View();
          p.forward(IsdaUpdateForward{.features = features,
                                      .labels = labels,
                                      .weight = weight,
                                      .bias = bias,
                                      .ratio = ratio,
                                      .count = count,
                                      .mean = mean,
                                      .covariance = covariance,
                                      .logits = logits,
                                      .augmented_logits = augmented,
                                      .slots = slots,
                                      .u = u});
        },
    .tolerance = {.f32 = 5e-6, .tf32 = kTf32Tolerance, .plain = 5e-6},
}};

// ---- the whole head ----

struct HeadSizes {
  Sizes of;
  std::int64_t H = 1, W = 1;  // 0: x is (N,A)
  bool is_settled = false;    // so much was counted before that the batch moves no statistic: only then is dx what differences of the loss find
};

// x is a map of 8 x 8 and of one pixel, or features; A of 1, 7, 64, 128 and between; no, one and every sample of a class; classes that never come; ratio 0.
// Then what exceeds a block: more samples than its threads, in all and in one class; more classes than fit into shared memory beside a covariance of
// 128 and of 64 features, and than threads. Wider than 128: ragged about tiles. Then the diagonal, at last too much for a block to own a class.
const std::vector<HeadSizes> kHeadShapes = {{{1, 1, 1}},
                                            {{5, 1, 7}, 0, 0},
                                            {{9, 4, 5, true, 0}, 2, 3},
                                            {{6, 3, 7}, 2, 2, true},
                                            {{19, 13, 17}, 1, 1, true},
                                            {{33, 6, 64, true, 0.5, 1}, 8, 8},
                                            {{20, 7, 33, true, 1.5, 3}, 3, 3},
                                            {{12, 10, 64}, 8, 8},
                                            {{24, 100, 64}, 2, 2},
                                            {{14, 30, 128}, 0, 0},
                                            {{70, 3, 128, true, 0.7, 2}, 1, 2},
                                            {{530, 3, 8}, 0, 0},
                                            {{600, 40, 3, true, 0.7, 2}, 1, 1},
                                            {{18, 300, 128, true, 0.7, 1}, 0, 0},
                                            {{4, 520, 33}, 1, 1},
                                            {{12, 30, 132}, 2, 2},
                                            {{7, 5, 150, true, 0.7, 0}, 0, 0, true},
                                            {{40, 133, 131, true, 1.5, 2}, 0, 0},
                                            {{70, 3, 132, true, 0.7, 1}, 1, 2},
                                            {{9, 4, 5, false, 0}, 2, 3},
                                            {{6, 3, 7, false}, 2, 2, true},
                                            {{19, 13, 17, false}, 0, 0},
                                            {{20, 7, 64, false, 1.5, 3}, 8, 8},
                                            {{70, 65, 140, false}, 1, 1},
                                            {{70, 4, 150, false, 0.7, 1}, 1, 2},
                                            {{3, 4, 600, false}, 2, 1},
                                            {{12, 3, 150, false}, 0, 0, true},
                                            {{5, 520, 4, false}, 0, 0},
                                            {{70, 350, 345, false, 0.7, 1}, 1, 2},
                                            {{40, 300, 700, false}, 0, 0}};
const std::vector<HeadSizes> kHeadBenchShapes = {{{128, 10, 64}, 8, 8},   {{128, 100, 64}, 8, 8},         {{128, 100, 342}, 8, 8},
                                                 {{128, 100, 640}, 8, 8}, {{128, 100, 640, false}, 8, 8}, {{256, 1000, 2048, false}, 7, 7}};

const Declare isda_head{CaseOf<HeadSizes>{
    .name = "isda_head",
    .shapes = kHeadShapes,
    .bench_shapes = kHeadBenchShapes,
    .make =
        [](Problem& p, const HeadSizes& sizes) {
          const Sizes& s = sizes.of;
          const Shape x_shape = sizes.H > 0 ? Shape{s.N, sizes.H, sizes.W, s.A} : Shape{s.N, s.A};
          const ConstView x = p.input("x", x_shape, normal(1, 1));
          const ConstView labels = labels_of(p, s);
          // NOTE: logits of a few units, so that the softmax neither saturates nor multiplies their rounding.
          const ConstView weight = p.parameter("weight", {s.C, s.A}, normal(0, 1 / std::sqrt(static_cast<double>(s.A))));
          const ConstView bias = s.N % 2 ? p.parameter("bias", {s.C}) : ConstView();
          const ConstView ratio = p.parameter("ratio", {1}, constant(s.ratio));
          const View count = p.parameter_inout("count", {s.C}, sizes.is_settled ? constant(1e18) : counts());
          const View mean = p.parameter_inout("mean", {s.C, s.A});
          const View covariance = p.parameter_inout("covariance", covariance_shape(s), covariances(s));
          const View loss = p.parameter_output("loss", {1});
          const View correct = p.integer_output("correct", {1});
          const View dx = p.output("dx", x_shape);
          const View dweight = p.parameter_output("dweight", {s.C, s.A});
          const View dbias = bias ? p.parameter_output("dbias", {s.C}) : View();
          p.forward(IsdaHead{.x = x,
                             .labels = labels,
                             .weight = weight,
                             .bias = bias,
                             .ratio = ratio,
                             .count = count,
                             .mean = mean,
                             .covariance = covariance,
                             .loss = loss,
                             .correct = correct,
                             .dx = dx,
                             .dweight = dweight,
                             .dbias = dbias});
          // NOTE: differences take the definition a hundred times over, which large problems would make minutes of.
          if (s.N * s.C * s.A * (s.is_full ? s.A : 1) > 1000000) return;
          p.seed("loss");
          if (sizes.is_settled) p.gradient("x", "dx");
          p.gradient("weight", "dweight");
          if (bias) p.gradient("bias", "dbias");
        },
    .tolerance = {.f32 = 5e-6, .bf16 = 8e-3, .tf32 = kTf32Tolerance, .plain = 5e-6},
}};

}  // namespace
}  // namespace isda::kernels
