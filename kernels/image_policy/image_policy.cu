// SPDX-License-Identifier: Apache-2.0
// A policy on the card: a block of 256 threads an image, which stays in shared memory from the crop to the last step, where two of it fit into 40 KiB (CIFAR: 3
// KB each); larger ones go between y and scratch memory of the card, by way of its caches.
//
//   Which step comes next is the same for all threads of a block: each draws it for itself, sixty integer instructions, and no barrier.
//   What depends on a byte alone goes through a table of 256 bytes a channel in shared memory; histograms are counted by atomics on integers there, whose sum
//   is the same in every order; a warp a channel makes tables of them, eight bins a lane.
//   Each image is read once and written once, 16 bytes at a time on the way out.
#include "kernels/image_policy/image_policy.h"

#include "kernels/common/simt.cuh"

namespace isda::kernels {

namespace {

using Byte = std::uint8_t;

constexpr int kThreads = 256, kBins = 256;
constexpr std::int64_t kMostShared = 40 << 10;

struct Batch {
  std::int64_t images;  // of the set
  int H, W;
  int steps, rounds;  // of a sub-policy; of the policy
  std::uint64_t seed;
  int padding;
  bool flip, is_gathered;
};

// The block's shared memory beside the image.
struct Workspace {
  unsigned counts[3 * kBins];
  Byte table[3 * kBins];
  std::uint32_t partial[kThreads / kWarp];
};

// An image under way, and as much memory beside it.
struct Canvas {
  int H, W;
  Byte *image, *other;

  __device__ int size() const { return H * W * 3; }
  __device__ void swap() {
    Byte* const turned = image;
    image = other;
    other = turned;
  }
};

__device__ void move(Canvas& canvas, const std::int32_t* a) {
  const int W = canvas.W, pixels = canvas.H * W;
  for (int p = static_cast<int>(threadIdx.x); p < pixels; p += kThreads) {
    const int x = p % W, y = p / W;
    const int column = (a[0] * x + a[1] * y + a[2]) >> 16, row = (a[3] * x + a[4] * y + a[5]) >> 16;
    const bool is_inside = column >= 0 && column < W && row >= 0 && row < canvas.H;
    const Byte* from = canvas.image + (is_inside ? row * W + column : 0) * 3;
#pragma unroll
    for (int c = 0; c < 3; ++c) canvas.other[p * 3 + c] = is_inside ? from[c] : Byte{kFill};
  }
  canvas.swap();
  __syncthreads();
}

// Each byte by the table of its channel, which the block has written.
__device__ void look_up(const Canvas& canvas, const Byte* table) {
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < canvas.size(); i += kThreads) canvas.image[i] = table[i % 3 * kBins + canvas.image[i]];
  __syncthreads();
}

// value(byte) of each byte.
template <class Value>
__device__ __forceinline__ void by_value(const Canvas& canvas, Workspace& space, Value&& value) {
  const int v = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int c = 0; c < 3; ++c) space.table[c * kBins + v] = static_cast<Byte>(value(v));
  look_up(canvas, space.table);
}

// The table of a channel whose `bins` a warp has, eight of them a lane.
__device__ void make_table(const unsigned* bins, bool is_equalized, Byte* table) {
  constexpr int kOwn = kBins / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, first = lane * kOwn;
  unsigned own = 0;
  int low = kBins, high = -1;
  for (int v = first; v < first + kOwn; ++v) {
    own += bins[v];
    if (bins[v] == 0) continue;
    low = low < v ? low : v;
    high = v;
  }
  low = warp_reduce(low, [](int a, int b) { return a < b ? a : b; });
  high = warp_max(high);
  // How many bytes lie below this lane's bins.
  unsigned below = own;
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const unsigned of_lower = __shfl_up_sync(kAllLanes, below, distance);
    if (lane >= distance) below += of_lower;
  }
  const unsigned total = __shfl_sync(kAllLanes, below, kWarp - 1);
  below -= own;

  const unsigned step = is_equalized ? (total - bins[high]) / 255 : 1;
  if (low == high || step == 0) {
    for (int v = first; v < first + kOwn; ++v) table[v] = static_cast<Byte>(v);
  } else if (is_equalized) {
    unsigned n = step / 2 + below;
    for (int v = first; v < first + kOwn; ++v) {
      table[v] = static_cast<Byte>(n / step < 255 ? n / step : 255);
      n += bins[v];
    }
  } else {
    const double scale = 255.0 / (high - low), offset = rounded_product<double>(-low, scale);
    for (int v = first; v < first + kOwn; ++v) {
      const int value = static_cast<int>(rounded_product<double>(v, scale) + offset);
      table[v] = static_cast<Byte>(value < 0 ? 0 : value > 255 ? 255 : value);
    }
  }
}

__device__ void by_histogram(const Canvas& canvas, Workspace& space, bool is_equalized) {
  for (int i = static_cast<int>(threadIdx.x); i < 3 * kBins; i += kThreads) space.counts[i] = 0;
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < canvas.size(); i += kThreads) atomicAdd(&space.counts[i % 3 * kBins + canvas.image[i]], 1u);
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  if (warp < 3) make_table(space.counts + warp * kBins, is_equalized, space.table + warp * kBins);
  look_up(canvas, space.table);
}

__device__ int grey_of(const Byte* pixel) { return grey(pixel[0], pixel[1], pixel[2]); }

__device__ void colour(const Canvas& canvas, float factor) {
  for (int p = static_cast<int>(threadIdx.x); p < canvas.H * canvas.W; p += kThreads) {
    Byte* pixel = canvas.image + p * 3;
    const int middle = grey_of(pixel);
#pragma unroll
    for (int c = 0; c < 3; ++c) pixel[c] = static_cast<Byte>(blend(middle, pixel[c], factor));
  }
  __syncthreads();
}

__device__ int mean_of(const Canvas& canvas, Workspace& space) {
  std::uint32_t sum = 0;
  for (int p = static_cast<int>(threadIdx.x); p < canvas.H * canvas.W; p += kThreads) sum += static_cast<std::uint32_t>(grey_of(canvas.image + p * 3));
  return mean_grey(block_sum(sum, space.partial), static_cast<std::uint32_t>(canvas.H * canvas.W));
}

__device__ void sharpen(Canvas& canvas, float factor) {
  const int row = canvas.W * 3;
  for (int i = static_cast<int>(threadIdx.x); i < canvas.size(); i += kThreads) {
    const int w = i % row / 3, h = i / row;
    const Byte* p = canvas.image + i;
    const bool is_border = h == 0 || h == canvas.H - 1 || w == 0 || w == canvas.W - 1;
    int blurred = p[0];
    if (!is_border) {
      blurred = smooth(p[-row - 3] + p[-row] + p[-row + 3] + p[-3] + p[0] + p[3] + p[row - 3] + p[row] + p[row + 3], p[0]);
    }
    canvas.other[i] = static_cast<Byte>(blend(blurred, p[0], factor));
  }
  canvas.swap();
  __syncthreads();
}

// Begins and ends with the image written and seen by the whole block.
__device__ void apply(const DrawnStep& step, Canvas& canvas, Workspace& space) {
  const std::int32_t* of = step.parameters;
  const float factor = step.factor;
  switch (step.operation) {
    case ImageOperation::identity: return;
    case ImageOperation::shear_x:
    case ImageOperation::shear_y:
    case ImageOperation::translate_x:
    case ImageOperation::translate_y:
    case ImageOperation::rotate: return move(canvas, of);
    case ImageOperation::autocontrast: return by_histogram(canvas, space, false);
    case ImageOperation::equalize: return by_histogram(canvas, space, true);
    case ImageOperation::invert: return by_value(canvas, space, [](int v) { return 255 - v; });
    case ImageOperation::posterize: return by_value(canvas, space, [of](int v) { return posterized(v, of[0]); });
    case ImageOperation::solarize: return by_value(canvas, space, [of](int v) { return solarized(v, of[0]); });
    case ImageOperation::solarize_add: return by_value(canvas, space, [of](int v) { return solarize_added(v, of[0]); });
    case ImageOperation::color: return colour(canvas, factor);
    case ImageOperation::contrast:
    case ImageOperation::brightness: {
      const int a = step.operation == ImageOperation::contrast ? mean_of(canvas, space) : 0;
      return by_value(canvas, space, [a, factor](int v) { return blend(a, v, factor); });
    }
    case ImageOperation::sharpness: return sharpen(canvas, factor);
  }
}

// scratch: an image of memory for each of the batch; null: both in shared memory. is_packed: images are of whole packets, at places that are, too.
// NOTE: two blocks are as many as a batch of a few hundred images has for a multiprocessor; without the 2 nvcc gives 64 registers and spills three.
__global__ void __launch_bounds__(kThreads, 2)
    image_policy_kernel(Batch batch, const Byte* images, const std::int32_t* indices, const std::int32_t* epochs, const std::int32_t* steps,
                        const std::int32_t* rounds, Byte* scratch, Byte* y, bool is_packed) {
  SIMT_SHARED(space, Workspace);
  const std::int64_t n = blockIdx.x;
  Canvas canvas{batch.H, batch.W, nullptr, nullptr};
  const int size = canvas.size(), row = batch.W * 3;
  Byte* const result = y + n * size;
  if (scratch) {
    canvas.image = result;
    canvas.other = scratch + n * size;
  } else {
    SharedCarver carver;
    canvas.image = carver.take<Byte>(static_cast<unsigned>(size));
    canvas.other = carver.take<Byte>(static_cast<unsigned>(size));
  }
  const std::int32_t index = indices[n], epoch = *epochs;

  // Crop and flip.
  const Crop crop = draw_crop(batch.seed, epoch, index, batch.padding, batch.flip);
  const std::int64_t place = batch.is_gathered ? n : index >= 0 && index < batch.images ? index : 0;
  const Byte* from = images + place * size;
  for (int i = static_cast<int>(threadIdx.x); i < size; i += kThreads) {
    const int c = i % 3, w = i % row / 3, h = i / row;
    const std::int64_t top = reflect(h + crop.top - batch.padding, batch.H);
    const std::int64_t left = reflect((crop.is_flipped ? batch.W - 1 - w : w) + crop.left - batch.padding, batch.W);
    canvas.image[i] = from[(top * batch.W + left) * 3 + c];
  }
  __syncthreads();

  // Each round's sub-policy, step by step.
  for (int r = 0; r < batch.rounds; ++r) {
    const unsigned chosen = uniform_below(draw_policy(batch.seed, epoch, index, r, 0)[2], static_cast<unsigned>(rounds[2 * r + 1]));
    const std::int32_t* of = steps + static_cast<std::int64_t>(rounds[2 * r] + static_cast<int>(chosen)) * batch.steps * PolicyTable::kWords;
    for (int s = 0; s < batch.steps; ++s, of += PolicyTable::kWords) apply(draw_step(of, draw_policy(batch.seed, epoch, index, r, s)), canvas, space);
  }

  // To where the batch lies.
  if (canvas.image == result) return;
  if (is_packed) {
    using Packet = Packed<std::uint32_t, 4>;
    for (int i = static_cast<int>(threadIdx.x); i < size / 16; i += kThreads) {
      store_whole(reinterpret_cast<Packet*>(result) + i, load_whole(reinterpret_cast<const Packet*>(canvas.image) + i));
    }
  } else {
    for (int i = static_cast<int>(threadIdx.x); i < size; i += kThreads) result[i] = canvas.image[i];
  }
}

}  // namespace

void run(Cuda, const Context& context, const ImagePolicy& op) {
  const auto [N, H, W, C] = op.y.extents<4>();
  const std::int64_t size = H * W * C;
  const Batch batch{.images = op.images.extent(0),
                    .H = static_cast<int>(H),
                    .W = static_cast<int>(W),
                    .steps = static_cast<int>(op.steps.extent(1)),
                    .rounds = static_cast<int>(op.rounds.extent(0)),
                    .seed = op.seed,
                    .padding = op.padding,
                    .flip = op.flip,
                    .is_gathered = op.gathered_from > 0};
  const std::int64_t shared_size = (size + 15) / 16 * 16;
  const bool is_shared = 2 * shared_size <= kMostShared;
  Scratch scratch = context.scratch();
  Byte* other = is_shared ? nullptr : scratch.take<Byte>(N * size);
  const bool is_packed = size % 16 == 0 && are_aligned({op.y});
  const LaunchShape shape{
      .name = op.name, .grid = static_cast<unsigned>(N), .block = kThreads, .shared_bytes = is_shared ? static_cast<std::size_t>(2 * shared_size) : 0};
  launch(context, shape, image_policy_kernel, batch, op.images.as<Byte>(), op.indices.as<std::int32_t>(), op.epoch.as<std::int32_t>(),
         op.steps.as<std::int32_t>(), op.rounds.as<std::int32_t>(), other, op.y.as<Byte>(), is_packed);
}

}  // namespace isda::kernels
