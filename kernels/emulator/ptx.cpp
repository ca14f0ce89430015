// SPDX-License-Identifier: Apache-2.0
// What the lanes of a warp exchange in ldmatrix and mma.sync: which register of which lane holds which element.
//   PTX ISA 9.0: 9.7.14.5.15 (ldmatrix), 9.7.14.5.8 (m16n8k16, .bf16), 9.7.14.5.5 (m16n8k8, .tf32)
//
// In the formulas of the manual, groupID = lane / 4 and threadID_in_group = lane % 4.
#include "kernels/emulator/ptx.cuh"

#include <algorithm>
#include <bit>

#include "kernels/emulator/block.h"

namespace isda::emulator {

namespace {

// ---- ldmatrix ----

// Eight rows of 16 bytes are read in one pass when no two of them lie in the same 16 bytes of the 128 that the banks make.
void count_ldmatrix_rows(const std::uint32_t (&addresses)[8]) {
  unsigned rows_in[8] = {}, passes = 0;
  for (int i = 0; i < 8; ++i) {
    bool is_new = true;  // the same row again costs nothing
    for (int j = 0; j < i; ++j) is_new = is_new && addresses[j] != addresses[i];
    if (is_new) passes = std::max(passes, ++rows_in[addresses[i] / 16 % 8]);
  }
  counting->ldmatrix_reads += 1;
  counting->ldmatrix_conflicts += passes - 1;
}

RowOperand& row_of(void* const* operands, int lane) { return *static_cast<RowOperand*>(operands[lane]); }

// Lane l receives elements (row l/4, columns 2*(l%4), +1) of each matrix; transposed, elements (rows 2*(l%4), +1, column l/4).
template <int matrices, bool is_transposed>
void load_matrix(void* const* operands, unsigned) {
  for (int matrix = 0; matrix < matrices; ++matrix) {
    const auto element = [&](int row, int column) { return &row_of(operands, 8 * matrix + row).row[column]; };
    for (int lane = 0; lane < 32; ++lane) {
      const int group = lane / 4, pair = lane % 4 * 2;
      auto* halves = reinterpret_cast<std::byte*>(&row_of(operands, lane).result[matrix]);
      sanitizer::copy_with_state(halves, is_transposed ? element(pair, group) : element(group, pair), 2);
      sanitizer::copy_with_state(halves + 2, is_transposed ? element(pair + 1, group) : element(group, pair + 1), 2);
    }
    std::uint32_t addresses[8];
    for (int row = 0; row < 8; ++row) addresses[row] = row_of(operands, 8 * matrix + row).address;
    count_ldmatrix_rows(addresses);
  }
}

// ---- mma.sync: D (16 x 8) += A (16 x K) B (K x 8), sums in f32 ----

const ProductOperand& product_of(void* const* operands, int lane) { return *static_cast<const ProductOperand*>(operands[lane]); }

float bf16_at(std::uint32_t word, int half) { return std::bit_cast<float>((word >> (16 * half)) << 16); }
// The tensor core reads the upper 19 bits.
float tf32_of(std::uint32_t word) { return std::bit_cast<float>(word & ~0x1fffu); }

// Row group + 8 * (i % 2) of A lies in the i-th words of four lanes, column `group` of B in the words of the same four: whether all of them hold values.
struct Initialised {
  bool rows[16], columns[8];

  explicit Initialised(void* const* operands) {
    std::fill(rows, rows + 16, true);
    std::fill(columns, columns + 8, true);
    for (int lane = 0; lane < 32; ++lane) {
      const auto& [a, b, d] = product_of(operands, lane);
      for (int i = 0; i < 4; ++i) rows[lane / 4 + 8 * (i % 2)] &= sanitizer::is_initialised(&a[i], 4);
      for (int i = 0; i < 2; ++i) columns[lane / 4] &= sanitizer::is_initialised(&b[i], 4);
    }
  }
};

template <int K>
void multiply(void* const* operands, const float (&a)[16][K], const float (&b)[K][8]) {
  const Initialised are_initialised(operands);
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane / 4, pair = lane % 4 * 2;
    float* d = product_of(operands, lane).d;
    for (int i = 0; i < 4; ++i) {
      const int row = group + 8 * (i / 2), column = pair + i % 2;
      if (!are_initialised.rows[row] || !are_initialised.columns[column]) sanitizer::mark_uninitialised(&d[i], 4);
      // NOTE: the card's order and rounding of this sum are not documented; tests allow for it.
      float sum = d[i];
      for (int k = 0; k < K; ++k) sum += a[row][k] * b[k][column];
      d[i] = sum;
    }
  }
  counting->tensor_products += 1;
}

void multiply_bf16(void* const* operands, unsigned) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane / 4, pair = lane % 4 * 2;
    const auto& [a_words, b_words, d] = product_of(operands, lane);
    // a0..a7: rows g, g+8, g, g+8 by registers; columns 2t, 2t+1, and from the third register on 8 more.
    for (int i = 0; i < 8; ++i) a[group + 8 * (i / 2 % 2)][pair + i % 2 + 8 * (i / 4)] = bf16_at(a_words[i / 2], i % 2);
    // b0..b3: rows 2t, 2t+1, then 8 more; column g.
    for (int i = 0; i < 4; ++i) b[pair + i % 2 + 8 * (i / 2)][group] = bf16_at(b_words[i / 2], i % 2);
  }
  multiply<16>(operands, a, b);
}

void multiply_tf32(void* const* operands, unsigned) {
  float a[16][8], b[8][8];
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane / 4, thread = lane % 4;
    const auto& [a_words, b_words, d] = product_of(operands, lane);
    // a0 (g, t), a1 (g+8, t), a2 (g, t+4), a3 (g+8, t+4); b0 (t, g), b1 (t+4, g).
    for (int i = 0; i < 4; ++i) a[group + 8 * (i % 2)][thread + 4 * (i / 2)] = tf32_of(a_words[i]);
    for (int i = 0; i < 2; ++i) b[thread + 4 * i][group] = tf32_of(b_words[i]);
  }
  multiply<8>(operands, a, b);
}

}  // namespace

const Collective kLoadMatrix1{.name = "ldmatrix.x1", .meet = load_matrix<1, false>, .needs_full_warp = true};
const Collective kLoadMatrix2{.name = "ldmatrix.x2", .meet = load_matrix<2, false>, .needs_full_warp = true};
const Collective kLoadMatrix4{.name = "ldmatrix.x4", .meet = load_matrix<4, false>, .needs_full_warp = true};
const Collective kLoadMatrix1Transposed{.name = "ldmatrix.x1.trans", .meet = load_matrix<1, true>, .needs_full_warp = true};
const Collective kLoadMatrix2Transposed{.name = "ldmatrix.x2.trans", .meet = load_matrix<2, true>, .needs_full_warp = true};
const Collective kLoadMatrix4Transposed{.name = "ldmatrix.x4.trans", .meet = load_matrix<4, true>, .needs_full_warp = true};
const Collective kProductBf16{.name = "mma.m16n8k16.bf16", .meet = multiply_bf16, .needs_full_warp = true};
const Collective kProductTf32{.name = "mma.m16n8k8.tf32", .meet = multiply_tf32, .needs_full_warp = true};

}  // namespace isda::emulator
