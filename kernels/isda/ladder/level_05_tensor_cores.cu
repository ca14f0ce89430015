// SPDX-License-Identifier: Apache-2.0
// Level 5: the product on tensor cores (level_05_tensor_cores.cuh). A tensor core multiplies 16 x 8 by 8 x 8 in one instruction of a warp, but of TF32, with
// 10 bits of mantissa: so the context says whether a product of f32 is three of TF32, which keep its digits, or one, or none
// (kernels/common/f32_products.h: 3xtf32, tf32, plain).
//
//   bytes     as level 4; asked of memory and caches 8 K C A^2 / 64 + 4 K A^2 C / 128: tiles are larger, 128 x 64
//   FLOP      as level 4, on another unit; three times that on the unit with 3xtf32; rows beyond C rounded up to 32
//   gains     on an H100 some 490 TFLOP/s of TF32 where its f32 lanes do 67 (the data sheet's figures, by other instructions than these): a third of the
//             first is still more than twice the second
//
// What hurts: S_c is read, changed and written by the update, and read again by the product: three times K A^2, when a product is no longer slow, is most of
// what there is to do. And nothing is on its way while the tensor cores multiply.
#include "kernels/isda/ladder/level_05_tensor_cores.cuh"

namespace isda::kernels::ladder {

namespace {

// Blocks: tiles of columns by tiles of rows j by slots.
template <int width, F32Products products>
__global__ void __launch_bounds__(ClassProduct::kThreads, 2) multiply_kernel(const __grid_constant__ ClassProduct op, int parts, int rows) {
  SIMT_SHARED(step, ClassProduct::Step);
  const int A = op.extents.A, place = static_cast<int>(blockIdx.x) / parts, slot = place / rows;
  if (slot >= *op.members.present) return;
  const float* S = op.covariance + std::int64_t{op.members.classes[slot]} * A * A;
  const auto fetch = [=](int row, int column, float(&values)[4]) {
    tile::load_four<width>(S + std::int64_t{row} * A + column, row < A ? A - column : 0, values);
  };
  multiply_class<width, products>(op, step, slot, place % rows * ClassProduct::kRows, static_cast<int>(blockIdx.x) % parts * ClassProduct::kColumns, fetch);
}

void update_and_multiply(const Context& context, Scratch& scratch, const PerClass& of) {
  update_in_place(context, scratch, of);
  const ClassProduct product = class_product(of);
  const unsigned parts = ClassProduct::parts(product.extents.A), rows = blocks_for(product.extents.C, ClassProduct::kRows);
  const LaunchShape shape{
      .name = "ladder_multiply_on_tensor_cores", .grid = static_cast<unsigned>(of.members.most) * parts * rows, .block = ClassProduct::kThreads};
  dispatch_product(context, of, [&]<int width, F32Products products>() {
    launch(context, shape, multiply_kernel<width, products>, product, static_cast<int>(parts), static_cast<int>(rows));
  });
}

void run_level(const Context& context, const IsdaHead& op) { run_per_class(context, op, update_and_multiply); }

const Declare level{{.name = "05_tensor_cores", .idea = "the product on tensor cores", .cost = cost_in_place, .run = run_level}};

}  // namespace

}  // namespace isda::kernels::ladder
