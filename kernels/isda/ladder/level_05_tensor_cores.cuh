// SPDX-License-Identifier: Apache-2.0
// A block's part of U_c = D_c S_c on tensor cores: 128 classes j by 64 columns of S_c, walked down by steps of 16 rows. Level 5 has its products from here, and
// level 6, which also changes S_c where it is fetched.
//
//   256 threads, 8 warps of 32 x 32 sums. Tiles, fragments and the ways of multiplying f32 are those of kernels/common/tensor_core.cuh.
#pragma once
#include "kernels/common/tensor_core.cuh"
#include "kernels/isda/ladder/steps.cuh"
#include "kernels/isda/tile.cuh"

namespace isda::kernels::ladder {

struct ClassProduct {
  Membership members;
  Extents extents;
  const float* weight;  // (C,A)
  float* covariance;    // (C,A,A)
  float* u;             // (most,C,A)

  static constexpr int kThreads = 256, kRows = 128, kColumns = 64;
  using D = tensor_core::Tile<float, Along::k, kRows>;
  using S = tensor_core::Tile<float, Along::other, kColumns>;
  static constexpr int kDepth = D::kDepth;
  struct alignas(16) Step {
    float d[D::kElements], s[S::kElements];
  };
  static unsigned parts(std::int64_t A) { return blocks_for(A, kColumns); }
};

// U_c[j] for the classes j from `first` on, and the columns from `column` on. fetch(row, column, values): four neighbours of S_c, zeros where it ends.
// All threads of the block come here.
template <int width, F32Products products, class Fetch>
__device__ __forceinline__ void multiply_class(const ClassProduct& op, ClassProduct::Step& step, int slot, int first, int column, Fetch&& fetch) {
  using D = ClassProduct::D;
  using S = ClassProduct::S;
  const auto [N, C, A] = op.extents;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int m = warp / 2 * 32, n = warp % 2 * 32;  // the warp's part
  const float* own = op.weight + std::int64_t{op.members.classes[slot]} * A;
  float sums[2][4][4] = {};
  for (int depth = 0; depth < A; depth += ClassProduct::kDepth) {
    // D_c, subtracted on the way.
#pragma unroll
    for (int i = thread; i < D::kElements / 4; i += ClassProduct::kThreads) {
      const int row = i / (D::kColumns / 4), k = i % (D::kColumns / 4) * 4, j = first + row, left = j < C ? A - depth - k : 0;
      float values[4], of_own[4];
      tile::load_four<width>(op.weight + std::int64_t{j} * A + depth + k, left, values);
      tile::load_four<width>(own + depth + k, left, of_own);
#pragma unroll
      for (int a = 0; a < 4; ++a) values[a] -= of_own[a];
      store_packed(step.d + D::offset(row, k), values);
    }
    // S_c, four elements a thread.
    const int row = thread / (S::kColumns / 4), place = thread % (S::kColumns / 4) * 4;
    float values[4];
    fetch(depth + row, column + place, values);
    store_packed(step.s + S::offset(row, place), values);
    __syncthreads();
    // NOTE: a warp whose classes are all beyond the last has nothing to do.
    if (first + m < C) tensor_core::multiply_tiles<D, S, products>(step.d, step.s, m, n, sums);
    __syncthreads();
  }
  // Each lane holds pairs of neighbours.
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int j = first + m + 16 * i + lane / 4 + 8 * half, a = column + n + 8 * k + lane % 4 * 2;
        if (j >= C || a >= A) continue;
        float* to = op.u + (std::int64_t{slot} * C + j) * A + a;
        const float pair[2] = {sums[i][k][2 * half], sums[i][k][2 * half + 1]};
        if constexpr (width >= 2) {
          store_packed(to, pair);
        } else {
          to[0] = pair[0];
          if (a + 1 < A) to[1] = pair[1];
        }
      }
    }
  }
}

// Calls body<width, products>(): how many elements are read at a time, and how the context multiplies f32.
template <class Body>
void dispatch_product(const Context& context, const PerClass& of, Body&& body) {
  dispatch_width<float>(of.op.weight.extent(1), are_aligned({of.op.weight, of.op.covariance, of.u}),
                        [&]<int width>() { dispatch_products<float>(context, [&]<F32Products products>() { body.template operator()<width, products>(); }); });
}

inline ClassProduct class_product(const PerClass& of) {
  return {.members = of.members,
          .extents = extents_of(of.op),
          .weight = of.op.weight.as<float>(),
          .covariance = of.op.covariance.as<float>(),
          .u = of.u.as<float>()};
}

}  // namespace isda::kernels::ladder
