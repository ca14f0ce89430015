// SPDX-License-Identifier: Apache-2.0
// The PTX instructions of kernels/common/ptx.cuh, emulated: the same functions with the same contracts.
//
// Each lane reads its own operands here, in code that is compiled with the kernel, so that sanitizers see the access and its line; what lanes
// exchange is done by the last of them (ptx.cpp).
#pragma once
#include "kernels/emulator/language.cuh"

namespace isda::emulator {

// ldmatrix: eight rows of eight 16-bit elements a matrix; lane 8 * matrix + row brings the row's address.
struct RowOperand {
  alignas(16) std::uint16_t row[8] = {};
  std::uint32_t address = 0;
  std::uint32_t* result;
};
extern const Collective kLoadMatrix1, kLoadMatrix2, kLoadMatrix4, kLoadMatrix1Transposed, kLoadMatrix2Transposed, kLoadMatrix4Transposed;

// mma.sync: fragments as registers.
struct ProductOperand {
  const std::uint32_t *a, *b;
  float* d;
};
extern const Collective kProductBf16, kProductTf32;

template <int matrices>
void load_matrices(const Collective& kind, std::uint32_t (&result)[matrices], const void* row, const Location& where) {
  RowOperand operand{.result = result};
  // NOTE: with fewer than four matrices the addresses of the upper lanes are not used.
  if (lane() < 8 * matrices) {
    check_shared(row, 16, 16, "a row of ldmatrix", where);
    std::memcpy(operand.row, row, sizeof operand.row);
    operand.address = shared_address(row);
  }
  meet(0xffffffffu, kind, &operand, where);
}

}  // namespace isda::emulator

namespace isda::ptx {

inline void ldmatrix_x1(std::uint32_t (&result)[1], const void* row, SIMT_WHERE) { emulator::load_matrices(emulator::kLoadMatrix1, result, row, where); }
inline void ldmatrix_x2(std::uint32_t (&result)[2], const void* row, SIMT_WHERE) { emulator::load_matrices(emulator::kLoadMatrix2, result, row, where); }
inline void ldmatrix_x4(std::uint32_t (&result)[4], const void* row, SIMT_WHERE) { emulator::load_matrices(emulator::kLoadMatrix4, result, row, where); }
inline void ldmatrix_x1_trans(std::uint32_t (&result)[1], const void* row, SIMT_WHERE) {
  emulator::load_matrices(emulator::kLoadMatrix1Transposed, result, row, where);
}
inline void ldmatrix_x2_trans(std::uint32_t (&result)[2], const void* row, SIMT_WHERE) {
  emulator::load_matrices(emulator::kLoadMatrix2Transposed, result, row, where);
}
inline void ldmatrix_x4_trans(std::uint32_t (&result)[4], const void* row, SIMT_WHERE) {
  emulator::load_matrices(emulator::kLoadMatrix4Transposed, result, row, where);
}

inline void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], SIMT_WHERE) {
  emulator::ProductOperand operand{a, b, d};
  emulator::meet(0xffffffffu, emulator::kProductBf16, &operand, where);
}
inline void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], SIMT_WHERE) {
  emulator::ProductOperand operand{a, b, d};
  emulator::meet(0xffffffffu, emulator::kProductTf32, &operand, where);
}

// Rounds to 10 mantissa bits, ties away from zero, as cvt.rna does; NaN becomes the canonical one.
inline std::uint32_t to_tf32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fffffffu;
  if ((bits & 0x7f800000u) == 0x7f800000u) return bits;
  return (bits + 0x1000u) & ~0x1fffu;
}

template <int bytes>
void cp_async(void* shared, const void* global, bool is_valid, SIMT_WHERE) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
  emulator::async_copy(shared, global, bytes, is_valid ? bytes : 0, where);
}
inline void cp_async_commit() { emulator::async_commit(); }
template <int groups_left>
void cp_async_wait() {
  emulator::async_wait(groups_left);
}

}  // namespace isda::ptx
