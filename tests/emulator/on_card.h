// SPDX-License-Identifier: Apache-2.0
// An array on the card, for tests: filled from the host or poison at first, read back whole.
#pragma once
#include <cstddef>
#include <vector>

#include "kernels/common/cuda_device.h"

namespace isda {

template <class T>
class OnCard {
 public:
  explicit OnCard(std::size_t count) : count_(count), data_(static_cast<T*>(cuda::allocate(count * sizeof(T)))) {
    // NOTE: the emulated card fills its memory with poison itself, and knows it for uninitialised.
    if (!cuda::card().is_emulated) cuda::fill_bytes(data_, 0xff, count * sizeof(T), nullptr);
    cuda::synchronise(nullptr);
  }
  explicit OnCard(const std::vector<T>& values) : OnCard(values.size()) {
    cuda::copy_to_device(data_, values.data(), count_ * sizeof(T), nullptr);
    cuda::synchronise(nullptr);
  }
  ~OnCard() { cuda::release(data_); }
  OnCard(const OnCard&) = delete;
  OnCard& operator=(const OnCard&) = delete;

  // As an argument of a kernel.
  operator T*() const { return data_; }  // NOLINT(google-explicit-constructor)
  std::size_t count() const { return count_; }

  // The stream of whoever wrote it must have been waited for.
  std::vector<T> read() const {
    std::vector<T> values(count_);
    cuda::copy_to_host(values.data(), data_, count_ * sizeof(T), nullptr);
    cuda::synchronise(nullptr);
    return values;
  }

 private:
  std::size_t count_;
  T* data_;
};

}  // namespace isda
