// SPDX-License-Identifier: Apache-2.0
// For tests of tensors on the card, which is the emulated one unless the tests are linked for a real one.
//
//   class Copies : public OnTheCardTest {};          skipped where no card can be used
//   const DeferredStreams deferred(seed);            streams run as late and as mixed up as they may: what does not wait sees stale values
//   OtherThread other; other.run([&] { ... });       a second host thread, and so a second stream, that stays
#pragma once
#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "core/memory.h"
#include "core/tensor.h"
#include "kernels/common/cuda_device.h"

#if defined(ISDA_EMULATED)
#include "kernels/emulator/emulator.h"
#endif

namespace isda {

class OnTheCardTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
    release_free_memory(Device::cuda);
  }
};

#if defined(ISDA_EMULATED)
// The emulator's options, as they were when this is gone.
class OptionsScope {
 public:
  OptionsScope() = default;
  ~OptionsScope() {
    context_of(Device::cuda).synchronise();
    emulator::options() = before_;
  }
  OptionsScope(const OptionsScope&) = delete;
  OptionsScope& operator=(const OptionsScope&) = delete;

 private:
  const emulator::Options before_ = emulator::options();
};

class DeferredStreams : OptionsScope {
 public:
  DeferredStreams() { emulator::options().deferred_streams = true; }
};
#endif

// Does one thing after another on a thread of its own.
class OtherThread {
 public:
  OtherThread() : thread_([this] { work(); }) {}
  ~OtherThread() {
    run({});
    thread_.join();
  }
  OtherThread(const OtherThread&) = delete;
  OtherThread& operator=(const OtherThread&) = delete;

  // Returns when it is done.
  void run(std::function<void()> job) {
    std::unique_lock lock(mutex_);
    job_ = std::move(job);
    is_done_ = false;
    changed_.notify_all();
    changed_.wait(lock, [&] { return is_done_; });
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (bool is_last = false; !is_last;) {
      changed_.wait(lock, [&] { return !is_done_; });
      is_last = !job_;
      if (job_) job_();
      job_ = {};
      is_done_ = true;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> job_;
  bool is_done_ = true;
  std::thread thread_;
};

// Numbers that differ from place to place and from `start` to `start`, exact in f32.
inline Tensor counted_from(int start, const Shape& shape, DType type = DType::f32) {
  const Tensor result(shape, type);
  for (std::int64_t i = 0; i < result.size(); ++i) result.view().set_offset(static_cast<double>((start * 31 + i) % 127), i);
  return result;
}

// The first element that differs between two tensors, wherever they are; -1 when none does.
inline std::int64_t first_difference(const Tensor& a, const Tensor& b) {
  const Tensor mine = a.on_host(), others = b.on_host();
  for (std::int64_t i = 0; i < mine.size(); ++i) {
    if (!(mine.view().at_offset(i) == others.view().at_offset(i))) return i;
  }
  return mine.size() == others.size() ? -1 : mine.size();
}

}  // namespace isda
