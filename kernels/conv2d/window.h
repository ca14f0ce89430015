// SPDX-License-Identifier: Apache-2.0
// The packed copy of a part of an image that the multiply kernels read: f(x) applied, zeros where the image ends.
#pragma once
#include <cstdint>

#include "kernels/conv2d/microkernels.h"

namespace isda::kernels::conv2d {

// An array (N, rows, columns, channels) and what is done to it on load.
struct Source {
  std::int64_t rows, columns, channels;  // channels of all groups
  std::int64_t groups;
  PackRow load;  // source, scale, shift, second, second_scale, relu: of image 0 and channel 0

  std::int64_t group_channels() const { return channels / groups; }
};

// A half-open range of indices; may reach beyond the image on either side.
struct Span {
  std::int64_t begin, end;
  std::int64_t extent() const { return end - begin; }
};

// Copies row `row` and the columns of one image and group to `packed`: [columns][channels of the group], then zeros up to `pitch` floats.
void pack_window_row(const Microkernels& kernels, const Source& source, std::int64_t image, std::int64_t group, std::int64_t row, Span columns, float* packed,
                     std::int64_t pitch);

}  // namespace isda::kernels::conv2d
