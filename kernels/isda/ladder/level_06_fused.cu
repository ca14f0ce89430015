// SPDX-License-Identifier: Apache-2.0
// Level 6: update and product in one pass. While four elements of S_c are in a thread's registers, on their way from memory to the tile of level 5's product,
// they get their terms and are written back: so each S_c is read once and written once.
//
//   A block owns 64 columns of one S_c and makes U_c of 128 classes j at a time; for more classes it goes down its columns again, now only reading.
//
//   bytes     4 (2 K A^2 + 3 K C A): K A^2 less than level 5, a third of what covariances cost; for each further 128 classes K A^2 again, from the second-
//             level cache
//   FLOP      as level 5
//   gains     a third of the traffic, and a launch
//
// What hurts: each step waits for its loads before it multiplies; the sums of Q read U once more; below some hundred features there is so little to do that
// launches are what takes the time.
#include "kernels/isda/ladder/level_05_tensor_cores.cuh"

namespace isda::kernels::ladder {

namespace {

// Blocks: tiles of columns by slots.
template <int width, F32Products products>
__global__ void __launch_bounds__(ClassProduct::kThreads, 2)
    update_and_multiply_kernel(const __grid_constant__ ClassProduct op, const __grid_constant__ CovarianceTerms terms, float* count, int parts) {
  SIMT_SHARED(step, ClassProduct::Step);
  const int A = op.extents.A, slot = static_cast<int>(blockIdx.x) / parts, part = static_cast<int>(blockIdx.x) % parts;
  if (slot >= *op.members.present) return;
  const int c = op.members.classes[slot], m = op.members.count(slot);
  float* S = op.covariance + std::int64_t{c} * A * A;
  const float *first_z = terms.rows + terms.first_row(op.members, slot) * A, keep = terms.keep[slot];

  for (int first = 0; first < op.extents.C; first += ClassProduct::kRows) {
    const auto fetch = [=](int row, int column, float(&values)[4]) {
      const int left = row < A ? A - column : 0;
      float* at = S + std::int64_t{row} * A + column;
      tile::load_four<width>(at, left, values);
      // NOTE: with the next classes a thread finds what it wrote itself.
      if (first > 0 || left <= 0) return;
#pragma unroll
      for (float& value : values) value *= keep;
      const float* z = first_z;
      // NOTE: for the registers' sake.
#pragma unroll 1
      for (int k = 0; k <= m; ++k, z += A) {
        float of_columns[4];
        tile::load_four<width>(z + column, left, of_columns);
#pragma unroll
        for (int i = 0; i < 4; ++i) values[i] = fmaf(z[row], of_columns[i], values[i]);
      }
      tile::store_four<width>(at, left, values);
    };
    multiply_class<width, products>(op, step, slot, first, part * ClassProduct::kColumns, fetch);
  }
  if (part == 0 && threadIdx.x == 0) count[c] += static_cast<float>(m);
}

void update_and_multiply(const Context& context, Scratch& scratch, const PerClass& of) {
  const CovarianceTerms terms = fold_on_card(context, scratch, of.op.name, of.members, of.features, of.op.count, of.op.mean);
  const ClassProduct product = class_product(of);
  const unsigned parts = ClassProduct::parts(product.extents.A);
  const LaunchShape shape{.name = "ladder_update_and_multiply", .grid = static_cast<unsigned>(of.members.most) * parts, .block = ClassProduct::kThreads};
  dispatch_product(context, of, [&]<int width, F32Products products>() {
    launch(context, shape, update_and_multiply_kernel<width, products>, product, terms, of.op.count.as<float>(), static_cast<int>(parts));
  });
}

void run_level(const Context& context, const IsdaHead& op) { run_per_class(context, op, update_and_multiply); }

Cost cost_of_level(const IsdaHead& op) {
  const Sizes of(op);
  const Cost in_place = cost_in_place(op);
  return {.flop = in_place.flop, .bytes = in_place.bytes - 4 * of.K * of.A * of.A};
}

const Declare level{{.name = "06_fused", .idea = "update and product in one pass", .cost = cost_of_level, .run = run_level}};

}  // namespace

}  // namespace isda::kernels::ladder
