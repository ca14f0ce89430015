// SPDX-License-Identifier: Apache-2.0
// The gradient of a convolution's weights on the card (kernels/conv2d/implicit_gemm.cuh), for each group
//
//   dweight (K, R*S*C) = dy'' (K, pixels) * patches of f(x) (pixels, R*S*C)        dy'': dy' transposed
//
// The result is small and the depth, the pixels, is large: so the pixels are shared out among blocks too ("split K"), each of which writes a partial
// result. Splits come in groups of 16: the last block of a group (kernels/common/last_block.cuh) adds the group's, from the first to the last, and the last
// of these the groups'. How many there are depends on the shape alone.
//
//             pixels                     R*S*C
//        +---+---+---+---+            +---------+
//      K |   |   |   |   |   *      --|  split  |--        partial[split] (K, R*S*C);   dweight = the sum of them
//        +---+---+---+---+            |         |
//                                     +---------+
//
// Both operands lie along the other extent than the depth: a pixel has its channels side by side.
//
//   tiles 16 x 128, 32 x 128 or 64 x 64, by K;   FLOP  2 pixels K R S C, for f32 by 3xtf32 three times that on the tensor cores
//   bytes  dy once a 128 columns; x once a tap, of which the caches keep most; the partial results, at most 4096 tiles, are written and read once
#include "kernels/conv2d/epilogue.cuh"

namespace isda::kernels {

namespace {

using namespace implicit_gemm;

using Tiles = Tilings<Tiling<16, 128, 1>, Tiling<32, 128, 1>, Tiling<64, 64, 2>>;

// Four blocks for each of the 132 multiprocessors of an H200: all of them run at once.
constexpr std::int64_t kBlocks = 528;
// A block walks along so many steps of the depth at least.
constexpr std::int64_t kLeastSteps = 4;
// A block that adds up reads so many partial results: 16 times 8 to 16 KiB.
constexpr int kGroup = 16;

template <class T>
struct BackwardWeights {
  Pixels<Source<T, true>> dy;
  Patches<Source<T>> x;
  int pixels_of_split, splits;
  float* dweight;         // (K,R,S,C/groups)
  float* partials;        // [splits][K][R*S*C]; dweight itself where there is one
  std::int64_t elements;  // of one of them
  unsigned* tickets;      // for each tile: one of each group of splits, one of the groups
  bool stores_packed;
};

// Calls body(row, at) for the packets of this thread: `at` is where dweight has them.
template <int width, class T, class Tiling, class Body>
__device__ __forceinline__ void for_packets(const BackwardWeights<T>& conv, const BlockPlace<Tiling>& block, Body&& body) {
  const Walk<Tiling, width> walk;
  const int group_K = conv.dy.column_count, rows = block.rows(group_K), column = block.first_column + walk.column;
  if (column >= conv.x.column_count) return;
  const std::int64_t first_k = std::int64_t{block.group} * group_K + block.first_row;
  for (int row = walk.line; row < rows; row += walk.kLines) body(row, (first_k + row) * conv.x.column_count + column);
}

// to = the sum of `count` partial results, `step` splits apart, the first at `from`.
template <int width, class T, class Tiling>
__device__ __forceinline__ void add_partials(const BackwardWeights<T>& conv, const BlockPlace<Tiling>& block, const float* from, int count, int step,
                                             float* to) {
  for_packets<width>(conv, block, [&](int, std::int64_t at) {
    float sum[width] = {};
#pragma unroll 8
    for (int i = 0; i < count; ++i) add_packed(sum, from + i * step * conv.elements + at);
    store_packed(to + at, sum);
  });
}

template <int width, class T, class Tiling>
__device__ __forceinline__ void store_dweight(const BackwardWeights<T>& conv, const SharedTile<Tiling>& tile, const BlockPlace<Tiling>& block) {
  const int split = static_cast<int>(blockIdx.z), group = split / kGroup, groups = (conv.splits + kGroup - 1) / kGroup;
  for_packets<width>(conv, block, [&](int row, std::int64_t at) {
    float values[width];
    load_channels(tile.at(row, Walk<Tiling, width>().column), values);
    store_packed(conv.partials + split * conv.elements + at, values);
  });
  if (conv.splits == 1) return;
  unsigned* tickets = conv.tickets + (blockIdx.y * gridDim.x + blockIdx.x) * static_cast<unsigned>(groups + 1);
  // The group's, in the place of its first.
  const int left = conv.splits - group * kGroup, members = left < kGroup ? left : kGroup;
  if (!is_last_block(tickets + group, static_cast<unsigned>(members))) return;
  float* first = conv.partials + group * kGroup * conv.elements;
  add_partials<width>(conv, block, first, members, 1, groups > 1 ? first : conv.dweight);
  // All groups'.
  if (groups == 1 || !is_last_block(tickets + groups, static_cast<unsigned>(groups))) return;
  add_partials<width>(conv, block, conv.partials, groups, kGroup, conv.dweight);
}

template <class T, Load load>
using GradientOperand = Operand<Along::other, load, Pixels<Source<T, true>>>;
template <class T, Load load>
using PatchOperand = Operand<Along::other, load, Patches<Source<T>>>;

template <class T, class Tiling, Load load>
constexpr std::size_t kSharedBytes = shared_bytes<Tiling, GradientOperand<T, load>, PatchOperand<T, load>, kPacked<float>>();

// NOTE: with a least number of blocks that leaves registers enough: ptxas, left alone, spills one or two to fit another block.
template <class T, class Tiling, Load load, F32Products products>
__global__ void __launch_bounds__(kThreads, 2) backward_weights_kernel(const __grid_constant__ BackwardWeights<T> conv) {
  SharedCarver carver;
  T* shared = carver.template take<T>(kSharedBytes<T, Tiling, load> / sizeof(T), 128);
  const BlockPlace<Tiling> block(conv.x.column_count);
  GradientOperand<T, load> dy{conv.dy};
  PatchOperand<T, load> patches{conv.x};
  dy.matrix.first_channel = block.group * conv.dy.column_count;
  patches.matrix.first_channel = block.group * conv.x.depth.value();
  const int begin = static_cast<int>(blockIdx.z) * conv.pixels_of_split, left = conv.dy.row_count - begin;
  const int end = begin + (left < conv.pixels_of_split ? left : conv.pixels_of_split);

  typename Tiling::Sums sums = {};
  accumulate<Tiling, products>(dy, patches, block.first_row, block.first_column, begin, end, shared, sums);

  const SharedTile<Tiling> tile(shared, kPacked<float>);
  spread(sums, tile);
  if (conv.stores_packed)
    store_dweight<kPacked<float>>(conv, tile, block);
  else
    store_dweight<1>(conv, tile, block);
}

}  // namespace

void run(Cuda, const Context& context, const Conv2dBackwardWeights& op) {
  conv2d::check_card_limits(op);
  const std::int64_t K = op.dy.extent(3), group_K = K / op.groups, group_C = op.dweight.extent(3), columns = op.dweight.size() / K;
  const std::int64_t pixels = op.dy.size() / K;
  const auto& prologue = op.prologue;
  const auto& gradient = op.gradient_prologue;
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    const bool is_aligned = group_K % kPacked<T> == 0 && group_C % kPacked<T> == 0 &&
                            are_aligned({op.x, prologue.scale, prologue.shift, op.dy, gradient.y, gradient.scale, gradient.y_scale, gradient.shift});
    const bool has_words = has_word(prologue) || has_word(gradient);
    dispatch<T, Tiles>(context, group_K, is_aligned, has_words, [&]<class Tiling, Load load, F32Products products>() {
      // Share out the steps of the depth.
      constexpr int kDepth = PatchOperand<T, load>::template Tile<Tiling::kColumns>::kDepth;
      const dim3 tiles = grid_of<Tiling>(op.name, "dweight", op.dweight, group_K, columns, op.groups);
      const std::int64_t steps = blocks_for(pixels, kDepth);
      const std::int64_t most_splits = std::clamp<std::int64_t>(kBlocks / (std::int64_t{tiles.x} * tiles.y), 1, blocks_for(steps, kLeastSteps));
      const std::int64_t steps_of_split = blocks_for(steps, most_splits);
      const unsigned splits = blocks_for(steps, steps_of_split);

      Scratch scratch = context.scratch();
      float* dweight = op.dweight.as<float>();
      float* partials = splits > 1 ? scratch.take<float>(splits * op.dweight.size()) : dweight;
      const BackwardWeights<T> conv{.dy = {.source = source_of<T>(op.dy, gradient),
                                           .row_count = static_cast<int>(pixels),
                                           .column_count = static_cast<int>(group_K),
                                           .channels = static_cast<int>(K)},
                                    .x = patches_of(source_of<T>(op.x, prologue), op.x, op.dweight, op.dy, op),
                                    .pixels_of_split = static_cast<int>(steps_of_split * kDepth),
                                    .splits = static_cast<int>(splits),
                                    .dweight = dweight,
                                    .partials = partials,
                                    .elements = op.dweight.size(),
                                    .tickets = context.tickets(std::int64_t{tiles.x} * tiles.y * (blocks_for(splits, kGroup) + 1)),
                                    .stores_packed = columns % kPacked<float> == 0 && are_aligned({op.dweight})};
      launch(context, {.name = op.name, .grid = dim3(tiles.x, tiles.y, splits), .block = kThreads, .shared_bytes = kSharedBytes<T, Tiling, load>},
             backward_weights_kernel<T, Tiling, load, products>, conv);
    });
  });
}

}  // namespace isda::kernels
