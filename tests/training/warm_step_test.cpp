// SPDX-License-Identifier: Apache-2.0
// A warm training step asks the system for no memory: neither for tensors, nor for scratch, nor for anything else that is large.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "core/autograd.h"
#include "core/memory.h"
#include "core/random.h"
#include "losses/cross_entropy.h"
#include "losses/isda.h"
#include "models/resnet.h"
#include "training/optimizer.h"

// A sanitizer has its own operator new.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_LARGE_ALLOCATIONS
#endif

#ifdef COUNTS_LARGE_ALLOCATIONS
namespace {

// From this size on the C library maps fresh pages for an allocation. Nodes of the tape and lists of tensors are far smaller.
constexpr std::size_t kLarge = std::size_t{1} << 16;
std::atomic<long> large_allocations{0};

void* counted(void* memory, std::size_t bytes) {
  if (bytes >= kLarge) ++large_allocations;
  return memory;
}

void* or_throw(void* memory) {
  if (!memory) throw std::bad_alloc();
  return memory;
}

std::size_t rounded(std::size_t bytes, std::align_val_t alignment) {
  const auto step = static_cast<std::size_t>(alignment);
  return (bytes + step - 1) / step * step;
}

}  // namespace

void* operator new(std::size_t bytes) { return or_throw(counted(std::malloc(bytes ? bytes : 1), bytes)); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return counted(std::malloc(bytes ? bytes : 1), bytes); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return or_throw(counted(std::aligned_alloc(static_cast<std::size_t>(alignment), rounded(bytes ? bytes : 1, alignment)), bytes));
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return counted(std::aligned_alloc(static_cast<std::size_t>(alignment), rounded(bytes ? bytes : 1, alignment)), bytes);
}
// NOTE: inlined where new is not, GCC takes them for a mismatched pair.
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
#endif

namespace isda {
namespace {

constexpr std::int64_t kBatch = 4;

// Labels that change from step to step: once all alike, once all different.
void fill_labels(const Tensor& labels, int step) {
  for (std::int64_t n = 0; n < kBatch; ++n) labels.view().set(step % 3 == 0 ? step % 10 : (step + n) % 10, n);
}

class WarmStep : public testing::TestWithParam<const char*> {};

TEST_P(WarmStep, AsksTheSystemForNothing) {
  const std::string name = GetParam();
  CifarResNet network(8, 10);
  network.initialise(1);
  std::unique_ptr<Loss> loss = std::make_unique<CrossEntropyLoss>();
  if (name == "isda_full") loss = std::make_unique<IsdaLoss>(10, 64, 0.5);
  if (name == "isda_diagonal") loss = std::make_unique<IsdaLoss>(10, 64, 0.5, Covariance::diagonal);
  if (name == "isda_low_rank") loss = std::make_unique<IsdaLoss>(10, 64, 0.5, Covariance::low_rank(5));
  loss->set_progress(0.5);
  SgdOptimizer optimizer(network, {});
  optimizer.set_learning_rate(0.01);
  const Tensor images({kBatch, 32, 32, 3}), labels({kBatch}, DType::i32);
  fill_normal(images, 1, 1, RandomStream::test, 0);

  const auto train = [&](int first, int end) {
    for (int step = first; step < end; ++step) {
      fill_labels(labels, step);
      const Tensor value = (*loss)(network.maps(images), network.classifier(), labels).loss;
      backward(value);
      optimizer.step();
    }
  };
  train(0, 4);

  const MemoryStatistics warm = memory_statistics();
  const std::size_t scratch = context_of(Device::cpu).arena().capacity();
  ASSERT_GT(warm.system_allocations, 0u);
  ASSERT_GT(scratch, 0u);
#ifdef COUNTS_LARGE_ALLOCATIONS
  const long large = large_allocations;
  ASSERT_GT(large, 0) << "the first steps must have been counted";
#endif
  train(4, 10);
  EXPECT_EQ(memory_statistics().system_allocations, warm.system_allocations);
  EXPECT_EQ(memory_statistics().reserved, warm.reserved);
  EXPECT_EQ(memory_statistics().in_use, warm.in_use) << "a step leaves nothing behind";
  EXPECT_EQ(memory_statistics().peak_in_use, warm.peak_in_use);
  EXPECT_EQ(context_of(Device::cpu).arena().capacity(), scratch);
  EXPECT_EQ(context_of(Device::cpu).arena().used(), 0u);
#ifdef COUNTS_LARGE_ALLOCATIONS
  EXPECT_EQ(large_allocations, large) << "allocations of " << kLarge << " bytes or more";
#endif
}

INSTANTIATE_TEST_SUITE_P(All, WarmStep, testing::Values("cross_entropy", "isda_full", "isda_diagonal", "isda_low_rank"),
                         [](const auto& loss) { return std::string(loss.param); });

}  // namespace
}  // namespace isda
