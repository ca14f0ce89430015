// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv2d/window.h"

#include <algorithm>

namespace isda::kernels::conv2d {

void pack_window_row(const Microkernels& kernels, const Source& source, std::int64_t image, std::int64_t group, std::int64_t row, Span columns, float* packed,
                     std::int64_t pitch) {
  // NOTE: zeros stand for padding after f(x), so they are written and never computed.
  if (row < 0 || row >= source.rows) {
    std::fill_n(packed, pitch, 0.0f);
    return;
  }
  const std::int64_t channels = source.group_channels();
  const std::int64_t first = std::clamp<std::int64_t>(columns.begin, 0, source.columns);
  const std::int64_t last = std::clamp<std::int64_t>(columns.end, first, source.columns);
  const std::int64_t left = std::clamp<std::int64_t>(first - columns.begin, 0, columns.extent());
  const std::int64_t filled = left + last - first;
  std::fill_n(packed, left * channels, 0.0f);
  std::fill_n(packed + filled * channels, pitch - filled * channels, 0.0f);
  if (first == last) return;

  const std::int64_t offset = ((image * source.rows + row) * source.columns + first) * source.channels + group * channels;
  PackRow load = source.load;
  load.source += offset;
  load.source_step = source.channels;
  load.pixels = last - first;
  load.channels = channels;
  load.packed = packed + left * channels;
  if (load.scale) {
    load.scale += group * channels;
    load.shift += group * channels;
  } else if (source.groups == 1) {
    // Without constants by channel the row is one long pixel.
    load.channels *= load.pixels;
    load.pixels = 1;
  }
  if (load.second) {
    load.second += offset;
    load.second_scale += group * channels;
  }
  kernels.pack_row(load);
}

}  // namespace isda::kernels::conv2d
