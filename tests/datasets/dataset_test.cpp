// SPDX-License-Identifier: Apache-2.0
#include "datasets/dataset.h"

#include <cmath>

#include "kernels/common/philox.h"
#include "tests/datasets/files.h"

namespace isda {
namespace {

Split random_split(std::int64_t size, int lowest, int highest) {
  Split split;
  split.height = 4;
  split.width = 3;
  for (std::int64_t i = 0; i < size * split.image_bytes(); ++i) {
    const auto word = philox(5, RandomStream::test, 0, static_cast<std::uint64_t>(i))[0];
    split.pixels.push_back(static_cast<std::uint8_t>(lowest + static_cast<int>(uniform_below(word, static_cast<std::uint32_t>(highest - lowest + 1)))));
  }
  split.labels.assign(static_cast<std::size_t>(size), 0);
  return split;
}

TEST(LoadDataset, SuggestsTheNearestName) {
  EXPECT_EQ(message_of([] { load_dataset("cifar-10", "."); }),
            "[data] no data set is called 'cifar-10', did you mean 'cifar10'?; there are cifar10, cifar100, imagefolder, imagenet, shapes, svhn, svhn_extra");
  EXPECT_PRED2(contains, message_of([] { load_dataset("CIFAR100", "."); }), "did you mean 'cifar100'?");
  EXPECT_EQ(message_of([] { load_dataset("mnist", "."); }),
            "[data] no data set is called 'mnist'; there are cifar10, cifar100, imagefolder, imagenet, shapes, svhn, svhn_extra");
  EXPECT_NE(message_of([] { load_dataset("", "."); }), "");
}

TEST(MeanAndDeviation, AreThoseOfAllPixels) {
  const Split split = random_split(50, 0, 255);
  const auto statistics = mean_and_deviation(split);
  ASSERT_EQ(statistics.mean.size(), 3u);
  const std::int64_t count = 50 * 4 * 3;
  for (std::int64_t c = 0; c < 3; ++c) {
    long double sum = 0, squares = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += split.pixels[static_cast<std::size_t>(i * 3 + c)];
    const long double mean = sum / count;
    for (std::int64_t i = 0; i < count; ++i) squares += std::pow(split.pixels[static_cast<std::size_t>(i * 3 + c)] - mean, 2.0L);
    EXPECT_NEAR(statistics.mean[static_cast<std::size_t>(c)], static_cast<double>(mean), 1e-11);
    EXPECT_NEAR(statistics.deviation[static_cast<std::size_t>(c)], static_cast<double>(std::sqrt(squares / count)), 1e-11);
  }
}

TEST(MeanAndDeviation, SeeEachChannelByItself) {
  Split split = random_split(3, 0, 0);
  for (std::size_t i = 0; i < split.pixels.size(); i += 3) {
    split.pixels[i] = static_cast<std::uint8_t>(i % 2 == 0 ? 254 : 255);  // 254 and 255 in turn
    split.pixels[i + 1] = 17;
  }
  const auto statistics = mean_and_deviation(split);
  EXPECT_NEAR(statistics.mean[0], 254.5, 1e-12);
  EXPECT_NEAR(statistics.deviation[0], 0.5, 1e-12);
  EXPECT_EQ(statistics.mean[1], 17);
  EXPECT_EQ(statistics.deviation[1], 0);
  EXPECT_EQ(statistics.mean[2], 0);
}

TEST(MeanAndDeviation, NeedImages) {
  EXPECT_PRED2(contains, message_of([] { mean_and_deviation(Split{}); }), "empty");
}

TEST(Summary, CountsTheClasses) {
  Dataset dataset{.name = "tiny", .class_names = {"cat", "dog"}, .mean = {1, 2, 3.25}, .deviation = {4, 5, 6}};
  dataset.train = random_split(5, 100, 100);
  dataset.test = random_split(2, 0, 255);
  dataset.train.labels = {1, 0, 1, 1, 1};
  dataset.test.labels = {0, 0};
  EXPECT_EQ(class_counts(dataset.train, 2), (std::vector<std::int64_t>{1, 4}));
  EXPECT_EQ(summary(dataset, 10),
            "tiny: 5 training and 2 test images of 4x3x3, 2 classes\n"
            "normalised with           mean 1.0 2.0 3.2   deviation 4.0 5.0 6.0\n"
            "measured, training images mean 100.0 100.0 100.0   deviation 0.0 0.0 0.0\n"
            "they differ by at most    mean 99.0   deviation 6.0\n"
            "label  class training     test\n"
            "    0  cat          1        2\n"
            "    1  dog          4        0\n");
}

}  // namespace
}  // namespace isda
