// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/context.h"

#include <omp.h>

#include <algorithm>
#include <new>

#include "kernels/common/cuda_device.h"
#include "kernels/common/error.h"

namespace isda {

namespace {
constexpr std::size_t kFirstBlock = std::size_t{1} << 16;
constexpr std::int64_t kFirstTickets = 4096;
}  // namespace

void Arena::Free::operator()(std::byte* pointer) const {
  if (device == Device::cuda)
    cuda::release(pointer);
  else
    ::operator delete (pointer, std::align_val_t{kAlignment});
}

std::byte* Arena::take(std::size_t bytes) {
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  // The first block with room behind what is in use; a tail that is too small is skipped, so that each piece is contiguous.
  for (const auto& block : blocks_) {
    const std::size_t begin = std::max(used_, block.begin);
    if (begin + bytes > block.begin + block.capacity) continue;
    used_ = begin + bytes;
    return block.memory.get() + (begin - block.begin);
  }
  add_block(std::max({bytes, kFirstBlock, capacity()}));
  return take(bytes);
}

void Arena::add_block(std::size_t bytes) {
  void* memory = device_ == Device::cuda ? cuda::allocate(bytes) : ::operator new (bytes, std::align_val_t{kAlignment});
  blocks_.push_back({std::unique_ptr<std::byte, Free>(static_cast<std::byte*>(memory), Free{device_}), capacity(), bytes});
}

void Arena::release_to(std::size_t used) {
  used_ = used;
  if (used_ > 0 || blocks_.size() < 2) return;
  // Everything was given back: one block of the whole size serves the next round without growing.
  const std::size_t bytes = capacity();
  blocks_.clear();
  add_block(bytes);
}

std::size_t Arena::capacity() const {
  std::size_t sum = 0;
  for (const auto& block : blocks_) sum += block.capacity;
  return sum;
}

void Context::DestroyStream::operator()(CUstream_st* stream) const { cuda::destroy_stream(stream); }

Context::Context(Device device, int threads)
    : device_(device),
      threads_(threads > 0 ? threads : omp_get_max_threads()),
      stream_(device == Device::cuda ? cuda::create_stream() : nullptr),
      arena_(std::make_unique<Arena>(device)) {}

unsigned* Context::tickets(std::int64_t count) const {
  if (count > ticket_count_) {
    ticket_count_ = std::max({count, 2 * ticket_count_, kFirstTickets});
    const auto bytes = static_cast<std::size_t>(ticket_count_) * sizeof(unsigned);
    tickets_.emplace_back(static_cast<std::byte*>(cuda::allocate(bytes)), Arena::Free{device_});
    cuda::fill_bytes(tickets_.back().get(), 0, bytes, stream());
  }
  return reinterpret_cast<unsigned*>(tickets_.back().get());
}

void Context::synchronise() const {
  if (stream_) cuda::synchronise(stream_.get());
}

}  // namespace isda
