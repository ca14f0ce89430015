// SPDX-License-Identifier: Apache-2.0
// The pixels of a training image are the same whoever makes them: a loader's workers, however many, or the images that lie on a device.
#include "datasets/augmentation.h"

#include <numeric>

#include "datasets/loader.h"
#include "datasets/resident_images.h"
#include "tests/core/card.h"
#include "tests/datasets/files.h"

namespace isda {
namespace {

// NOTE: mean 0 and deviation 1, so that floats are bytes: how the normalisation rounds is each device's own.
const std::vector<double> kMean{0, 0, 0}, kDeviation{1, 1, 1};
constexpr std::int64_t kImages = 24;
constexpr std::int32_t kEpoch = 3;
constexpr std::uint64_t kSeed = 5;

Split random_split() {
  Split split;
  split.height = 12;
  split.width = 10;
  split.pixels.resize(static_cast<std::size_t>(kImages * split.image_bytes()));
  for (std::size_t i = 0; i < split.pixels.size(); ++i) split.pixels[i] = static_cast<std::uint8_t>(philox(3, RandomStream::test, 1, i / 7)[0] % 256);
  split.labels.resize(kImages);
  return split;
}

const Augmentation& everything() {
  static const Augmentation augmentation = augmentation_of({.policy = "autoaugment-cifar10", .color_jitter = 0.4, .cutout = 5, .cutout_holes = 2});
  return augmentation;
}

// All images, in order.
std::vector<float> from_loader(const Split& split, const Augmentation& augmentation, int workers) {
  Loader loader(split, kMean, kDeviation, {.batch_size = 7, .seed = kSeed, .is_shuffled = false, .augmentation = augmentation, .workers = workers});
  std::vector<float> pixels;
  for (const Batch& batch : loader.epoch(kEpoch)) pixels.insert(pixels.end(), batch.images.as<float>(), batch.images.as<float>() + batch.images.size());
  return pixels;
}

std::vector<float> from_device(const Split& split, const Augmentation& augmentation, Device device) {
  const ResidentImages images(split, kMean, kDeviation, device, augmentation);
  std::vector<std::int32_t> order(kImages);
  std::iota(order.begin(), order.end(), 0);
  const Tensor batch = images
                           .batch(Tensor::copy_of(ConstView(order.data(), DType::i32, {kImages}), device),
                                  Tensor::copy_of(ConstView(&kEpoch, DType::i32, {1}), device), kSeed, true, DType::f32)
                           .on_host();
  const auto* values = batch.view().as<float>();
  return {values, values + batch.size()};
}

TEST(Augmentation, IsTheSameWithAnyNumberOfWorkers) {
  const Split split = random_split();
  const auto pixels = from_loader(split, everything(), 0);
  EXPECT_EQ(from_loader(split, everything(), 1), pixels);
  EXPECT_EQ(from_loader(split, everything(), 3), pixels);
  EXPECT_EQ(from_device(split, everything(), Device::cpu), pixels);
}

class AugmentationOnTheCard : public OnTheCardTest {};

TEST_F(AugmentationOnTheCard, IsThatOfALoader) {
  const Split split = random_split();
  EXPECT_EQ(from_device(split, everything(), Device::cuda), from_loader(split, everything(), 2));
  const Augmentation cutout = augmentation_of({.cutout = 6});
  EXPECT_EQ(from_device(split, cutout, Device::cuda), from_loader(split, cutout, 0));
}

TEST(Augmentation, OfEachKindChangesPixels) {
  const Split split = random_split();
  const auto plain = from_loader(split, {}, 0);
  const auto changed = [&](const AugmentationNames& names) {
    const auto pixels = from_loader(split, augmentation_of(names), 0);
    std::int64_t count = 0;
    for (std::size_t i = 0; i < pixels.size(); ++i) count += pixels[i] != plain[i];
    return static_cast<double>(count) / static_cast<double>(pixels.size());
  };
  EXPECT_EQ(changed({}), 0);
  EXPECT_GT(changed({.policy = "autoaugment-imagenet"}), 0.3);
  EXPECT_GT(changed({.policy = "randaugment:2:20"}), 0.3);
  EXPECT_GT(changed({.color_jitter = 0.4}), 0.5);
  // A square of 6x6 of 12x10 pixels, less what lies beyond the border.
  EXPECT_GT(changed({.cutout = 6}), 0.12);
  EXPECT_LT(changed({.cutout = 6}), 0.3);
}

TEST(Augmentation, KeepsTheCropsOfPlainImages) {
  // With a policy that does nothing the bytes go the longer way, and are the same.
  const Split split = random_split();
  Augmentation idle;
  idle.policy.rounds = {{{kernels::PolicyStep{}}}};
  EXPECT_EQ(from_loader(split, idle, 0), from_loader(split, {}, 0));
  idle.holes = 1;
  idle.hole_length = 4;
  EXPECT_EQ(from_loader(split, idle, 0), from_loader(split, augmentation_of({.cutout = 4}), 0));
}

}  // namespace
}  // namespace isda
