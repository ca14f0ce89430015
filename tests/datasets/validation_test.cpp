// SPDX-License-Identifier: Apache-2.0
#include "datasets/validation.h"

#include <set>

#include "tests/datasets/files.h"

namespace isda {
namespace {

std::vector<std::int32_t> labels_of(const std::vector<int>& counts) {
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 1000; ++i) {
    for (std::size_t c = 0; c < counts.size(); ++c) {
      if (i < counts[c]) labels.push_back(static_cast<std::int32_t>(c));
    }
  }
  return labels;
}

std::vector<std::int64_t> counts_of(const std::vector<std::int32_t>& labels, const std::vector<std::int32_t>& indices, int classes) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(classes));
  for (const auto i : indices) ++counts[static_cast<std::size_t>(labels[static_cast<std::size_t>(i)])];
  return counts;
}

TEST(HoldOut, TakesAsManyOfEachClass) {
  const auto labels = labels_of({50, 50, 50});
  for (const int count : {0, 1, 2, 3, 30, 31, 147}) {
    const auto indices = held_out_indices(labels, 3, count);
    ASSERT_EQ(indices.size(), static_cast<std::size_t>(count));
    EXPECT_EQ(std::set(indices.begin(), indices.end()).size(), indices.size());
    EXPECT_TRUE(std::is_sorted(indices.begin(), indices.end()));
    for (const auto of_class : counts_of(labels, indices, 3)) EXPECT_TRUE(of_class == count / 3 || of_class == (count + 2) / 3) << count;
  }
}

TEST(HoldOut, TakesWhatSmallClassesHave) {
  const auto labels = labels_of({3, 0, 40, 1, 40});
  EXPECT_EQ(counts_of(labels, held_out_indices(labels, 5, 22), 5), (std::vector<std::int64_t>{2, 0, 10, 0, 10}));
  EXPECT_EQ(counts_of(labels, held_out_indices(labels, 5, 80), 5), (std::vector<std::int64_t>{2, 0, 39, 0, 39}));
  EXPECT_EQ(message_of([&] { held_out_indices(labels, 5, 81); }),
            "[data] --validation is 81, expected 0 to 80: there are 84 training images, and each class keeps at least one");
  EXPECT_NE(message_of([&] { held_out_indices(labels, 5, -1); }), "");
}

TEST(HoldOut, AFewAreAmongMany) {
  const auto labels = labels_of({50, 50, 50});
  const auto few = held_out_indices(labels, 3, 20), many = held_out_indices(labels, 3, 61);
  EXPECT_TRUE(std::includes(many.begin(), many.end(), few.begin(), few.end()));
}

TEST(HoldOut, DrawsFromTheWholeOfAClass) {
  // The mean position of 1000 drawn of 10000 is 5000 with a deviation of 87; and the draws of two classes differ.
  std::vector<std::int32_t> labels(20000);
  for (std::size_t i = 10000; i < labels.size(); ++i) labels[i] = 1;
  const auto indices = held_out_indices(labels, 2, 2000);
  double sums[2] = {};
  std::set<std::int32_t> first, second;
  for (const auto i : indices) {
    sums[i / 10000] += i % 10000;
    (i < 10000 ? first : second).insert(i % 10000);
  }
  for (const double sum : sums) EXPECT_NEAR(sum / 1000, 5000, 350);
  EXPECT_NE(first, second);
}

// What earlier runs were judged on stays what it is: CIFAR-10's labels are not needed to hold this, ten classes in turn are.
TEST(HoldOut, IsTheSameForever) {
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 50000; ++i) labels.push_back(i % 10);
  const auto indices = held_out_indices(labels, 10, 5000);
  EXPECT_EQ(counts_of(labels, indices, 10), std::vector<std::int64_t>(10, 500));
  EXPECT_EQ(std::vector<std::int32_t>(indices.begin(), indices.begin() + 6), (std::vector<std::int32_t>{3, 4, 28, 54, 60, 61}));
}

TEST(HoldOut, MovesImagesWithTheirLabels) {
  Dataset dataset{.name = "tiny", .class_names = {"cat", "dog"}};
  dataset.train.height = dataset.train.width = 2;
  for (int i = 0; i < 20; ++i) {
    dataset.train.labels.push_back(i % 2);
    dataset.train.pixels.insert(dataset.train.pixels.end(), 12, static_cast<std::uint8_t>(i));
  }
  const Split before = dataset.train;
  hold_out(dataset, 6);
  ASSERT_EQ(dataset.validation.size(), 6);
  ASSERT_EQ(dataset.train.size(), 14);
  std::set<int> seen;
  for (const Split* split : {&dataset.train, &dataset.validation}) {
    EXPECT_EQ(split->images().shape(), (Shape{split->size(), 2, 2, 3}));
    for (std::int64_t i = 0; i < split->size(); ++i) {
      const int image = split->pixels[static_cast<std::size_t>(12 * i)];
      EXPECT_EQ(split->pixels[static_cast<std::size_t>(12 * i + 11)], image);
      EXPECT_EQ(split->labels[static_cast<std::size_t>(i)], image % 2);
      EXPECT_TRUE(seen.empty() || i == 0 || image > split->pixels[static_cast<std::size_t>(12 * i - 1)]);
      seen.insert(image);
    }
  }
  EXPECT_EQ(seen.size(), 20u);
}

}  // namespace
}  // namespace isda
