// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "kernels/common/grid.h"
#include "kernels/resized_crop/resized_crop.h"

namespace isda::kernels {

namespace {

// What each of `outputs` is made of, and with which weights.
struct Line {
  std::vector<Taps> taps;
  std::vector<std::vector<std::int32_t>> weights;

  Line(std::int64_t extent, double begin, double end, std::int64_t outputs) : weights(static_cast<std::size_t>(outputs)) {
    for (std::size_t j = 0; j < weights.size(); ++j) {
      taps.push_back(make_taps(static_cast<int>(extent), static_cast<float>(begin), static_cast<float>(end), static_cast<int>(outputs), static_cast<int>(j),
                               most_taps(extent, outputs), [&](int, std::int32_t weight) { weights[j].push_back(weight); }));
    }
  }

  // The weighted sum of output j over at(u), as a byte.
  template <class At>
  double byte(std::int64_t j, const At& at) const {
    const auto output = static_cast<std::size_t>(j);
    std::int32_t sum = 0;
    for (std::size_t k = 0; k < weights[output].size(); ++k) {
      sum += weights[output][k] * static_cast<std::int32_t>(at(taps[output].first + static_cast<std::int64_t>(k)));
    }
    return rounded_byte(sum);
  }
};

}  // namespace

void run(Reference, const Context&, const ResizedCrop& op) {
  check_boxes(op);
  const auto [N, H, W, C] = op.x.extents<4>();
  const std::int64_t h = op.y.extent(1), w = op.y.extent(2);
  for (std::int64_t n = 0; n < N; ++n) {
    const Line rows(W, op.boxes.at(n, 0), op.boxes.at(n, 2), w), columns(H, op.boxes.at(n, 1), op.boxes.at(n, 3), h);
    std::vector<double> t(static_cast<std::size_t>(H * w * C));
    const auto t_at = [&, C = C](std::int64_t v, std::int64_t j, std::int64_t c) -> double& { return t[static_cast<std::size_t>((v * w + j) * C + c)]; };
    for (const auto [v, j, c] : grid(H, w, C)) {
      t_at(v, j, c) = rows.byte(j, [&, n = n, v = v, c = c](std::int64_t u) { return op.x.at(n, v, u, c); });
    }
    const bool is_flipped = op.flips.at(n) != 0;
    for (const auto [i, j, c] : grid(h, w, C)) {
      op.y.set(columns.byte(i, [&, j = j, c = c](std::int64_t v) { return t_at(v, is_flipped ? w - 1 - j : j, c); }), n, i, j, c);
    }
  }
}

}  // namespace isda::kernels
