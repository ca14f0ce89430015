// SPDX-License-Identifier: Apache-2.0
// The shared memory of one block: arrays with forbidden bytes around each, poison (NaN) at the start, limits as on a card.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/emulator/location.h"

namespace isda::emulator {

class SharedMemory {
 public:
  // NOTE: as on sm_80 and sm_90: 48 KiB declared, 227 KiB in all when the kernel asked for it.
  static constexpr std::size_t kDeclaredLimit = std::size_t{48} << 10, kLimit = std::size_t{227} << 10;

  SharedMemory() = default;
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // For a new block: nothing declared, everything poison.
  void reset(std::size_t dynamic_bytes);

  void* variable(int variable, std::size_t bytes, std::size_t alignment);
  void* dynamic();
  // Piece number `piece` of the dynamic memory, the same for every thread that asks for it.
  void* carve(std::size_t piece, std::size_t bytes, std::size_t alignment);

  bool holds(const void* pointer, std::size_t bytes) const;
  bool is_inside(const void* pointer) const { return pointer >= begin_ && pointer < begin_ + kArena; }
  // The 32-bit address a card would know it by.
  std::uint32_t address(const void* pointer) const { return static_cast<std::uint32_t>(static_cast<const std::byte*>(pointer) - begin_); }
  // Where the bytes behind an array were written to: for builds without AddressSanitizer. Null when nowhere.
  const void* overrun() const;

 private:
  static constexpr std::size_t kArena = std::size_t{512} << 10, kGap = 64;
  static constexpr int kDynamic = -1, kPiece = -2;

  struct Array {
    int variable;
    std::byte* begin;
    std::size_t bytes;
  };

  std::byte* add(int variable, std::size_t bytes, std::size_t alignment);

  std::byte *begin_ = nullptr, *end_ = nullptr;  // end_: of what this block has declared so far
  std::size_t declared_ = 0, carved_ = 0, dynamic_bytes_ = 0;
  std::vector<Array> arrays_, pieces_;
};

}  // namespace isda::emulator
