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
  std::int64_t R = 0;         // directions of a covariance of low rank; 0: full or diagonal
};

ConstView labels_of(Problem& p, const Sizes& s) { return p.labels("labels", s.N, s.labelled > 0 ? s.labelled : s.C); }
Shape covariance_shape(const Sizes& s) {
  if (s.R > 0) return {s.C, 1 + s.R, s.A};
  return s.is_full ? Shape{s.C, s.A, s.A} : Shape{s.C, s.A};
}

// A number in [-0.5, 0.5) that depends on the key only.
double scatter(std::int64_t key) {
  const auto word = static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15u;
  return static_cast<double>((word ^ (word >> 29)) >> 40) * 0x1p-24 - 0.5;
}

// A diagonal, and directions of which each has its own features, so that they are nearly orthogonal and about as long, and which are longer than anything
// that feature_values() bring: where the candidates of an update are cut off, there is a gap. NOTE: what is kept of two candidates of the same length, rounding
// decides.
Fill diagonal_and_directions(const Sizes& s) {
  return [=](Draw& draw, std::int64_t index) {
    const std::int64_t row = index / s.A % (1 + s.R), a = index % s.A;
    if (row == 0) return draw.uniform();
    return a % s.R == row - 1 ? 1 + 0.5 * scatter(index) : 0.1 * scatter(index);
  };
}

// Symmetric matrices, as covariances are: on that the gradient rests. Their diagonal is positive.
Fill covariances(const Sizes& s) {
  if (s.R > 0) return diagonal_and_directions(s);
  if (!s.is_full) return uniform(0, 1);
  return [A = s.A](Draw&, std::int64_t index) {
    const std::int64_t a = index / A % A, b = index % A;
    return scatter(index / (A * A) + 1000 * (std::min(a, b) * A + std::max(a, b))) + (a == b ? 1 : 0);
  };
}

// Some classes were never seen; NOTE: unless more than R samples of one could be all there is to choose R directions from.
Fill counts(const Sizes& s) {
  const std::int64_t least = s.R > 0 && s.N >= s.R ? 1 : 0;
  return [=](Draw& draw, std::int64_t) { return 17.0 * static_cast<double>(least + draw.below(4 - least)); };
}

Fill feature_values(const Sizes& s) { return normal(1, s.R > 0 ? 0.05 : 1); }
Fill means(const Sizes& s) { return s.R > 0 ? feature_values(s) : normal(); }

// The covariances, changed in place, and what is left for the backward.
View covariances_of(Problem& p, const Sizes& s) {
  if (s.R > 0) return p.parameter_ambiguous("covariance", covariance_shape(s), covariances(s));
  return p.parameter_inout("covariance", covariance_shape(s), covariances(s));
}
Shape u_shape(const Sizes& s) { return {std::min(s.N, s.C), s.C, s.R > 0 ? s.R : s.A}; }
bool has_u(const Sizes& s) { return s.is_full || s.R > 0; }

// Tiny, one class, ragged about tile and strip, more classes than samples, absent classes, ratio 0, CIFAR; several tiles of classes, and of features,
// with many samples a class; then diagonal, at last with more classes than a block has threads. Then low rank: the least; fewer samples than directions,
// which may be all that is known of a class; ratio 0; as many terms of a class as are taken at a time, and more; more directions than a tile, and than fit
// into shared memory.
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
                                    {5, 1030, 4, false},
                                    {1, 1, 3, false, 0.7, 0, 1},
                                    {3, 2, 12, false, 0.7, 0, 4},
                                    {9, 4, 5, false, 0, 0, 2},
                                    {19, 13, 17, false, 0.7, 0, 5},
                                    {12, 30, 70, false, 0.7, 0, 8},
                                    {20, 7, 33, false, 1.5, 3, 2},
                                    {31, 6, 64, false, 0.5, 1, 16},
                                    {70, 3, 132, false, 0.7, 2, 3},
                                    {7, 133, 12, false, 0.7, 0, 3},
                                    {3, 2, 140, false, 0.7, 0, 130}};
const std::vector<Sizes> kBenchShapes = {
    {128, 10, 64}, {128, 100, 64}, {128, 100, 342}, {128, 100, 640}, {128, 100, 640, false}, {256, 1000, 2048, false}, {128, 100, 640, false, 0.7, 0, 64}};

const Declare isda_update{CaseOf<Sizes>{
    .name = "isda_update",
    .shapes = kShapes,
    .bench_shapes = kBenchShapes,
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView features = p.input("features", {s.N, s.A}, feature_values(s));
          const ConstView labels = labels_of(p, s);
          const View count = p.parameter_inout("count", {s.C}, counts(s));
          const View mean = p.parameter_inout("mean", {s.C, s.A}, means(s));
          const View covariance = covariances_of(p, s);
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
          const View u = has_u(s) ? p.parameter_inout("u", u_shape(s), constant(7)) : View();
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
          const ConstView features = p.input("features", {s.N, s.A}, feature_values(s));
          const ConstView labels = labels_of(p, s);
          const ConstView weight = p.parameter("weight", {s.C, s.A});
          const ConstView bias = p.parameter("bias", {s.C});
          const ConstView ratio = p.parameter("ratio", {1}, constant(s.ratio));
          const View count = p.parameter_inout("count", {s.C}, counts(s));
          const View mean = p.parameter_inout("mean", {s.C, s.A}, means(s));
          const View covariance = covariances_of(p, s);
          const View logits = p.parameter_output("logits", {s.N, s.C});
          const View augmented = p.parameter_output("augmented_logits", {s.N, s.C});
          const View slots = p.integer_output("slots", {s.C});
          // NOTE: P_c is as ambiguous as the directions.
          const auto make_u = s.R > 0 ? &Problem::parameter_ambiguous : &Problem::parameter_inout;
          const View u = has_u(s) ? (p.*make_u)("u", u_shape(s), constant(7)) : View();
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
// 128 and of 64 features, and than threads. Wider than 128: ragged about tiles. Then the diagonal, at last too much for a block to own a class. Then low rank,
// as above.
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
                                            {{40, 300, 700, false}, 0, 0},
                                            {{1, 1, 3, false, 0.7, 0, 1}},
                                            {{5, 1, 7, false, 0.7, 0, 2}, 0, 0},
                                            {{9, 4, 5, false, 0, 0, 2}, 2, 3},
                                            {{6, 3, 7, false, 0.7, 0, 2}, 2, 2, true},
                                            {{33, 6, 64, false, 0.5, 1, 5}, 8, 8},
                                            {{20, 7, 33, false, 1.5, 3, 3}, 3, 3},
                                            {{24, 100, 64, false, 0.7, 0, 7}, 2, 2},
                                            {{70, 3, 132, false, 0.7, 2, 4}, 1, 2},
                                            {{12, 30, 140, false, 0.7, 0, 70}, 0, 0}};
const std::vector<HeadSizes> kHeadBenchShapes = {{{128, 10, 64}, 8, 8},
                                                 {{128, 100, 64}, 8, 8},
                                                 {{128, 100, 342}, 8, 8},
                                                 {{128, 100, 640}, 8, 8},
                                                 {{128, 100, 640, false}, 8, 8},
                                                 {{256, 1000, 2048, false}, 7, 7},
                                                 {{128, 100, 640, false, 0.7, 0, 64}, 8, 8}};

const Declare isda_head{CaseOf<HeadSizes>{
    .name = "isda_head",
    .shapes = kHeadShapes,
    .bench_shapes = kHeadBenchShapes,
    .make =
        [](Problem& p, const HeadSizes& sizes) {
          const Sizes& s = sizes.of;
          const Shape x_shape = sizes.H > 0 ? Shape{s.N, sizes.H, sizes.W, s.A} : Shape{s.N, s.A};
          const ConstView x = p.input("x", x_shape, feature_values(s));
          const ConstView labels = labels_of(p, s);
          // NOTE: logits of a few units, so that the softmax neither saturates nor multiplies their rounding.
          const ConstView weight = p.parameter("weight", {s.C, s.A}, normal(0, 1 / std::sqrt(static_cast<double>(s.A))));
          const ConstView bias = s.N % 2 ? p.parameter("bias", {s.C}) : ConstView();
          const ConstView ratio = p.parameter("ratio", {1}, constant(s.ratio));
          const View count = p.parameter_inout("count", {s.C}, sizes.is_settled ? constant(1e18) : counts(s));
          const View mean = p.parameter_inout("mean", {s.C, s.A}, means(s));
          const View covariance = covariances_of(p, s);
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
          if (s.N * s.C * s.A * (s.is_full ? s.A : 1 + s.R) > 4000000) return;
          p.seed("loss");
          if (sizes.is_settled) p.gradient("x", "dx");
          p.gradient("weight", "dweight");
          if (bias) p.gradient("bias", "dbias");
        },
    .tolerance = {.f32 = 5e-6, .bf16 = 8e-3, .tf32 = kTf32Tolerance, .plain = 5e-6},
}};

}  // namespace
}  // namespace isda::kernels
