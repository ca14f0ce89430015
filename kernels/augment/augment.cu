// SPDX-License-Identifier: Apache-2.0
// A batch of training images on the card, from the bytes of the whole data set, which lie there too.
//
//   A thread makes a packet of neighbouring elements of an image of y, 16 bytes where H*W*C comes in such packets, and reads a byte for each; so writes are
//   coalesced, and reads nearly so, since a row of the image is read forwards or backwards, from the first-level cache but for the first byte of a sector.
//   Every thread draws its image's crop itself, and its holes: sixty integer instructions each, and no barrier.
//   256 threads a block, a few blocks an image; about 50 instructions an element: bound by arithmetic, a few microseconds for a batch of CIFAR.
#include "kernels/augment/augment.h"

#include <limits>

#include "kernels/common/channels.cuh"

namespace isda::kernels {

namespace {

constexpr int kThreads = 256;

struct Batch {
  std::int64_t images;  // of the data set
  int H, W, C;
  unsigned blocks_per_image;
  std::uint64_t seed;
  int padding;
  bool flip, is_gathered;
  int holes, hole_length;
};

// has_holes: NOTE: a kernel of its own, since remembering where the elements are costs ten registers that the other needs none of.
template <int width, bool has_holes, class T>
__global__ void __launch_bounds__(kThreads) augment_kernel(Batch batch, const std::uint8_t* images, const std::int32_t* indices, const float* mean,
                                                           const float* deviation, const std::int32_t* epoch, T* y) {
  const auto [M, H, W, C, blocks_per_image, seed, padding, flip, is_gathered, holes, hole_length] = batch;
  const std::int64_t n = blockIdx.x / blocks_per_image;
  const int size = H * W * C, first = static_cast<int>((blockIdx.x % blocks_per_image * kThreads + threadIdx.x) * width);
  if (first >= size) return;
  const std::int32_t index = __ldg(indices + n);
  const bool is_image = index >= 0 && index < M;
  const Crop crop = draw_crop(seed, __ldg(epoch), index, padding, flip);
  const std::uint8_t* image = images + (is_gathered ? n : is_image ? index : 0) * static_cast<std::int64_t>(size);

  // Gather: (h,w,c) of the first element by division, of the others by counting.
  const int first_c = first % C, first_w = first / C % W, first_h = first / C / W;
  int c = first_c, w = first_w, h = first_h;
  int channels[width];
  float values[width];
#pragma unroll
  for (int i = 0; i < width; ++i) {
    const std::int64_t row = reflect(h + crop.top - padding, H);
    const std::int64_t column = reflect((crop.is_flipped ? W - 1 - w : w) + crop.left - padding, W);
    channels[i] = c;
    values[i] = static_cast<float>(image[(row * W + column) * C + c]);
    if (++c == C) {
      c = 0;
      if (++w == W) {
        w = 0;
        ++h;
      }
    }
  }
  // Normalise.
#pragma unroll
  for (int i = 0; i < width; ++i) {
    values[i] = is_image ? (values[i] - mean[channels[i]]) / deviation[channels[i]] : std::numeric_limits<float>::quiet_NaN();
  }
  // Cut the holes.
  for (int hole = 0; has_holes && is_image && hole < holes; ++hole) {
    const Hole cut = draw_hole(seed, __ldg(epoch), index, hole, hole_length, H, W);
    c = first_c;
    w = first_w;
    h = first_h;
#pragma unroll
    for (int i = 0; i < width; ++i) {
      if (cut.has(h, w)) values[i] = 0;
      if (++c == C) {
        c = 0;
        if (++w == W) {
          w = 0;
          ++h;
        }
      }
    }
  }
  store_packed(y + n * size + first, values);
}

}  // namespace

void run(Cuda, const Context& context, const Augment& op) {
  const auto [N, H, W, C] = op.y.extents<4>();
  const std::int64_t size = H * W * C;
  require(size <= std::numeric_limits<int>::max() / 2, "[{}] an image of y {} has more elements than the cuda device counts", op.name, op.y.shape());
  dispatch_cuda(op.name, op.y.type(), [&, N = N, H = H, W = W, C = C]<class T>() {
    dispatch_width<T>(size, are_aligned({op.y}), [&]<int width>() {
      const Batch batch{.images = CroppedImages::of(op).set_size(),
                        .H = static_cast<int>(H),
                        .W = static_cast<int>(W),
                        .C = static_cast<int>(C),
                        .blocks_per_image = blocks_for(size / width, kThreads),
                        .seed = op.seed,
                        .padding = op.padding,
                        .flip = op.flip,
                        .is_gathered = op.gathered_from > 0,
                        .holes = op.holes,
                        .hole_length = op.hole_length};
      launch(context, {.name = op.name, .grid = static_cast<unsigned>(N) * batch.blocks_per_image, .block = kThreads},
             op.holes > 0 ? augment_kernel<width, true, T> : augment_kernel<width, false, T>, batch, op.images.as<std::uint8_t>(),
             op.indices.as<std::int32_t>(), op.mean.as<float>(), op.deviation.as<float>(), op.epoch.as<std::int32_t>(), elements<T>(op.y));
    });
  });
}

}  // namespace isda::kernels
