// SPDX-License-Identifier: Apache-2.0
#include "kernels/emulator/shared_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "kernels/emulator/block.h"
#include "kernels/emulator/sanitizers.h"

namespace isda::emulator {

namespace {

constexpr std::byte kPoison{0xff};

std::byte* aligned(std::byte* pointer, std::size_t alignment) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  return pointer + ((address + alignment - 1) / alignment * alignment - address);
}

// NOTE: not memset, which ThreadSanitizer would take for a write by the thread that happens to start the block.
void fill_poison(std::byte* begin, std::byte* end) {
  void* to = begin;
  std::size_t count = static_cast<std::size_t>(end - begin);
#if defined(__x86_64__)
  asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0xff) : "memory");
#else
  for (volatile auto* byte = static_cast<volatile unsigned char*>(to); count > 0; --count) *byte++ = 0xff;
#endif
}

}  // namespace

SharedMemory::~SharedMemory() {
  if (begin_) munmap(begin_, kArena);
}

void SharedMemory::reset(std::size_t dynamic_bytes) {
  if (!begin_) {
    void* memory = mmap(nullptr, kArena, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    begin_ = static_cast<std::byte*>(memory);
    end_ = begin_ + kArena;
  }
  sanitizer::permit(begin_, static_cast<std::size_t>(end_ - begin_));
  fill_poison(begin_, end_);
  sanitizer::forbid(begin_, kArena);
  end_ = begin_ + kGap;
  declared_ = carved_ = 0;
  dynamic_bytes_ = dynamic_bytes;
  arrays_.clear();
  pieces_.clear();
}

namespace {
// NOTE: `where` of the running thread is the declaration that asked.
[[noreturn]] void refuse(std::string message) { fail(std::move(message), current->where); }
}  // namespace

std::byte* SharedMemory::add(int variable, std::size_t bytes, std::size_t alignment) {
  std::byte* begin = aligned(end_, std::max<std::size_t>(alignment, 16));
  if (begin + bytes + kGap > begin_ + kArena) refuse("the arrays of shared memory are too many for the emulator's arena");
  end_ = aligned(begin + bytes + kGap, 16);
  sanitizer::permit(begin, bytes);
  sanitizer::mark_uninitialised(begin, bytes);
  arrays_.push_back({variable, begin, bytes});
  return begin;
}

void* SharedMemory::variable(int variable, std::size_t bytes, std::size_t alignment) {
  for (const Array& array : arrays_) {
    if (array.variable == variable) return array.begin;
  }
  declared_ += bytes;
  if (declared_ > kDeclaredLimit) {
    refuse("the kernel declares " + std::to_string(declared_) + " bytes of shared memory, at most " + std::to_string(kDeclaredLimit) +
           " are possible; take dynamic shared memory");
  }
  return add(variable, bytes, alignment);
}

void* SharedMemory::dynamic() {
  for (const Array& array : arrays_) {
    if (array.variable == kDynamic) return array.begin;
  }
  return add(kDynamic, dynamic_bytes_, 1024);
}

void* SharedMemory::carve(std::size_t piece, std::size_t bytes, std::size_t alignment) {
  if (piece < pieces_.size()) {
    if (pieces_[piece].bytes != bytes) refuse("threads carve dynamic shared memory into different pieces");
    return pieces_[piece].begin;
  }
  carved_ = (carved_ + alignment - 1) / alignment * alignment + bytes;
  if (carved_ > dynamic_bytes_) {
    refuse("the kernel carves " + std::to_string(carved_) + " bytes of dynamic shared memory, the launch asked for " + std::to_string(dynamic_bytes_));
  }
  std::byte* begin = add(kPiece, bytes, alignment);
  pieces_.push_back({kPiece, begin, bytes});
  return begin;
}

bool SharedMemory::holds(const void* pointer, std::size_t bytes) const {
  const auto* begin = static_cast<const std::byte*>(pointer);
  return std::any_of(arrays_.begin(), arrays_.end(), [&](const Array& array) { return begin >= array.begin && begin + bytes <= array.begin + array.bytes; });
}

const void* SharedMemory::overrun() const {
#if !defined(ISDA_EMULATOR_ADDRESS)
  for (const Array& array : arrays_) {
    for (std::byte* byte = array.begin + array.bytes; byte < array.begin + array.bytes + kGap; ++byte) {
      if (*byte != kPoison) return byte;
    }
  }
#endif
  return nullptr;
}

}  // namespace isda::emulator
