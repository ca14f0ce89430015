// SPDX-License-Identifier: Apache-2.0
// Convolutions as matrix products whose one operand is never stored: its elements are found in the image while tiles are loaded ("implicit GEMM").
//   Chellapilla, Puri, Simard, High Performance Convolutional Neural Networks for Document Processing, 2006; Chetlur et al., cuDNN, 2014, section 3
//
// The patches of an image are a matrix: a row for each pixel that the kernel stands on, a column for each tap and channel. A padded pixel is a zero.
//
//                     taps and channels (r,s,c)
//                   +---------------------------+
//                   |                           |      forward            y (pixels, K)      = patches of f(x) (pixels, RSC) * weight^T (RSC, K)
//    pixels (n,p,q) |  x[n, p*stride + r - pad, |      backward data      dx (pixels, C)     = patches of dy' (pixels, RSK)  * weight (RSK, C)
//                   |     q*stride + s - pad,   |      backward weights   dweight (K, RSC)   = dy'^T (K, pixels)             * patches of f(x) (pixels, RSC)
//                   |     c]                    |
//                   +---------------------------+      for each group of channels; dy' as conv2d.h has it
//
// A block of 128 threads makes a tile of the result: 128 x 16, 128 x 32 or 64 x 64, whichever wastes least (a network for small images has as few as 16
// channels). It walks along the depth in steps of 64 bytes, three stages deep: while the tensor cores multiply the tiles of one step
// (kernels/common/tensor_core.cuh), those of the step after the next are on their way. Tiles come in one of three ways:
//   async    cp.async, 16 bytes at a time                              where nothing is to be done to the elements
//   packed   16 bytes at a time: into registers, f, shared memory      where a prologue has a word
//   single   element by element                                        where channels are no multiple of 16 bytes, or an array is not aligned
// and f32 is multiplied in one of three (kernels/common/f32_products.h), plain without tensor cores.
//
// In this file, in the order of the story: matrices (where an element lies), loading, the product, launches. What becomes of the product: epilogue.cuh.
#pragma once
#include <limits>

#include "kernels/common/channels.cuh"
#include "kernels/common/check.h"
#include "kernels/common/divisor.h"
#include "kernels/common/tensor_core.cuh"
#include "kernels/conv2d/card_limits.h"

namespace isda::kernels::implicit_gemm {

inline constexpr int kThreads = 128, kStages = 3;

// What a block makes, and how its four warps share that.
template <int rows, int columns, int row_warps>
struct Tiling {
  static constexpr int kRows = rows, kColumns = columns, kColumnWarps = kThreads / kWarp / row_warps;
  static constexpr int kWarpRows = rows / row_warps, kWarpColumns = columns / kColumnWarps;
  using Sums = float[kWarpRows / 16][kWarpColumns / 8][4];

  __device__ static int warp_row() { return static_cast<int>(threadIdx.x) / kWarp / kColumnWarps * kWarpRows; }
  __device__ static int warp_column() { return static_cast<int>(threadIdx.x) / kWarp % kColumnWarps * kWarpColumns; }
};

enum class Load { async, packed, single };

// ---- matrices: where their elements lie, and what is done to them on load ----

// An array whose last axis are channels, and f(value) = value*scale + second*second_scale + shift by channel, then `lowest` where that is less.
// may_have_second: false for what never has that term, and then needs no registers for it.
template <class T_, bool may_have_second = false>
struct Source {
  using T = T_;
  static constexpr bool kMayHaveSecond = may_have_second;
  const T* values = nullptr;
  const T* second = nullptr;                                                // null: no such term
  const float *scale = nullptr, *second_scale = nullptr, *shift = nullptr;  // null: f(value) = value, before `lowest`
  float lowest = -std::numeric_limits<float>::infinity();
};

template <class T>
Source<T> source_of(const ConstView& x, const Conv2dPrologue& prologue) {
  return {.values = elements<T>(x),
          .scale = prologue.scale.as<float>(),
          .shift = prologue.shift.as<float>(),
          .lowest = prologue.relu ? 0.0f : -std::numeric_limits<float>::infinity()};
}
template <class T>
Source<T, true> source_of(const ConstView& dy, const Conv2dGradientPrologue& prologue) {
  return {.values = elements<T>(dy),
          .second = elements<T>(prologue.y),
          .scale = prologue.scale.as<float>(),
          .second_scale = prologue.y_scale.as<float>(),
          .shift = prologue.shift.as<float>()};
}
inline bool has_word(const Conv2dPrologue& prologue) { return prologue.scale || prologue.relu; }
inline bool has_word(const Conv2dGradientPrologue& prologue) { return static_cast<bool>(prologue.y); }

// Where element (row, column) of a matrix lies. NOTE: a matrix is zero outside, after f.
struct Place {
  bool is_inside;
  int channel;
  std::int64_t offset;
};

// An array of pixels and channels as it lies, from one channel on.
template <class Source>
struct Pixels {
  using Element = typename Source::T;
  Source source;
  int row_count, column_count;
  int channels;  // from one pixel to the next
  int first_channel = 0;

  __device__ __forceinline__ Place place(int row, int column) const {
    const int channel = first_channel + column;
    return {row < row_count && column < column_count, channel, std::int64_t{row} * channels + channel};
  }
};

// The patches of an image: row (n,i,j) and column (u,v,c) is image[n, first_h + i*step + u*tap_step, first_w + j*step + v*tap_step, first_channel + c].
template <class Source>
struct Patches {
  using Element = typename Source::T;
  Source source;
  int row_count, column_count;
  Divisor rows, columns;  // of (i,j)
  Divisor taps, depth;    // extents of v and c
  int H, W, C;            // of the image
  int first_h, first_w, step, tap_step;
  int first_channel = 0;

  __device__ __forceinline__ Place place(int row, int column) const {
    int i = row, u = column;
    const int j = columns.divide(i), c = depth.divide(u);
    const int v = taps.divide(u), n = rows.quotient(i);
    i -= n * rows.value();
    const int h = first_h + i * step + u * tap_step, w = first_w + j * step + v * tap_step, channel = first_channel + c;
    const bool is_inside = row < row_count && column < column_count && h >= 0 && h < H && w >= 0 && w < W;
    return {is_inside, channel, ((std::int64_t{n} * H + h) * W + w) * C + channel};
  }
};

// The patches of x under a convolution, of its first group.
template <class T, class Operation>
Patches<Source<T>> patches_of(const Source<T>& source, const ConstView& x, const ConstView& weight, const ConstView& y, const Operation& op) {
  const auto [N, P, Q, K] = y.extents<4>();
  const auto [K_, R, S, channels] = weight.extents<4>();
  return {.source = source,
          .row_count = static_cast<int>(N * P * Q),
          .column_count = static_cast<int>(R * S * channels),
          .rows = Divisor(P),
          .columns = Divisor(Q),
          .taps = Divisor(S),
          .depth = Divisor(channels),
          .H = static_cast<int>(x.extent(1)),
          .W = static_cast<int>(x.extent(2)),
          .C = static_cast<int>(x.extent(3)),
          .first_h = -op.padding,
          .first_w = -op.padding,
          .step = op.stride,
          .tap_step = 1};
}

// ---- loading ----

// f of `width` neighbouring channels; what belongs to a channel is loaded once.
template <int width, class Source>
class OnLoad {
 public:
  __device__ __forceinline__ OnLoad(const Source& source, int channel) : source_(source) {
    if (!source.scale) return;
    load_channels(source.scale + channel, scale_);
    load_channels(source.shift + channel, shift_);
    if constexpr (Source::kMayHaveSecond) load_channels(source.second_scale + channel, second_scale_);
  }

  __device__ __forceinline__ void apply(float (&values)[width], const float (&second)[width]) const {
#pragma unroll
    for (int i = 0; i < width; ++i) {
      if (source_.scale) {
        values[i] = values[i] * scale_[i] + shift_[i];
        if constexpr (Source::kMayHaveSecond) values[i] += second[i] * second_scale_[i];
      }
      values[i] = values[i] < source_.lowest ? source_.lowest : values[i];
    }
  }

 private:
  const Source& source_;
  float scale_[width], second_scale_[width], shift_[width];
};

// Brings the tile of a matrix from element (row, column) on: `fetch` begins, `finish` follows when there was time. In both a thread takes the same
// kWidth columns of every kRowStep-th row.
template <Load load, class Tile, class Matrix>
class Loader {
  using T = typename Tile::Element;
  using Source = decltype(Matrix::source);
  static constexpr int kWidth = load == Load::single ? 4 : kPacked<T>, kPieces = Tile::kColumns / kWidth, kRowStep = kThreads / kPieces;
  static constexpr int kCount = (Tile::kRows + kRowStep - 1) / kRowStep;

 public:
  __device__ __forceinline__ void fetch(const Matrix& matrix, T* tile, int row, int column) {
#pragma unroll(load == Load::single ? 1 : kCount)
    for (int i = 0; i < kCount; ++i) {
      const int r = row_in_tile(i), c = column_in_tile();
      if (r >= Tile::kRows) continue;
      if constexpr (load == Load::async) {
        const Place place = matrix.place(row + r, column + c);
        ptx::cp_async<16>(tile + Tile::offset(r, c), matrix.source.values + (place.is_inside ? place.offset : 0), place.is_inside);
      } else if constexpr (load == Load::packed) {
        hold(i, matrix.source, matrix.place(row + r, column + c));
      } else {
        fetch_singly(matrix, tile + Tile::offset(r, c), row + r, column + c);
      }
    }
  }

  __device__ __forceinline__ void finish(const Matrix& matrix, T* tile) {
    if constexpr (load == Load::packed) {
      const OnLoad<kWidth, Source> on_load(matrix.source, channel_);
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        if (row_in_tile(i) >= Tile::kRows) continue;
        float values[kWidth] = {}, second[kWidth] = {};
        if (is_inside_[i]) {
          unpack(held_[i], values);
          if constexpr (Source::kMayHaveSecond) unpack(held_second_[i], second);
          on_load.apply(values, second);
        }
        store_packed(tile + Tile::offset(row_in_tile(i), column_in_tile()), values);
      }
    }
  }

 private:
  __device__ static int row_in_tile(int i) { return static_cast<int>(threadIdx.x) / kPieces + i * kRowStep; }
  __device__ static int column_in_tile() { return static_cast<int>(threadIdx.x) % kPieces * kWidth; }

  __device__ __forceinline__ void hold(int i, const Source& source, const Place& place) {
    is_inside_[i] = place.is_inside;
    if (!place.is_inside) return;
    channel_ = place.channel;
    held_[i] = load_whole(reinterpret_cast<const Packed<T>*>(source.values + place.offset));
    if constexpr (Source::kMayHaveSecond) {
      if (source.second) held_second_[i] = load_whole(reinterpret_cast<const Packed<T>*>(source.second + place.offset));
    }
  }

  __device__ __forceinline__ static void fetch_singly(const Matrix& matrix, T* to, int row, int column) {
    float values[kWidth] = {};
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const Place place = matrix.place(row, column + i);
      if (!place.is_inside) continue;
      float value[1] = {to_float(matrix.source.values[place.offset])}, second[1] = {};
      if constexpr (Source::kMayHaveSecond) {
        if (matrix.source.second) second[0] = to_float(matrix.source.second[place.offset]);
      }
      OnLoad<1, Source>(matrix.source, place.channel).apply(value, second);
      values[i] = value[0];
    }
    store_packed(to, values);
  }

  // NOTE: only `packed` has them: members that nobody reads cost no registers. All pieces of a thread have the same channels.
  Packed<T> held_[kCount] = {}, held_second_[kCount] = {};
  bool is_inside_[kCount] = {};
  int channel_ = 0;
};

// ---- the product ----

// An operand: its matrix, how it lies and how it is loaded.
template <Along along_, Load load_, class Matrix_>
struct Operand {
  static constexpr Along along = along_;
  static constexpr Load load = load_;
  using Matrix = Matrix_;
  template <int extent>
  using Tile = tensor_core::Tile<typename Matrix::Element, along, extent>;
  Matrix matrix;
};

// Adds the product of a's rows and b's columns to the block's tile, for the depths [begin, end). `shared`: as shared_bytes() says; free again behind it.
template <class Tiling, F32Products products, class A, class B, class T>
__device__ __forceinline__ void accumulate(const A& a, const B& b, int first_row, int first_column, int begin, int end, T* shared,
                                           typename Tiling::Sums& sums) {
  using TileA = typename A::template Tile<Tiling::kRows>;
  using TileB = typename B::template Tile<Tiling::kColumns>;
  constexpr int kDepth = TileA::kDepth;
  T* a_tiles = shared;
  T* b_tiles = shared + kStages * TileA::kElements;
  const int steps = (end - begin + kDepth - 1) / kDepth;
  Loader<A::load, TileA, typename A::Matrix> a_loader;
  Loader<B::load, TileB, typename B::Matrix> b_loader;

  const auto fetch = [&](int step) {
    if (step < steps) {
      const int k = begin + step * kDepth;
      a_loader.fetch(a.matrix, a_tiles + step % kStages * TileA::kElements, A::along == Along::k ? first_row : k, A::along == Along::k ? k : first_row);
      b_loader.fetch(b.matrix, b_tiles + step % kStages * TileB::kElements, B::along == Along::k ? first_column : k, B::along == Along::k ? k : first_column);
    }
    // NOTE: behind the last step empty groups go on being committed, so that the wait below counts the same in every turn.
    ptx::cp_async_commit();
  };
  const auto finish = [&](int step) {
    if (step >= steps) return;
    a_loader.finish(a.matrix, a_tiles + step % kStages * TileA::kElements);
    b_loader.finish(b.matrix, b_tiles + step % kStages * TileB::kElements);
  };

  // Two steps are on their way before the first is used.
  for (int step = 0; step < kStages - 1; ++step) {
    fetch(step);
    finish(step);
  }
  for (int step = 0; step < steps; ++step) {
    // This step's tiles have come, for every thread; and nobody reads any more the stage that is filled next.
    ptx::cp_async_wait<kStages - 2>();
    __syncthreads();
    fetch(step + kStages - 1);
    tensor_core::multiply_tiles<TileA, TileB, products>(a_tiles + step % kStages * TileA::kElements, b_tiles + step % kStages * TileB::kElements,
                                                        Tiling::warp_row(), Tiling::warp_column(), sums);
    finish(step + kStages - 1);
  }
  __syncthreads();
}

// ---- launches ----

// Which tile of which group's result a block makes: blockIdx = (tiles, groups, ...). NOTE: tiles of the same rows are neighbours, so that these rows of
// the image are in the cache.
template <class Tiling>
struct BlockPlace {
  int row_block, first_row, first_column, group;

  __device__ __forceinline__ explicit BlockPlace(int columns) {
    const int column_blocks = (columns + Tiling::kColumns - 1) / Tiling::kColumns;
    row_block = static_cast<int>(blockIdx.x) / column_blocks;
    first_row = row_block * Tiling::kRows;
    first_column = static_cast<int>(blockIdx.x) % column_blocks * Tiling::kColumns;
    group = static_cast<int>(blockIdx.y);
  }

  // How many rows of the tile are there, of `all` rows of the result.
  __device__ __forceinline__ int rows(int all) const { return all - first_row < Tiling::kRows ? all - first_row : Tiling::kRows; }
};

// result: the array whose tiles they are.
template <class Tiling>
dim3 grid_of(const char* operation, const char* argument, const ConstView& result, std::int64_t rows, std::int64_t columns, int groups, unsigned slices = 1) {
  constexpr std::int64_t kMostTiles = (std::int64_t{1} << 31) - 1;  // blocks along x
  const std::int64_t tiles = std::int64_t{blocks_for(rows, Tiling::kRows)} * blocks_for(columns, Tiling::kColumns);
  check_on_card(operation, "the number of tiles of a group", argument, result, tiles, kMostTiles);
  return dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(groups), slices);
}

// For up to 16, up to 32 and more channels.
template <class Narrow_, class Medium_, class Wide_>
struct Tilings {
  using Narrow = Narrow_;
  using Medium = Medium_;
  using Wide = Wide_;
};

// Calls body<Tiling, load, products>().
template <class T, class Tilings, class Body>
void dispatch(const Context& context, std::int64_t channels, bool is_aligned, bool has_word, Body&& body) {
  dispatch_products<T>(context, [&]<F32Products products>() {
    const auto with_tiling = [&]<class Tiling>() {
      if (!is_aligned) return body.template operator()<Tiling, Load::single, products>();
      // NOTE: plain products are there to compare with: `packed` does without a word too, and a third of their kernels is saved.
      if constexpr (products != F32Products::plain) {
        if (!has_word) return body.template operator()<Tiling, Load::async, products>();
      }
      return body.template operator()<Tiling, Load::packed, products>();
    };
    if (channels <= 16) return with_tiling.template operator()<typename Tilings::Narrow>();
    if (channels <= 32) return with_tiling.template operator()<typename Tilings::Medium>();
    return with_tiling.template operator()<typename Tilings::Wide>();
  });
}

}  // namespace isda::kernels::implicit_gemm
