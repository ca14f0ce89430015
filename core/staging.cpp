// SPDX-License-Identifier: Apache-2.0
#include "core/staging.h"

#include <algorithm>
#include <cstring>

#include "kernels/common/error.h"

namespace isda {

namespace {
// Pieces begin at multiples of this.
constexpr std::size_t kAlignment = 64;
}  // namespace

void Staging::copy_to_device(void* to, const void* from, std::size_t bytes) {
  // NOTE: a replay would copy what lies in the buffer by then.
  require(!cuda::is_capturing(stream_), "[tensor] a copy from the host to the card while a graph is recorded: copy before, into a tensor that stays");
  auto* target = static_cast<std::byte*>(to);
  const auto* source = static_cast<const std::byte*>(from);
  if (!memory_) memory_.reset(static_cast<std::byte*>(cuda::allocate_pinned(kBuffers * kBufferBytes)));
  while (bytes > 0) {
    if (used_ == kBufferBytes) advance();
    std::byte* const piece = memory_.get() + current_ * kBufferBytes + used_;
    const std::size_t piece_bytes = std::min(bytes, kBufferBytes - used_);
    std::memcpy(piece, source, piece_bytes);
    cuda::copy_to_device(target, piece, piece_bytes, stream_);
    used_ += (piece_bytes + kAlignment - 1) / kAlignment * kAlignment;
    target += piece_bytes;
    source += piece_bytes;
    bytes -= piece_bytes;
  }
}

void Staging::advance() {
  auto& full = read_[current_];
  if (!full) full.emplace(/*is_timed=*/false);
  full->record(stream_);
  current_ = (current_ + 1) % kBuffers;
  used_ = 0;
  if (read_[current_]) read_[current_]->wait();
}

}  // namespace isda
