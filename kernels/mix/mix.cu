// SPDX-License-Identifier: Apache-2.0
// Mixing on the card: a thread a packet of neighbouring elements of an image, 16 bytes where H*W*C comes in such packets; the two images read once each,
// y written once; bound by memory.
#include "kernels/mix/mix.h"

#include <limits>

#include "kernels/common/channels.cuh"

namespace isda::kernels {

namespace {

constexpr int kThreads = 256;

struct Images {
  std::int64_t count;
  int W, C, size;  // size: of an image
  unsigned blocks_per_image;
};

template <int width, class T>
__global__ void __launch_bounds__(kThreads) mix_kernel(Images images, const T* x, const float* weights, const std::int32_t* place, T* y) {
  const auto [N, W, C, size, blocks_per_image] = images;
  const std::int64_t n = blockIdx.x / blocks_per_image;
  const int first = static_cast<int>((blockIdx.x % blocks_per_image * kThreads + threadIdx.x) * width);
  if (first >= size) return;
  const float weight = __ldg(weights), rest = 1 - weight;
  const int top = __ldg(place + 1), left = __ldg(place + 2), bottom = __ldg(place + 3), right = __ldg(place + 4);
  float own[width], other[width];
  load_packed(x + n * size + first, own);
  const std::int64_t shifted = (n + __ldg(place)) % N;
  load_packed(x + (shifted < 0 ? shifted + N : shifted) * size + first, other);
#pragma unroll
  for (int i = 0; i < width; ++i) {
    const int pixel = (first + i) / C, h = pixel / W, w = pixel % W;
    const bool is_in_box = h >= top && h < bottom && w >= left && w < right;
    own[i] = is_in_box ? other[i] : weight * own[i] + rest * other[i];
  }
  store_packed(y + n * size + first, own);
}

}  // namespace

void run(Cuda, const Context& context, const Mix& op) {
  const auto [N, H, W, C] = op.x.extents<4>();
  const std::int64_t size = H * W * C;
  require(size <= std::numeric_limits<int>::max() / 2, "[{}] an image of x {} has more elements than the cuda device counts", op.name, op.x.shape());
  dispatch_cuda(op.name, op.x.type(), [&, N = N, W = W, C = C]<class T>() {
    dispatch_width<T>(size, are_aligned({op.x, op.y}), [&]<int width>() {
      const Images images{N, static_cast<int>(W), static_cast<int>(C), static_cast<int>(size), blocks_for(size / width, kThreads)};
      launch(context, {.name = op.name, .grid = static_cast<unsigned>(N) * images.blocks_per_image, .block = kThreads}, mix_kernel<width, T>, images,
             elements<T>(op.x), op.weight.as<float>(), op.place.as<std::int32_t>(), elements<T>(op.y));
    });
  });
}

}  // namespace isda::kernels
