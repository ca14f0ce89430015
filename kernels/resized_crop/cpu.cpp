// SPDX-License-Identifier: Apache-2.0
// One image at a time per thread. Along the rows, of which only those are made that the columns need, the channels of a pixel lie in a register side by side,
// three of them as four, of which the last is nothing. Down the columns a row of y is a sum of whole rows, each times a weight. Bound by arithmetic: four
// instructions a tap of a pixel along the rows, and a third of one a tap of a byte down the columns.
#include <algorithm>
#include <cstring>

#include "kernels/common/parallel.h"
#include "kernels/resized_crop/resized_crop.h"

namespace isda::kernels {

namespace {

// Four sums side by side, of the channels of a pixel.
using Sums = std::int32_t __attribute__((vector_size(16)));
// Bytes of a row of y that are made at a time; and how many may be read and written behind what counts.
constexpr std::int64_t kStrip = 64, kPadding = 16;

Sums four_bytes(const std::uint8_t* from) {
  using Bytes = std::uint8_t __attribute__((vector_size(16)));
  Bytes bytes{};
  std::memcpy(&bytes, from, 4);
#if defined(__clang__)
  return reinterpret_cast<Sums>(__builtin_shufflevector(bytes, Bytes{}, 0, 16, 16, 16, 1, 16, 16, 16, 2, 16, 16, 16, 3, 16, 16, 16));
#else
  // NOTE: GCC 12 makes of __builtin_convertvector a dozen instructions, of this one.
  return reinterpret_cast<Sums>(__builtin_shuffle(bytes, Bytes{}, Bytes{0, 16, 16, 16, 1, 16, 16, 16, 2, 16, 16, 16, 3, 16, 16, 16}));
#endif
}

void store_rounded(std::uint8_t* to, Sums sums) {
  using Bytes = std::uint8_t __attribute__((vector_size(4)));
  sums = (sums + (1 << (kWeightBits - 1))) >> kWeightBits;
  const Bytes bytes = __builtin_convertvector(sums, Bytes);
  std::memcpy(to, &bytes, 4);
}

// The taps of a line of outputs, `most` weights for each. All are given as many taps as the one that has most, the others weights of 0: so that the loop over
// them has no end that a processor would have to guess.
struct Line {
  Taps* taps;
  std::int32_t* weights;
  int most;
  int count = 0;

  void make(std::int64_t extent, float begin, float end, std::int64_t outputs) {
    count = 0;
    for (std::int64_t j = 0; j < outputs; ++j) {
      std::int32_t* const own = weights + j * most;
      std::fill_n(own, most, 0);
      taps[j] = make_taps(static_cast<int>(extent), begin, end, static_cast<int>(outputs), static_cast<int>(j), most,
                          [own](int k, std::int32_t weight) { own[k] = weight; });
      count = std::max(count, taps[j].count);
    }
    for (std::int64_t j = 0; j < outputs; ++j) {
      const int beyond = std::max(taps[j].first + count - static_cast<int>(extent), 0);
      std::rotate(weights + j * most, weights + j * most + most - beyond, weights + (j + 1) * most);
      taps[j] = {taps[j].first - beyond, count};
    }
  }
};

// The temporaries of a thread.
struct Room {
  Line rows, columns;
  std::uint8_t* last_row;  // of x, with what may be read behind it
  std::uint8_t* between;   // (H,w*C)
};

// A row of w pixels of three or four channels from one of x, mirrored or not. Of three, each pixel writes over what the one before left too much.
// known_count: of the taps; 0 where it is for `rows` to say.
template <int known_count>
void along_row(const Line& rows, const std::uint8_t* x, std::int64_t C, std::int64_t w, bool is_flipped, std::uint8_t* t) {
  const int count = known_count > 0 ? known_count : rows.count;
  for (std::int64_t place = 0; place < w; ++place) {
    const std::int64_t j = is_flipped ? w - 1 - place : place;
    const std::int32_t* weights = rows.weights + j * rows.most;
    const std::uint8_t* from = x + rows.taps[j].first * C;
    Sums sums{};
    for (int k = 0; k < count; ++k) sums += weights[k] * four_bytes(from + k * C);
    store_rounded(t + place * C, sums);
  }
}

void along_row_of_any(const Line& rows, const std::uint8_t* x, std::int64_t C, std::int64_t w, bool is_flipped, std::uint8_t* t) {
  if (C == 3 || C == 4) {
    switch (rows.count) {
      case 2: return along_row<2>(rows, x, C, w, is_flipped, t);
      case 3: return along_row<3>(rows, x, C, w, is_flipped, t);
      case 4: return along_row<4>(rows, x, C, w, is_flipped, t);
      case 5: return along_row<5>(rows, x, C, w, is_flipped, t);
      default: return along_row<0>(rows, x, C, w, is_flipped, t);
    }
  }
  for (std::int64_t place = 0; place < w; ++place) {
    const std::int64_t j = is_flipped ? w - 1 - place : place;
    const Taps taps = rows.taps[j];
    for (std::int64_t c = 0; c < C; ++c) {
      std::int32_t sum = 0;
      for (int k = 0; k < taps.count; ++k) sum += rows.weights[j * rows.most + k] * x[(taps.first + k) * C + c];
      t[place * C + c] = rounded_byte(sum);
    }
  }
}

// A row of y from whole rows, the first of which belongs to the first tap.
void down_columns(Taps taps, const std::int32_t* weights, const std::uint8_t* rows, std::int64_t size, std::uint8_t* y) {
  std::int64_t e = 0;
  for (; e + kStrip <= size; e += kStrip) {
    std::int32_t sums[kStrip] = {};
    for (int k = 0; k < taps.count; ++k) {
      const std::uint8_t* row = rows + k * size + e;
      for (std::int64_t l = 0; l < kStrip; ++l) sums[l] += weights[k] * row[l];
    }
    for (std::int64_t l = 0; l < kStrip; ++l) y[e + l] = rounded_byte(sums[l]);
  }
  for (; e < size; ++e) {
    std::int32_t sum = 0;
    for (int k = 0; k < taps.count; ++k) sum += weights[k] * rows[k * size + e];
    y[e] = rounded_byte(sum);
  }
}

}  // namespace

void run(Cpu, const Context& context, const ResizedCrop& op) {
  check_boxes(op);
  const auto [N, H, W, C] = op.x.extents<4>();
  const std::int64_t h = op.y.extent(1), w = op.y.extent(2), threads = std::min<std::int64_t>(context.threads(), N);
  Scratch scratch = context.scratch();
  const auto line = [&](std::int64_t extent, std::int64_t outputs) {
    const int most = most_taps(extent, outputs);
    return Line{scratch.take<Taps>(outputs), scratch.take<std::int32_t>(outputs * most), most};
  };
  Room* rooms = scratch.take<Room>(threads);
  for (std::int64_t thread = 0; thread < threads; ++thread) {
    rooms[thread] = {.rows = line(W, w),
                     .columns = line(H, h),
                     .last_row = scratch.take<std::uint8_t>(W * C + kPadding),
                     .between = scratch.take<std::uint8_t>(H * w * C + kPadding)};
    std::memset(rooms[thread].last_row + W * C, 0, kPadding);
  }
  parallel_for(context, N, [&, H = H, W = W, C = C](std::int64_t n, int thread) {
    auto& [rows, columns, last_row, between] = rooms[thread];
    const float* box = op.boxes.as<float>() + 4 * n;
    rows.make(W, box[0], box[2], w);
    columns.make(H, box[1], box[3], h);
    const bool is_flipped = op.flips.as<std::int32_t>()[n] != 0;
    const std::int64_t first = columns.taps[0].first, end = columns.taps[h - 1].first + columns.count;
    const std::uint8_t* x = op.x.as<std::uint8_t>() + n * H * W * C;
    for (std::int64_t v = first; v < end; ++v) {
      const std::uint8_t* row = x + v * W * C;
      if (v == H - 1) row = static_cast<const std::uint8_t*>(std::memcpy(last_row, row, static_cast<std::size_t>(W * C)));
      along_row_of_any(rows, row, C, w, is_flipped, between + (v - first) * w * C);
    }
    std::uint8_t* y = op.y.as<std::uint8_t>() + n * h * w * C;
    for (std::int64_t i = 0; i < h; ++i) {
      const Taps taps = columns.taps[i];
      down_columns(taps, columns.weights + i * columns.most, between + (taps.first - first) * w * C, w * C, y + i * w * C);
    }
  });
}

}  // namespace isda::kernels
