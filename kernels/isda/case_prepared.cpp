// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels/common/case.h"
#include "kernels/isda/prepared_head.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::int64_t N, C, A;
  std::int64_t of_class = 3;  // rows of a class; a batch with as many samples of one has more terms
  std::int64_t H = 1, W = 1;  // 0: x is (N,A)
  double ratio = 0.7;
  std::int64_t labelled = 0;  // labels lie below it; 0: all of C
  bool is_settled = false;    // so much was counted before that the batch moves no statistic: only then is dx what differences of the loss find
};

// The arguments, with terms pending of every class with an odd number, and of class 0 more than it has rows for, where a batch leaves so many.
struct Arguments {
  Arguments(Problem& p, const Sizes& s)
      : labels(p.labels("labels", s.N, s.labelled > 0 ? s.labelled : s.C)),
        weight(p.parameter("weight", {s.C, s.A}, normal(0, 1 / std::sqrt(static_cast<double>(s.A))))),
        // Symmetric, as covariances are: on that the gradient rests.
        covariance(p.parameter_inout("covariance", {s.C, s.A, s.A}, [A = s.A](Draw&, std::int64_t index) {
          const std::int64_t a = index / A % A, b = index % A, low = std::min(a, b), high = std::max(a, b);
          return 0.4 * std::sin(static_cast<double>(index / (A * A) + 7 * low + 31 * high)) + (a == b ? 1 : 0);
        })) {
    const std::int64_t most = std::min(s.N, s.C), P = s.of_class, behind = s.C * P, rows = PendingTerms::rows_for(s.C, P, s.N);
    const bool has_behind = rows - behind > P;
    pending = {
        .count = p.integer_inout(
            "count_pending", {s.C},
            [=](Draw&, std::int64_t c) { return static_cast<double>(c == 0 && has_behind ? P + 1 : c % 2 * (1 + c % std::min<std::int64_t>(P, 4))); }),
        .first = p.integer_inout("first_pending", {s.C}, [=](Draw&, std::int64_t c) { return static_cast<double>(c == 0 && has_behind ? behind : c * P); }),
        .keep = p.parameter_inout("keep_pending", {s.C}, uniform(0.3, 1)),
        .rows = p.parameter_inout("rows_pending", {rows, s.A}, normal(0, 0.3)),
        .of_class = P};
    // NOTE: filled, since what is not used keeps what it held.
    prepared = {.slots = p.integer_output("slots", {s.C}),
                .members = p.integer_inout("members", {2 * most + 2 + s.N}, constant(-7)),
                .u = p.parameter_inout("u", {most, s.C, s.A}, constant(7)),
                .q = p.parameter_inout("q", {most, s.C}, constant(7))};
  }

  ConstView labels, weight;
  View covariance;
  PendingTerms pending;
  Prepared prepared;
};

// Tiny, one class, absent classes, ratio 0, every sample of one class; more terms than rows; wider than 128, ragged about tiles of features and classes.
const std::vector<Sizes> kShapes = {{1, 1, 1, 1},
                                    {5, 1, 7, 8, 0, 0},
                                    {9, 4, 5, 2, 2, 3, 0},
                                    {6, 3, 7, 4, 2, 2, 0.7, 0, true},
                                    {19, 13, 17, 2},
                                    {33, 6, 64, 40, 2, 2, 0.5, 1},
                                    {12, 30, 132, 3, 2, 2},
                                    {7, 5, 150, 3, 0, 0, 0.7, 0, true},
                                    {40, 133, 131, 5, 0, 0, 1.5, 2},
                                    {70, 3, 132, 3, 1, 2, 0.7, 1}};
const std::vector<Sizes> kBenchShapes = {{128, 100, 342, 11, 8, 8}, {128, 100, 640, 11, 8, 8}, {128, 100, 1024, 11, 8, 8}};

const Declare isda_prepare{CaseOf<Sizes>{
    .name = "isda_prepare",
    .shapes = kShapes,
    .bench_shapes = kBenchShapes,
    .make =
        [](Problem& p, const Sizes& s) {
          const Arguments of(p, s);
          p.forward(IsdaPrepare{.labels = of.labels, .weight = of.weight, .covariance = of.covariance, .pending = of.pending, .prepared = of.prepared});
        },
    .tolerance = {.f32 = 5e-6, .tf32 = kTf32Tolerance, .plain = 5e-6},
}};

const Declare isda_settle{CaseOf<Sizes>{
    .name = "isda_settle",
    .shapes = {{1, 1, 1, 1}, {9, 4, 5, 2}, {19, 13, 17, 2}, {12, 300, 70, 3}},
    .bench_shapes = {{128, 100, 640, 11}},
    .make =
        [](Problem& p, const Sizes& s) {
          const Arguments of(p, s);
          p.forward(IsdaSettle{.covariance = of.covariance, .pending = of.pending});
        },
    .tolerance = {.f32 = 2e-6},
}};

// Both halves, and then all that is pending: what IsdaHead leaves.
const Declare isda_prepared_head{CaseOf<Sizes>{
    .name = "isda_prepared_head",
    .shapes = kShapes,
    .bench_shapes = kBenchShapes,
    .make =
        [](Problem& p, const Sizes& s) {
          const Arguments of(p, s);
          const Shape x_shape = s.H > 0 ? Shape{s.N, s.H, s.W, s.A} : Shape{s.N, s.A};
          const ConstView x = p.input("x", x_shape, normal(1, 1));
          const ConstView bias = s.N % 2 ? p.parameter("bias", {s.C}) : ConstView();
          const ConstView ratio = p.parameter("ratio", {1}, constant(s.ratio));
          const View count = p.parameter_inout(
              "count", {s.C}, s.is_settled ? constant(1e18) : [](Draw& draw, std::int64_t) { return 17.0 * static_cast<double>(draw.below(4)); });
          const View mean = p.parameter_inout("mean", {s.C, s.A});
          const View loss = p.parameter_output("loss", {1});
          const View correct = p.integer_output("correct", {1});
          const View dx = p.output("dx", x_shape);
          const View dweight = p.parameter_output("dweight", {s.C, s.A});
          const View dbias = bias ? p.parameter_output("dbias", {s.C}) : View();
          p.forward(IsdaPrepare{.labels = of.labels, .weight = of.weight, .covariance = of.covariance, .pending = of.pending, .prepared = of.prepared});
          p.forward(IsdaPreparedHead{.x = x,
                                     .labels = of.labels,
                                     .weight = of.weight,
                                     .bias = bias,
                                     .ratio = ratio,
                                     .count = count,
                                     .mean = mean,
                                     .pending = of.pending,
                                     .prepared = of.prepared,
                                     .loss = loss,
                                     .correct = correct,
                                     .dx = dx,
                                     .dweight = dweight,
                                     .dbias = dbias});
          p.forward(IsdaSettle{.covariance = of.covariance, .pending = of.pending});
          // NOTE: differences take the definition a hundred times over, which large problems would make minutes of.
          if (s.N * s.C * s.A * s.A > 4000000) return;
          p.seed("loss");
          if (s.is_settled) p.gradient("x", "dx");
          p.gradient("weight", "dweight");
          if (bias) p.gradient("bias", "dbias");
        },
    .tolerance = {.f32 = 5e-6, .bf16 = 8e-3, .tf32 = kTf32Tolerance, .plain = 5e-6},
}};

}  // namespace
}  // namespace isda::kernels
