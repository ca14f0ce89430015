// SPDX-License-Identifier: Apache-2.0
// One image at a time per thread, between two buffers of its size. What depends on a byte alone is a table of 256 bytes a channel, and so are the blends with
// one value; the two blends with another image have a table of the 511 products of the factor with a difference, which keeps product and sum apart, too.
#include <algorithm>
#include <array>
#include <utility>

#include "kernels/common/parallel.h"
#include "kernels/image_policy/image_policy.h"

namespace isda::kernels {

namespace {

using Byte = std::uint8_t;
using Table = std::array<Byte, 256>;
using Tables = std::array<Table, 3>;
using Histogram = std::array<std::int64_t, 256>;

// One image under way.
class Canvas {
 public:
  Canvas(std::int64_t H, std::int64_t W, Byte* image, Byte* other) : H_(H), W_(W), image_(image), other_(other) {}

  const Byte* image() const { return image_; }
  void apply(const DrawnStep& step);

 private:
  std::int64_t size() const { return H_ * W_ * 3; }

  void move(const std::int32_t* a);
  void by_tables(const Tables& tables);
  template <class Value>
  void by_value(Value&& value);
  template <class Change>
  void by_histogram(Change&& change);
  void colour(float factor);
  void sharpen(float factor);
  int mean() const;

  std::int64_t H_, W_;
  Byte *image_, *other_;
};

void Canvas::move(const std::int32_t* a) {
  Byte* to = other_;
  for (std::int64_t y = 0; y < H_; ++y) {
    std::int32_t column = static_cast<std::int32_t>(a[1] * y + a[2]), row = static_cast<std::int32_t>(a[4] * y + a[5]);
    for (std::int64_t x = 0; x < W_; ++x, to += 3, column += a[0], row += a[3]) {
      const std::int32_t w = column >> 16, h = row >> 16;
      if (w >= 0 && w < W_ && h >= 0 && h < H_)
        std::copy_n(image_ + (h * W_ + w) * 3, 3, to);
      else
        std::fill_n(to, 3, Byte{kFill});
    }
  }
  std::swap(image_, other_);
}

void Canvas::by_tables(const Tables& tables) {
  for (std::int64_t i = 0; i < size(); i += 3) {
    for (std::size_t c = 0; c < 3; ++c) image_[i + static_cast<std::int64_t>(c)] = tables[c][image_[i + static_cast<std::int64_t>(c)]];
  }
}

// value(byte) of each byte.
template <class Value>
void Canvas::by_value(Value&& value) {
  Table table;
  for (int v = 0; v < 256; ++v) table[static_cast<std::size_t>(v)] = static_cast<Byte>(value(v));
  for (std::int64_t i = 0; i < size(); ++i) image_[i] = table[image_[i]];
}

// change(histogram, least, largest byte, table), which begins as no change, where a channel has more than one byte.
template <class Change>
void Canvas::by_histogram(Change&& change) {
  std::array<Histogram, 3> counts{};
  for (std::int64_t i = 0; i < size(); i += 3) {
    for (std::size_t c = 0; c < 3; ++c) ++counts[c][image_[i + static_cast<std::int64_t>(c)]];
  }
  Tables tables;
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t v = 0; v < 256; ++v) tables[c][v] = static_cast<Byte>(v);
    int low = 0, high = 255;
    while (counts[c][static_cast<std::size_t>(low)] == 0) ++low;
    while (counts[c][static_cast<std::size_t>(high)] == 0) --high;
    if (low < high) change(counts[c], low, high, tables[c]);
  }
  by_tables(tables);
}

void stretch(const Histogram&, int low, int high, Table& table) {
  const double scale = 255.0 / (high - low), offset = rounded_product<double>(-low, scale);
  for (int v = 0; v < 256; ++v) {
    table[static_cast<std::size_t>(v)] = static_cast<Byte>(std::clamp(static_cast<int>(rounded_product<double>(v, scale) + offset), 0, 255));
  }
}

void equalize(const Histogram& counts, int, int high, Table& table) {
  std::int64_t below_highest = 0;
  for (int v = 0; v < high; ++v) below_highest += counts[static_cast<std::size_t>(v)];
  const std::int64_t step = below_highest / 255;
  if (step == 0) return;
  std::int64_t n = step / 2;
  for (std::size_t v = 0; v < 256; ++v) {
    table[v] = static_cast<Byte>(std::min<std::int64_t>(n / step, 255));
    n += counts[v];
  }
}

// factor * difference, for a difference from -255 to 255 at 255 + difference.
std::array<float, 511> products_of(float factor) {
  std::array<float, 511> products;
  for (int difference = -255; difference <= 255; ++difference) {
    products[static_cast<std::size_t>(255 + difference)] = rounded_product(factor, static_cast<float>(difference));
  }
  return products;
}

void Canvas::colour(float factor) {
  const auto products = products_of(factor);
  for (Byte* pixel = image_; pixel != image_ + size(); pixel += 3) {
    const int middle = grey(pixel[0], pixel[1], pixel[2]);
    for (int c = 0; c < 3; ++c) pixel[c] = static_cast<Byte>(cut(static_cast<float>(middle) + products[static_cast<std::size_t>(255 + pixel[c] - middle)]));
  }
}

void Canvas::sharpen(float factor) {
  const auto products = products_of(factor);
  std::copy_n(image_, size(), other_);
  const std::int64_t row = W_ * 3;
  for (std::int64_t h = 1; h + 1 < H_; ++h) {
    for (std::int64_t i = h * row + 3; i < (h + 1) * row - 3; ++i) {
      const Byte* p = image_ + i;
      const int sum = p[-row - 3] + p[-row] + p[-row + 3] + p[-3] + p[0] + p[3] + p[row - 3] + p[row] + p[row + 3];
      const int blurred = smooth(sum, p[0]);
      other_[i] = static_cast<Byte>(cut(static_cast<float>(blurred) + products[static_cast<std::size_t>(255 + p[0] - blurred)]));
    }
  }
  std::swap(image_, other_);
}

int Canvas::mean() const {
  std::uint32_t sum = 0;
  for (const Byte* pixel = image_; pixel != image_ + size(); pixel += 3) sum += static_cast<std::uint32_t>(grey(pixel[0], pixel[1], pixel[2]));
  return mean_grey(sum, static_cast<std::uint32_t>(H_ * W_));
}

void Canvas::apply(const DrawnStep& step) {
  const auto blended_with = [&](int a) { by_value([a, f = step.factor](int v) { return blend(a, v, f); }); };
  switch (step.operation) {
    case ImageOperation::identity: return;
    case ImageOperation::shear_x:
    case ImageOperation::shear_y:
    case ImageOperation::translate_x:
    case ImageOperation::translate_y:
    case ImageOperation::rotate: return move(step.parameters);
    case ImageOperation::autocontrast: return by_histogram(stretch);
    case ImageOperation::equalize: return by_histogram(equalize);
    case ImageOperation::invert: return by_value([](int v) { return 255 - v; });
    case ImageOperation::posterize: return by_value([bits = step.parameters[0]](int v) { return posterized(v, bits); });
    case ImageOperation::solarize: return by_value([threshold = step.parameters[0]](int v) { return solarized(v, threshold); });
    case ImageOperation::solarize_add: return by_value([added = step.parameters[0]](int v) { return solarize_added(v, added); });
    case ImageOperation::color: return colour(step.factor);
    case ImageOperation::contrast: return blended_with(mean());
    case ImageOperation::brightness: return blended_with(0);
    case ImageOperation::sharpness: return sharpen(step.factor);
  }
}

// Crop and flip into `to`, a pixel at a time.
void crop_into(const ImagePolicy& op, const Crop& crop, const Byte* from, Byte* to) {
  const auto [N, H, W, C] = op.y.extents<4>();
  for (std::int64_t h = 0; h < H; ++h) {
    const Byte* row = from + reflect(h + crop.top - op.padding, H) * W * C;
    for (std::int64_t w = 0; w < W; ++w, to += C) std::copy_n(row + reflect((crop.is_flipped ? W - 1 - w : w) + crop.left - op.padding, W) * C, C, to);
  }
}

}  // namespace

void run(Cpu, const Context& context, const ImagePolicy& op) {
  CroppedImages::of(op).check_indices();
  const auto [N, H, W, C] = op.y.extents<4>();
  const std::int64_t size = H * W * C, S = op.steps.extent(1), R = op.rounds.extent(0);
  const auto* indices = op.indices.as<std::int32_t>();
  const auto *steps = op.steps.as<std::int32_t>(), *rounds = op.rounds.as<std::int32_t>();
  const std::int32_t epoch = *op.epoch.as<std::int32_t>();
  Scratch scratch = context.scratch();
  Byte* buffers = scratch.take<Byte>(2 * size * context.threads());
  parallel_for(context, N, [&, H = H, W = W](std::int64_t n, int thread) {
    const std::int32_t index = indices[n];
    Byte* buffer = buffers + 2 * size * thread;
    crop_into(op, draw_crop(op.seed, epoch, index, op.padding, op.flip), op.images.as<Byte>() + (op.gathered_from > 0 ? n : index) * size, buffer);
    Canvas canvas(H, W, buffer, buffer + size);
    for (std::int64_t r = 0; r < R; ++r) {
      const auto draw = [&](std::int64_t s) { return draw_policy(op.seed, epoch, index, static_cast<int>(r), static_cast<int>(s)); };
      const std::int64_t chosen = rounds[2 * r] + uniform_below(draw(0)[2], static_cast<std::uint32_t>(rounds[2 * r + 1]));
      for (std::int64_t s = 0; s < S; ++s) canvas.apply(draw_step(steps + (chosen * S + s) * PolicyTable::kWords, draw(s)));
    }
    std::copy_n(canvas.image(), size, op.y.as<Byte>() + n * size);
  });
}

}  // namespace isda::kernels
