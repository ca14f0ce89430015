// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels/common/case.h"
#include "kernels/isda_draw/isda_draw.h"

namespace isda::kernels {
namespace {

struct Sizes {
  std::int64_t N, C, A, M;
  bool is_full = true;
  double ratio = 0.7;
  std::int64_t R = 0;  // directions; 0: full or diagonal
};

Shape covariance_shape(const Sizes& s) {
  if (s.R > 0) return {s.C, 1 + s.R, s.A};
  return s.is_full ? Shape{s.C, s.A, s.A} : Shape{s.C, s.A};
}

// NOTE: far from singular, so that f32 and f64 find the same pivots; of singular ones a test looks at what the draws amount to.
Fill covariances(const Sizes& s) {
  if (!s.is_full || s.R > 0) return uniform(0, 1);
  return [A = s.A](Draw&, std::int64_t index) {
    const std::int64_t a = index / A % A, b = index % A, low = std::min(a, b), high = std::max(a, b);
    return 0.3 * std::sin(static_cast<double>(index / (A * A) + 7 * low + 31 * high)) / std::sqrt(static_cast<double>(A)) + (a == b ? 4 : 0);
  };
}

// Tiny, ragged about eights of draws and 128 features, absent classes, ratio 0.
const Declare isda_draw{CaseOf<Sizes>{
    .name = "isda_draw",
    .shapes = {{1, 1, 1, 1},
               {3, 2, 5, 3},
               {9, 4, 18, 9},
               {4, 30, 64, 8},
               {5, 3, 7, 2, true, 0},
               {3, 2, 131, 17},
               {1, 1, 1, 1, false},
               {9, 4, 18, 3, false},
               {4, 3, 131, 9, false},
               {5, 3, 7, 2, false, 0},
               {1, 1, 3, 1, true, 0.7, 1},
               {5, 4, 18, 9, true, 0.7, 5},
               {3, 2, 200, 3, true, 0.7, 131}},
    .bench_shapes = {{128, 10, 64, 8}, {128, 100, 64, 8}, {128, 100, 640, 8}, {128, 100, 640, 8, false}},
    .make =
        [](Problem& p, const Sizes& s) {
          const ConstView features = p.parameter("features", {s.N, s.A});
          const ConstView labels = p.labels("labels", s.N, s.C);
          const ConstView covariance = p.parameter("covariance", covariance_shape(s), covariances(s));
          const ConstView ratio = p.parameter("ratio", {1}, constant(s.ratio));
          const View step = p.integer_inout("step", {1}, constant(41));
          const View drawn = p.parameter_output("drawn", {s.N * s.M, s.A});
          const View labels_of_drawn = p.integer_output("labels_of_drawn", {s.N * s.M});
          p.forward(IsdaDraw{.features = features,
                             .labels = labels,
                             .covariance = covariance,
                             .ratio = ratio,
                             .step = step,
                             .draws = s.M,
                             .seed = 7,
                             .drawn = drawn,
                             .labels_of_drawn = labels_of_drawn});
          const ConstView ddrawn = p.parameter("ddrawn", {s.N * s.M, s.A});
          const View dfeatures = p.parameter_output("dfeatures", {s.N, s.A});
          p.backward(IsdaDrawBackward{.ddrawn = ddrawn, .dfeatures = dfeatures});
          p.seed("drawn", "ddrawn");
          p.gradient("features", "dfeatures");
        },
    .tolerance = {.f32 = 3e-6},
}};

}  // namespace
}  // namespace isda::kernels
