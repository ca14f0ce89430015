// SPDX-License-Identifier: Apache-2.0
// Page-locked memory on the way from the host to the card.
//
// The card fetches by itself, and while the host goes on, only from page-locked memory. So what is copied to it passes through a ring of
// buffers: the host copies into the current one, enqueues the transfer, and the source may change at once. A full buffer gets an event, and
// the next one is filled; the host waits only where the ring has come round to a buffer that the card has not read yet. Larger copies go
// in chunks of a buffer, the host's copy of one beside the card's transfer of another.
//
//   bytes of host memory   kBuffers * kBufferBytes, page-locked at the first copy
#pragma once
#include <array>
#include <cstddef>
#include <memory>
#include <optional>

#include "kernels/common/cuda_device.h"

namespace isda {

// Of one stream; not to be shared between threads.
class Staging {
 public:
  static constexpr std::size_t kBuffers = 4;
  static constexpr std::size_t kBufferBytes = std::size_t{4} << 20;

  explicit Staging(cuda::Stream stream) : stream_(stream) {}

  // Enqueues the copy; `from` may be changed when this returns. Not while the stream is recorded for a graph.
  void copy_to_device(void* to, const void* from, std::size_t bytes);

 private:
  struct Release {
    void operator()(std::byte* memory) const { cuda::release_pinned(memory); }
  };

  // Makes the next buffer of the ring the current one, empty.
  void advance();

  const cuda::Stream stream_;
  std::unique_ptr<std::byte, Release> memory_;
  std::array<std::optional<cuda::Event>, kBuffers> read_;  // of each buffer, recorded when it was full
  std::size_t current_ = 0, used_ = 0;
};

}  // namespace isda
