// SPDX-License-Identifier: Apache-2.0
// A box of an image, brought to another size: bilinear, with the filter as wide as a pixel of the result where that is the larger, so that nothing aliases.
// Bit for bit Pillow's Image.resize((w,h), BILINEAR, box), which torchvision's transforms call.
//
//   x (N,H,W,C) u8      boxes (N,4) f32: left, top, right, bottom, in pixels of x      flips (N) i32, 1 = mirrored      y (N,h,w,C) u8
//   t[n,v,j,c] = round(sum over u of a[n,j,u] x[n,v,u,c])      along the rows, to a byte
//   y[n,i,j,c] = round(sum over v of b[n,i,v] t[n,v,j',c])     down the columns;  j' = j, or w-1-j in a mirrored image
//   a[j,u] = max(0, 1 - |u + 1/2 - z| / f), divided by their sum over u;   z = left + (j + 1/2) s,  s = (right - left) / w,  f = max(s, 1);  b likewise
//   FLOP 2 C (rows of x under the box * w * taps of a row + h * w * taps of a column)       bytes  the box once, y once
//
// A weight is an integer in units of 2^-22, so that every device gives the same bytes. The filter looks up to f pixels beyond the box, where x has them.
// A box is within x, and right and bottom are beyond left and top: else an Error where the host reads the boxes. The cuda device, where it does not, takes of
// such a box what is within x, and nothing where that is nothing.
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/common/operation.h"
#include "kernels/common/philox.h"

namespace isda::kernels {

struct ResizedCrop {
  static constexpr auto name = "resized_crop";
  ConstView x;      // (N,H,W,C)
  ConstView boxes;  // (N,4)
  ConstView flips;  // (N)
  View y;           // (N,h,w,C), overwritten
};
ISDA_OPERATION(ResizedCrop);

// Throws Error when a box is not within x. Reads the boxes, so host versions call it and check() does not.
void check_boxes(const ResizedCrop&);

// ---- the weights ----

inline constexpr int kWeightBits = 22;

// The pixels that an output is made of: `count` of them from `first` on.
struct Taps {
  int first = 0, count = 0;
};

// No output of `outputs` from at most `extent` pixels has more taps.
constexpr int most_taps(std::int64_t extent, std::int64_t outputs) {
  return 2 * static_cast<int>(extent <= outputs ? 1 : (extent + outputs - 1) / outputs) + 1;
}

// The taps of output `index` of `outputs` from [begin, end) of a line of `extent` pixels, at most `most` of them; put(k, weight) takes each weight.
// NOTE: fma where a product is added, so that no compiler chooses; a template, since it is no constant expression.
template <class Put>
constexpr Taps make_taps(int extent, float begin, float end, int outputs, int index, int most, Put&& put) {
  const double step = static_cast<double>(end - begin) / outputs, reach = step > 1 ? step : 1, inverse = 1 / reach;
  const double centre = ::fma(index + 0.5, step, static_cast<double>(begin));
  // NOTE: also a box that is no number ends within the line.
  const double low = centre - reach + 0.5, high = centre + reach + 0.5;
  const int first = low > 0 ? (low < extent ? static_cast<int>(low) : extent) : 0;
  const int last = high > first ? (high < extent ? static_cast<int>(high) : extent) : first;
  const int count = last - first < most ? last - first : most;
  const auto share = [&](int k) {
    const double distance = k + first - centre + 0.5, weight = ::fma(-(distance < 0 ? -distance : distance), inverse, 1.0);
    return weight > 0 ? weight : 0;
  };
  double sum = 0;
  for (int k = 0; k < count; ++k) sum += share(k);
  for (int k = 0; k < count; ++k) put(k, sum > 0 ? static_cast<std::int32_t>(0.5 + share(k) / sum * (1 << kWeightBits)) : 0);
  return {first, count};
}

// From a sum of weighted bytes to a byte.
// NOTE: which it is without being cut off: no weight is negative, and those of 2^14 pixels, the most, add up to 1 and at most 2^13 units of rounding, where it
// takes 2^22 / 510 for half a byte.
constexpr std::uint8_t rounded_byte(std::int32_t sum) { return static_cast<std::uint8_t>((sum + (1 << (kWeightBits - 1))) >> kWeightBits); }

// ---- where a training image is cropped ----

struct CropBox {
  std::int64_t left = 0, top = 0, width = 0, height = 0;
  bool is_flipped = false;
};

// As torchvision's RandomResizedCrop draws it (Szegedy et al., Going Deeper with Convolutions, 2014, section 6): an area of 0.08 to 1 of the image's, an aspect
// ratio of 3/4 to 4/3, uniform in its logarithm, and a place; ten attempts, then the largest box in the middle of a ratio within these. And a flip, with
// probability 1/2. A function of (seed, epoch, index) and the image's size alone.
CropBox draw_crop_box(std::uint64_t seed, std::int32_t epoch, std::int32_t index, std::int64_t height, std::int64_t width);

}  // namespace isda::kernels
