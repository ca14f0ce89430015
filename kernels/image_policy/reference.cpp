// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <functional>
#include <vector>

#include "kernels/common/grid.h"
#include "kernels/image_policy/image_policy.h"

namespace isda::kernels {

namespace {

struct Image {
  std::int64_t H, W;
  std::vector<int> bytes;  // (H,W,3)

  int& at(std::int64_t h, std::int64_t w, std::int64_t c) { return bytes[static_cast<std::size_t>((h * W + w) * 3 + c)]; }
  int at(std::int64_t h, std::int64_t w, std::int64_t c) const { return bytes[static_cast<std::size_t>((h * W + w) * 3 + c)]; }
  int grey_at(std::int64_t h, std::int64_t w) const { return grey(at(h, w, 0), at(h, w, 1), at(h, w, 2)); }
  bool has(std::int64_t h, std::int64_t w) const { return h >= 0 && h < H && w >= 0 && w < W; }
};

// Every byte by what is asked for it.
void set(Image& image, const std::function<int(std::int64_t h, std::int64_t w, std::int64_t c)>& value) {
  Image result = image;
  for (const auto [h, w, c] : grid(image.H, image.W, 3)) result.at(h, w, c) = value(h, w, c);
  image = result;
}

void moved(Image& image, const std::int32_t* a) {
  set(image, [&](std::int64_t y, std::int64_t x, std::int64_t c) {
    const std::int64_t column = (a[0] * x + a[1] * y + a[2]) >> 16, row = (a[3] * x + a[4] * y + a[5]) >> 16;
    return image.has(row, column) ? image.at(row, column, c) : kFill;
  });
}

using Histogram = std::array<std::int64_t, 256>;
using Values = std::array<int, 256>;

Histogram histogram_of(const Image& image, std::int64_t c) {
  Histogram counts{};
  for (const auto [h, w] : grid(image.H, image.W)) ++counts[static_cast<std::size_t>(image.at(h, w, c))];
  return counts;
}

Values unchanged() {
  Values values{};
  for (int v = 0; v < 256; ++v) values[static_cast<std::size_t>(v)] = v;
  return values;
}

int darkest(const Histogram& counts) {
  return static_cast<int>(std::find_if(counts.begin(), counts.end(), [](auto n) { return n > 0; }) - counts.begin());
}
int lightest(const Histogram& counts) {
  return 255 - static_cast<int>(std::find_if(counts.rbegin(), counts.rend(), [](auto n) { return n > 0; }) - counts.rbegin());
}

// PIL.ImageOps.autocontrast
Values autocontrasted(const Histogram& counts) {
  const int low = darkest(counts), high = lightest(counts);
  Values values = unchanged();
  if (high <= low) return values;
  const double scale = 255.0 / (high - low), offset = rounded_product<double>(-low, scale);
  for (int& value : values) value = std::clamp(static_cast<int>(rounded_product<double>(value, scale) + offset), 0, 255);
  return values;
}

// PIL.ImageOps.equalize
Values equalized(const Histogram& counts) {
  const int low = darkest(counts), high = lightest(counts);
  std::int64_t below_highest = 0;
  for (int v = 0; v < high; ++v) below_highest += counts[static_cast<std::size_t>(v)];
  const std::int64_t step = below_highest / 255;
  Values values = unchanged();
  if (low == high || step == 0) return values;
  std::int64_t n = step / 2;
  for (std::size_t v = 0; v < 256; ++v) {
    values[v] = static_cast<int>(std::min<std::int64_t>(n / step, 255));
    n += counts[v];
  }
  return values;
}

void by_histogram(Image& image, Values (*values_of)(const Histogram&)) {
  std::array<Values, 3> values;
  for (std::int64_t c = 0; c < 3; ++c) values[static_cast<std::size_t>(c)] = values_of(histogram_of(image, c));
  set(image, [&](auto h, auto w, auto c) { return values[static_cast<std::size_t>(c)][static_cast<std::size_t>(image.at(h, w, c))]; });
}

int mean_grey_of(const Image& image) {
  std::uint32_t sum = 0;
  for (const auto [h, w] : grid(image.H, image.W)) sum += static_cast<std::uint32_t>(image.grey_at(h, w));
  return mean_grey(sum, static_cast<std::uint32_t>(image.H * image.W));
}

// PIL.ImageFilter.SMOOTH: pixels at the border stay.
int smooth_at(const Image& image, std::int64_t h, std::int64_t w, std::int64_t c) {
  if (!image.has(h - 1, w - 1) || !image.has(h + 1, w + 1)) return image.at(h, w, c);
  int sum = 0;
  for (const auto [i, j] : grid(3, 3)) sum += image.at(h - 1 + i, w - 1 + j, c);
  return smooth(sum, image.at(h, w, c));
}

void apply(const DrawnStep& step, Image& image) {
  const float factor = step.factor;
  switch (step.operation) {
    case ImageOperation::identity: return;
    case ImageOperation::shear_x:
    case ImageOperation::shear_y:
    case ImageOperation::translate_x:
    case ImageOperation::translate_y:
    case ImageOperation::rotate: return moved(image, step.parameters);
    case ImageOperation::autocontrast: return by_histogram(image, autocontrasted);
    case ImageOperation::equalize: return by_histogram(image, equalized);
    case ImageOperation::invert: return set(image, [&](auto h, auto w, auto c) { return 255 - image.at(h, w, c); });
    case ImageOperation::posterize: return set(image, [&](auto h, auto w, auto c) { return posterized(image.at(h, w, c), step.parameters[0]); });
    case ImageOperation::solarize: return set(image, [&](auto h, auto w, auto c) { return solarized(image.at(h, w, c), step.parameters[0]); });
    case ImageOperation::solarize_add: return set(image, [&](auto h, auto w, auto c) { return solarize_added(image.at(h, w, c), step.parameters[0]); });
    case ImageOperation::color: return set(image, [&](auto h, auto w, auto c) { return blend(image.grey_at(h, w), image.at(h, w, c), factor); });
    case ImageOperation::contrast:
      return set(image, [&, mean = mean_grey_of(image)](auto h, auto w, auto c) { return blend(mean, image.at(h, w, c), factor); });
    case ImageOperation::brightness: return set(image, [&](auto h, auto w, auto c) { return blend(0, image.at(h, w, c), factor); });
    case ImageOperation::sharpness: return set(image, [&](auto h, auto w, auto c) { return blend(smooth_at(image, h, w, c), image.at(h, w, c), factor); });
  }
}

}  // namespace

void run(Reference, const Context&, const ImagePolicy& op) {
  CroppedImages::of(op).check_indices();
  const auto [N, H, W, C] = op.y.extents<4>();
  const std::int64_t S = op.steps.extent(1), R = op.rounds.extent(0);
  const auto epoch = static_cast<std::int32_t>(op.epoch.at(0));
  for (std::int64_t n = 0; n < N; ++n) {
    const auto index = static_cast<std::int32_t>(op.indices.at(n));
    const std::int64_t from = op.gathered_from > 0 ? n : index;

    // Crop and flip.
    const Crop crop = draw_crop(op.seed, epoch, index, op.padding, op.flip);
    Image image{H, W, std::vector<int>(static_cast<std::size_t>(H * W * C))};
    for (const auto [h, w, c] : grid(H, W, C)) {
      const std::int64_t row = reflect(h + crop.top - op.padding, H), column = reflect((crop.is_flipped ? W - 1 - w : w) + crop.left - op.padding, W);
      image.at(h, w, c) = static_cast<int>(op.images.at(from, row, column, c));
    }

    // Each round's sub-policy, step by step.
    for (std::int64_t r = 0; r < R; ++r) {
      const auto first = static_cast<std::int64_t>(op.rounds.at(r, 0));
      const auto count = static_cast<std::uint32_t>(op.rounds.at(r, 1));
      const std::int64_t chosen = first + uniform_below(draw_policy(op.seed, epoch, index, static_cast<int>(r), 0)[2], count);
      for (std::int64_t s = 0; s < S; ++s) {
        const std::int32_t* step = op.steps.as<std::int32_t>() + (chosen * S + s) * PolicyTable::kWords;
        apply(draw_step(step, draw_policy(op.seed, epoch, index, static_cast<int>(r), static_cast<int>(s))), image);
      }
    }
    for (const auto [h, w, c] : grid(H, W, C)) op.y.set(image.at(h, w, c), n, h, w, c);
  }
}

}  // namespace isda::kernels
