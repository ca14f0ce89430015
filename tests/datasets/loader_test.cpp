// SPDX-License-Identifier: Apache-2.0
// Batches are a function of (seed, epoch) however they are made, and every way to end early is clean.
#include "datasets/loader.h"

#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <set>

#include "kernels/augment/augment.h"
#include "tests/datasets/files.h"

namespace isda {
namespace {

const std::vector<double> kMean{120, 110, 100};
const std::vector<double> kDeviation{60, 50, 40};

Split random_split(std::int64_t size) {
  Split split;
  split.height = 8;
  split.width = 7;
  split.pixels.resize(static_cast<std::size_t>(size * split.image_bytes()));
  for (std::size_t i = 0; i < split.pixels.size(); ++i) split.pixels[i] = static_cast<std::uint8_t>(philox(3, RandomStream::test, 1, i)[0]);
  for (std::int64_t i = 0; i < size; ++i) split.labels.push_back(static_cast<std::int32_t>(i * 7 % 10));
  return split;
}

// Everything an epoch gave, in order.
struct Taken {
  std::vector<std::int64_t> sizes;
  std::vector<std::int32_t> indices, labels;
  std::vector<std::byte> images;

  void add(const Batch& batch) {
    sizes.push_back(batch.indices.extent(0));
    const auto append = [](const ConstView& view, auto& list) { list.insert(list.end(), view.as<std::int32_t>(), view.as<std::int32_t>() + view.size()); };
    append(batch.indices, indices);
    append(batch.labels, labels);
    const auto* bytes = static_cast<const std::byte*>(batch.images.data());
    images.insert(images.end(), bytes, bytes + batch.images.bytes());
  }
  bool operator==(const Taken&) const = default;
};

Taken take(Loader& loader, std::int32_t epoch, std::int64_t first_batch = 0) {
  Taken taken;
  for (const Batch& batch : loader.epoch(epoch, first_batch)) taken.add(batch);
  return taken;
}

class LoaderWith : public testing::TestWithParam<int> {
 public:
  LoaderOptions options() const { return {.batch_size = 16, .seed = 5, .workers = GetParam()}; }

  const Split split = random_split(100);
};
INSTANTIATE_TEST_SUITE_P(Workers, LoaderWith, testing::Values(0, 1, 3, 9), testing::PrintToStringParamName());

TEST_P(LoaderWith, GivesTheBytesOfNoWorkers) {
  LoaderOptions alone = options();
  alone.workers = 0;
  Loader expected(split, kMean, kDeviation, alone);
  Loader actual(split, kMean, kDeviation, options());
  for (std::int32_t epoch = 0; epoch < 20; ++epoch) ASSERT_EQ(take(actual, epoch), take(expected, epoch)) << epoch;
}

TEST_P(LoaderWith, GivesEveryImageOnceInAnEpoch) {
  Loader loader(split, kMean, kDeviation, options());
  const Taken taken = take(loader, 4);
  EXPECT_EQ(loader.batches(), 7);
  EXPECT_EQ(taken.sizes, (std::vector<std::int64_t>{16, 16, 16, 16, 16, 16, 4}));
  const std::set<std::int32_t> different(taken.indices.begin(), taken.indices.end());
  EXPECT_EQ(different.size(), 100u);
  EXPECT_EQ(*different.begin(), 0);
  EXPECT_EQ(*different.rbegin(), 99);
  for (std::size_t i = 0; i < taken.indices.size(); ++i) ASSERT_EQ(taken.labels[i], split.labels[static_cast<std::size_t>(taken.indices[i])]);
}

TEST_P(LoaderWith, GivesOtherEpochsAnotherOrderAndOtherImages) {
  Loader loader(split, kMean, kDeviation, options());
  const Taken zero = take(loader, 0), one = take(loader, 1);
  EXPECT_NE(zero.indices, one.indices);
  LoaderOptions in_order = options();
  in_order.is_shuffled = false;
  Loader ordered(split, kMean, kDeviation, in_order);
  const Taken ordered_zero = take(ordered, 0), ordered_one = take(ordered, 1);
  EXPECT_EQ(ordered_zero.indices, ordered_one.indices);
  EXPECT_NE(ordered_zero.images, ordered_one.images);
  LoaderOptions reseeded = options();
  reseeded.seed = 6;
  Loader other(split, kMean, kDeviation, reseeded);
  EXPECT_NE(take(other, 0).indices, zero.indices);
}

TEST_P(LoaderWith, ResumesAtAnEpochOrABatchAsIfItHadRunThrough) {
  Loader through(split, kMean, kDeviation, options());
  for (std::int32_t epoch = 0; epoch < 3; ++epoch) take(through, epoch);
  const Taken third = take(through, 3);
  Loader resumed(split, kMean, kDeviation, options());
  EXPECT_EQ(take(resumed, 3), third);
  const Taken rest = take(resumed, 3, 5);
  EXPECT_EQ(rest.indices, std::vector<std::int32_t>(third.indices.begin() + 80, third.indices.end()));
  EXPECT_EQ(rest.images, std::vector<std::byte>(third.images.end() - static_cast<std::ptrdiff_t>(rest.images.size()), third.images.end()));
  EXPECT_TRUE(take(resumed, 3, 7).sizes.empty());
  EXPECT_PRED2(contains, message_of([&] { resumed.start(3, 8); }), "[loader] epoch 3 was to begin at batch 8, it has 7");
}

TEST_P(LoaderWith, DropsAPartialBatchOnRequest) {
  LoaderOptions dropping = options();
  dropping.drops_partial = true;
  Loader loader(split, kMean, kDeviation, dropping);
  EXPECT_EQ(loader.batches(), 6);
  EXPECT_EQ(take(loader, 0).sizes, std::vector<std::int64_t>(6, 16));
}

TEST_P(LoaderWith, KeepsToTheFirstImagesOfALimit) {
  LoaderOptions limited = options();
  limited.limit = 20;
  Loader loader(split, kMean, kDeviation, limited);
  EXPECT_EQ(loader.images(), 20);
  const Taken taken = take(loader, 2);
  EXPECT_EQ(taken.sizes, (std::vector<std::int64_t>{16, 4}));
  const std::set<std::int32_t> different(taken.indices.begin(), taken.indices.end());
  EXPECT_EQ(different.size(), 20u);
  EXPECT_EQ(*different.rbegin(), 19);
  limited.limit = 1000;
  EXPECT_EQ(Loader(split, kMean, kDeviation, limited).images(), 100);
  limited.limit = 3;
  Loader small(split, kMean, kDeviation, limited);
  EXPECT_EQ(take(small, 0).sizes, std::vector<std::int64_t>{3});
}

TEST_P(LoaderWith, NormalisesInOrderForEvaluation) {
  LoaderOptions evaluation = options();
  evaluation.is_shuffled = evaluation.is_augmented = false;
  Loader loader(split, kMean, kDeviation, evaluation);
  std::int64_t image = 0;
  for (const Batch& batch : loader.epoch(0)) {
    for (std::int64_t n = 0; n < batch.images.extent(0); ++n, ++image) {
      ASSERT_EQ(batch.indices.at(n), image);
      for (std::int64_t c = 0; c < 3; ++c) {
        const double expected = (split.images().at(image, 7, 6, c) - kMean[static_cast<std::size_t>(c)]) / kDeviation[static_cast<std::size_t>(c)];
        ASSERT_NEAR(batch.images.at(n, 7, 6, c), expected, 1e-6);
      }
    }
  }
  EXPECT_EQ(image, 100);
}

TEST_P(LoaderWith, IsLeftAtAnyMoment) {
  for (int taken = 0; taken <= 7; ++taken) {
    Loader loader(split, kMean, kDeviation, options());
    loader.start(0);
    for (int batch = 0; batch < taken; ++batch) ASSERT_NE(loader.next(), nullptr);
  }
  Loader never_started(split, kMean, kDeviation, options());
  EXPECT_EQ(never_started.next(), nullptr);
}

TEST_P(LoaderWith, BeginsAnotherEpochAtAnyMoment) {
  LoaderOptions alone = options();
  alone.workers = 0;
  Loader expected(split, kMean, kDeviation, alone);
  Loader loader(split, kMean, kDeviation, options());
  for (std::int32_t epoch = 0; epoch < 30; ++epoch) {
    loader.start(epoch);
    for (int batch = 0; batch < epoch % 8; ++batch) loader.next();
    ASSERT_EQ(take(loader, epoch + 1), take(expected, epoch + 1));
  }
}

TEST_P(LoaderWith, GivesNothingAfterTheLastBatch) {
  Loader loader(split, kMean, kDeviation, options());
  take(loader, 0);
  EXPECT_EQ(loader.next(), nullptr);
  EXPECT_EQ(loader.next(), nullptr);
  EXPECT_EQ(take(loader, 1).sizes.size(), 7u);
}

TEST_P(LoaderWith, KeepsABatchWhileTheNextAreMade) {
  Loader loader(split, kMean, kDeviation, options());
  loader.start(0);
  loader.next();
  const Batch* second = loader.next();
  Taken at_once, later;
  at_once.add(*second);
  // Long enough for the workers to fill whatever they may.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  later.add(*second);
  EXPECT_EQ(at_once, later);
}

TEST_P(LoaderWith, ThrowsToTheCallerWhatAWorkerThrew) {
  // The last ten labels have no pixels, so that some batch cannot be made.
  Split damaged = split;
  damaged.pixels.resize(static_cast<std::size_t>(90 * damaged.image_bytes()));
  LoaderOptions in_order = options();
  in_order.is_shuffled = false;
  Loader loader(damaged, kMean, kDeviation, in_order);
  for (int attempt = 0; attempt < 3; ++attempt) {
    // The batches before image 90 come, then the error, then nothing.
    loader.start(attempt);
    for (int batch = 0; batch < 5; ++batch) ASSERT_NE(loader.next(), nullptr);
    EXPECT_EQ(message_of([&] { loader.next(); }), "[augment] indices[10] is 90, expected 0 to 89: there are 90 images");
    EXPECT_EQ(loader.next(), nullptr);
  }
  LoaderOptions limited = in_order;
  limited.limit = 90;
  Loader sound(damaged, kMean, kDeviation, limited);
  EXPECT_EQ(take(sound, 0).indices.size(), 90u);
}

TEST_P(LoaderWith, ReportsConstantsThatDoNotFit) {
  const std::vector<double> two{1, 2};
  Loader loader(split, two, kDeviation, options());
  EXPECT_PRED2(contains, message_of([&] { take(loader, 0); }), "[augment] mean is (2), expected (3)");
}

TEST_P(LoaderWith, MakesDoublesForTheReference) {
  LoaderOptions doubles = options();
  doubles.type = DType::f64;
  Loader loader(split, kMean, kDeviation, doubles), singles(split, kMean, kDeviation, options());
  loader.start(1);
  singles.start(1);
  const Batch* batch = loader.next();
  const Batch* single = singles.next();
  ASSERT_EQ(batch->images.type(), DType::f64);
  ASSERT_EQ(batch->images.shape(), single->images.shape());
  int same = 0;
  for (std::int64_t i = 0; i < batch->images.size(); ++i) {
    ASSERT_NEAR(batch->images.at_offset(i), single->images.at_offset(i), 1e-6);
    same += batch->images.at_offset(i) == single->images.at_offset(i);
  }
  EXPECT_LT(same, batch->images.size() / 2);  // computed in double, not copied from f32
}

TEST_P(LoaderWith, RoundsToBf16) {
  LoaderOptions rounded = options();
  rounded.type = DType::bf16;
  Loader loader(split, kMean, kDeviation, rounded), singles(split, kMean, kDeviation, options());
  loader.start(1);
  singles.start(1);
  const Batch* batch = loader.next();
  const Batch* single = singles.next();
  ASSERT_EQ(batch->images.type(), DType::bf16);
  ASSERT_EQ(batch->images.shape(), single->images.shape());
  for (std::int64_t i = 0; i < batch->images.size(); ++i) {
    ASSERT_EQ(batch->images.as<bf16>()[i].bits, bf16(single->images.as<float>()[i]).bits) << i;
  }
}

TEST(Loader, ShufflesEvenly) {
  // Where image 0 lands over many epochs: each of ten positions about equally often.
  const Split split = random_split(10);
  Loader loader(split, kMean, kDeviation, {.batch_size = 10, .workers = 0});
  std::vector<int> counts(10);
  for (std::int32_t epoch = 0; epoch < 5000; ++epoch) {
    loader.start(epoch);
    const auto* indices = loader.next()->indices.as<std::int32_t>();
    ++counts[static_cast<std::size_t>(std::find(indices, indices + 10, 0) - indices)];
  }
  double chi_square = 0;  // with 9 degrees of freedom: above 30 once in 2500 seeds
  for (const int count : counts) chi_square += (count - 500.0) * (count - 500.0) / 500.0;
  EXPECT_LT(chi_square, 30);
}

TEST(Loader, RefusesWhatMakesNoBatches) {
  const Split split = random_split(10);
  const auto message = [&](const LoaderOptions& options) { return message_of([&] { Loader(split, kMean, kDeviation, options); }); };
  EXPECT_EQ(message({}), "");
  EXPECT_EQ(message({.batch_size = 0}), "[loader] the batch size is 0, expected 1 or more (--batch-size)");
  EXPECT_PRED2(contains, message({.batch_size = -4}), "the batch size is -4");
  EXPECT_PRED2(contains, message({.limit = -1}), "the limit is -1 images");
  EXPECT_PRED2(contains, message({.workers = -1}), "-1 workers");
  EXPECT_PRED2(contains, message({.type = DType::u8}), "type u8");
  EXPECT_EQ(message({.batch_size = 10, .drops_partial = true}), "");
  EXPECT_PRED2(contains, message({.batch_size = 11, .drops_partial = true}), "nothing is left");
  EXPECT_PRED2(contains, message_of([] { Loader(Split{}, kMean, kDeviation, {}); }), "[loader] the data set has no images");
}

}  // namespace
}  // namespace isda
