// SPDX-License-Identifier: Apache-2.0
// One image at a time per thread. A row of y is W*C elements in order: where each comes from within a row of the image is a
// table made once per image, mean and scale are tiled to a row once per call, so that the arithmetic is one vectorised loop.
// bf16 too, for a card that is given images from the host.
#include <algorithm>

#include "kernels/augment/augment.h"
#include "kernels/common/check.h"
#include "kernels/common/parallel.h"

namespace isda::kernels {

namespace {

template <class T>
void augment(const Context& context, const Augment& op) {
  const auto [N, H, W, C] = op.y.extents<4>();
  const std::int64_t row_size = W * C;
  const std::uint8_t* images = op.images.as<std::uint8_t>();
  const std::int32_t* indices = op.indices.as<std::int32_t>();
  const std::int32_t epoch = *op.epoch.as<std::int32_t>();
  Scratch scratch = context.scratch();

  // Tile the constants of the channels to a row.
  float* mean = scratch.take<float>(row_size);
  float* scale = scratch.take<float>(row_size);
  for (std::int64_t i = 0; i < row_size; ++i) {
    mean[i] = op.mean.as<float>()[i % C];
    scale[i] = 1.0f / op.deviation.as<float>()[i % C];
  }

  auto* sources_of_threads = scratch.take<std::int32_t>(context.threads() * row_size);
  auto* rows_of_threads = scratch.take<std::uint8_t>(context.threads() * row_size);
  parallel_for(context, N, [&, H = H, W = W, C = C](std::int64_t n, int thread) {
    const Crop crop = draw_crop(op.seed, epoch, indices[n], op.padding, op.flip);
    const std::int64_t from = op.gathered_from > 0 ? n : indices[n];

    // Where in a row of the image each element of a row of y comes from.
    std::int32_t* sources = sources_of_threads + thread * row_size;
    for (std::int64_t w = 0; w < W; ++w) {
      const std::int64_t column = reflect((crop.is_flipped ? W - 1 - w : w) + crop.left - op.padding, W);
      for (std::int64_t c = 0; c < C; ++c) sources[w * C + c] = static_cast<std::int32_t>(column * C + c);
    }

    // Gather each row as bytes, where it is not as it stands, then normalise it.
    const bool is_moved = crop.is_flipped || op.padding > 0;
    std::uint8_t* gathered = rows_of_threads + thread * row_size;
    T* y = op.y.as<T>() + n * H * row_size;
    for (std::int64_t h = 0; h < H; ++h) {
      const std::uint8_t* row = images + (from * H + reflect(h + crop.top - op.padding, H)) * row_size;
      if (is_moved) {
        for (std::int64_t i = 0; i < row_size; ++i) gathered[i] = row[sources[i]];
      }
      const std::uint8_t* bytes = is_moved ? gathered : row;
      for (std::int64_t i = 0; i < row_size; ++i) y[h * row_size + i] = T((static_cast<float>(bytes[i]) - mean[i]) * scale[i]);
    }

    // Cut the holes.
    for (int hole = 0; hole < op.holes; ++hole) {
      const Hole cut = draw_hole(op.seed, epoch, indices[n], hole, op.hole_length, static_cast<int>(H), static_cast<int>(W));
      for (int h = cut.top; h < cut.bottom; ++h) std::fill(y + h * row_size + cut.left * C, y + h * row_size + cut.right * C, T(0));
    }
  });
}

}  // namespace

void run(Cpu, const Context& context, const Augment& op) {
  CroppedImages::of(op).check_indices();
  if (op.y.type() == DType::bf16) return augment<bf16>(context, op);
  check_cpu(op.name, op.y);
  augment<float>(context, op);
}

}  // namespace isda::kernels
