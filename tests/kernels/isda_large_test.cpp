// SPDX-License-Identifier: Apache-2.0
// The covariances of 1000 classes of 2048 features are 16.8 GB: more elements than 32 bits can count; those of low rank take more classes and features for
// that. Here only the last class's exist, where the kernels are to find them; any other address is none of the card's.
#include <gtest/gtest.h>

#if defined(ISDA_EMULATED)
#include <cmath>
#include <vector>

#include "kernels/common/cuda_device.h"
#include "kernels/isda/low_rank.cuh"
#include "kernels/isda/streaming_pass.cuh"

namespace isda::kernels {
namespace {

constexpr std::int64_t kClasses = 1000, kWidth = 2048;

// An array on the card.
template <class T>
class OnCard {
 public:
  OnCard(const std::vector<T>& values, cuda::Stream stream)
      : memory_(static_cast<T*>(cuda::allocate(values.size() * sizeof(T)))), bytes_(values.size() * sizeof(T)), stream_(stream) {
    cuda::copy_to_device(memory_, values.data(), bytes_, stream_);
  }
  ~OnCard() { cuda::release(memory_); }
  OnCard(const OnCard&) = delete;
  OnCard& operator=(const OnCard&) = delete;
  T* get() const { return memory_; }
  // Where the array would begin of which this one is what lies from element `position` on.
  T* behind(std::int64_t position) const {
    return reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(memory_) - static_cast<std::uintptr_t>(position) * sizeof(T));
  }
  std::vector<T> values() const {
    std::vector<T> result(bytes_ / sizeof(T));
    cuda::copy_to_host(result.data(), memory_, bytes_, stream_);
    cuda::synchronise(stream_);
    return result;
  }

 private:
  T* memory_;
  std::size_t bytes_;
  cuda::Stream stream_;
};

std::vector<float> waves(std::int64_t count, float step) {
  std::vector<float> result(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = std::sin(step * static_cast<float>(i % 100003));
  return result;
}

TEST(IsdaLarge, TheLastOfAThousandClassesIsFound) {
  // It has one sample; two classes are looked at beside it.
  constexpr std::int64_t kOwn = kClasses - 1, kSeen = 2;
  const std::vector<float> S = waves(kWidth * kWidth, 0.7f), w = waves(kClasses * kWidth, 0.3f), z = waves(2 * kWidth, 0.9f);
  const Context context(Device::cuda);
  const auto stream = context.stream();
  const OnCard<float> covariance(S, stream), weight(w, stream), terms(z, stream), keep(std::vector<float>{0.5f}, stream);
  const OnCard<float> count(std::vector<float>(kClasses, 4.0f), stream), u(std::vector<float>(kSeen * kWidth), stream);
  const OnCard<float> q(std::vector<float>(static_cast<std::size_t>(StreamingPass::parts(kWidth) * kSeen)), stream);
  const OnCard<int> present({1}, stream), classes({static_cast<int>(kOwn)}, stream), begin({0, 1}, stream), samples({0}, stream);
  run_streaming_pass(context,
                     {.members = {.most = 1, .present = present.get(), .classes = classes.get(), .begin = begin.get(), .samples = samples.get()},
                      .C = kSeen,
                      .A = kWidth,
                      .weight = weight.get(),
                      .covariance = covariance.behind(kOwn * kWidth * kWidth),
                      .terms = {.rows = terms.get(), .keep = keep.get()},
                      .count = count.get(),
                      .u = u.get(),
                      .q = q.get()},
                     F32Products::three_tf32);

  const auto at = [](const std::vector<float>& values, std::int64_t row, std::int64_t column) {
    return static_cast<double>(values[static_cast<std::size_t>(row * kWidth + column)]);
  };
  const std::vector<float> updated = covariance.values(), product = u.values(), counts = count.values();
  for (const std::int64_t row : {std::int64_t{0}, std::int64_t{1000}, kWidth - 1}) {
    for (const std::int64_t column : {std::int64_t{1}, kWidth - 1}) {
      const double expected = 0.5 * at(S, row, column) + at(z, 0, row) * at(z, 0, column) + at(z, 1, row) * at(z, 1, column);
      EXPECT_NEAR(at(updated, row, column), expected, 1e-6) << row << " " << column;
    }
  }
  for (std::int64_t j = 0; j < kSeen; ++j) {
    for (const std::int64_t column : {std::int64_t{0}, std::int64_t{777}, kWidth - 1}) {
      double expected = 0, magnitude = 0;
      for (std::int64_t a = 0; a < kWidth; ++a) {
        const double term = (at(w, j, a) - at(w, kOwn, a)) * at(updated, a, column);
        expected += term;
        magnitude += std::abs(term);
      }
      EXPECT_NEAR(at(product, j, column), expected, 1e-6 * magnitude) << j << " " << column;
    }
  }
  EXPECT_EQ(counts.back(), 5);
  EXPECT_EQ(counts.front(), 4);
}

TEST(IsdaLarge, TheLastOfManyCovariancesOfLowRankIsUpdated) {
  constexpr std::int64_t kMany = 2100, kWide = 16384, kR = 64, kOwn = kMany - 1;
  static_assert(kMany * (1 + kR) * kWide > std::int64_t{1} << 31);
  std::vector<float> S = waves((1 + kR) * kWide, 0.7f);
  for (std::int64_t a = 0; a < kWide; ++a) S[static_cast<std::size_t>(a)] = std::abs(S[static_cast<std::size_t>(a)]);
  const std::vector<float> z = waves(2 * kWide, 0.9f);
  const Context context(Device::cuda);
  const auto stream = context.stream();
  const OnCard<float> covariance(S, stream), terms(z, stream), keep(std::vector<float>{0.5f}, stream), count(std::vector<float>(kMany, 4.0f), stream);
  const OnCard<int> present({1}, stream), classes({static_cast<int>(kOwn)}, stream), begin({0, 1}, stream), samples({0}, stream);
  update_low_rank_on_card(context, {.most = 1, .present = present.get(), .classes = classes.get(), .begin = begin.get(), .samples = samples.get()},
                          {.rows = terms.get(), .keep = keep.get()}, View(covariance.behind(kOwn * (1 + kR) * kWide), DType::f32, {kMany, 1 + kR, kWide}),
                          View(count.get(), DType::f32, {kMany}));

  const auto at = [](const std::vector<float>& values, std::int64_t row, std::int64_t column) {
    return static_cast<double>(values[static_cast<std::size_t>(row * kWide + column)]);
  };
  const std::vector<float> updated = covariance.values(), counts = count.values();
  const auto diagonal = [&](const std::vector<float>& of, std::int64_t a) {
    double sum = at(of, 0, a);
    for (std::int64_t r = 1; r <= kR; ++r) sum += at(of, r, a) * at(of, r, a);
    return sum;
  };
  for (const std::int64_t a : {std::int64_t{0}, std::int64_t{1000}, kWide - 1})
    EXPECT_NEAR(diagonal(updated, a), 0.5 * diagonal(S, a) + at(z, 0, a) * at(z, 0, a) + at(z, 1, a) * at(z, 1, a), 1e-6 * diagonal(S, a)) << a;
  EXPECT_EQ(counts.back(), 5);
  EXPECT_EQ(counts.front(), 4);
}

}  // namespace
}  // namespace isda::kernels
#endif
