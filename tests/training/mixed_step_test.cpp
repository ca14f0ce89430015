// SPDX-License-Identifier: Apache-2.0
// A step of mixed images: what reaches network and loss is what datasets/mixing.h draws for the step's number, pixels and labels of the same image.
#include <gtest/gtest.h>

#include "losses/cross_entropy.h"
#include "losses/isda.h"
#include "training/step.h"

namespace isda {
namespace {

constexpr std::int64_t kImages = 5, kSide = 6, kClasses = 7;
constexpr std::uint64_t kSeed = 9;

// Whose maps are the images.
class Mirror : public Network {
 public:
  Mirror() : classifier_(child<Linear>("fc", 3, kClasses)) {}
  Tensor maps(const Tensor& images) const override { return images; }
  const Linear& classifier() const override { return classifier_; }

 private:
  const Linear& classifier_;
};

// Cross-entropy that keeps what it was given.
struct Witness : CrossEntropyLoss {
  LossResult mixed(const Tensor& maps, const Linear& classifier, const Tensor& labels, const SecondLabels& second) override {
    images = maps.clone();
    second_labels = second.labels.clone();
    first = second.weight_of_first.item();
    rest = second.weight_of_second.item();
    return CrossEntropyLoss::mixed(maps, classifier, labels, second);
  }

  Tensor images, second_labels;
  double first = 0, rest = 0;
};

struct Made {
  Made() : images({kImages, kSide, kSide, 3}), labels({kImages}, DType::i32) {
    for (std::int64_t i = 0; i < images.size(); ++i) images.view().set_offset(static_cast<double>(i), i);
    for (std::int64_t n = 0; n < kImages; ++n) labels.view().set(static_cast<double>(n + 1), n);
  }
  Batch batch() const { return {.images = images.view(), .labels = labels.view(), .indices = labels.view()}; }

  Tensor images, labels;
};

TEST(MixedStep, GivesNetworkAndLossWhatIsDrawn) {
  const PlacementScope scope({Device::cpu, DType::f32});
  const Mirror network;
  const Made made;
  for (const MixOptions& options : {MixOptions{.mixup = 1}, MixOptions{.cutmix = 1}}) {
    Witness loss;
    SgdOptimizer optimizer(network, {});
    TrainingStep step(network, loss, optimizer, nullptr, {.placement = {Device::cpu, DType::f32}, .seed = kSeed, .mix = options});
    step.set_step(20);
    for (std::int64_t number = 20; number < 26; ++number) {
      step.run(made.batch());
      const MixDraw draw = draw_mix(options, kSeed, number, kImages, kSide, kSide);
      const auto [shift, top, left, bottom, right] = draw.place;
      EXPECT_FLOAT_EQ(static_cast<float>(loss.first), static_cast<float>(draw.label_weight));
      EXPECT_FLOAT_EQ(static_cast<float>(loss.rest), static_cast<float>(1 - draw.label_weight));
      for (std::int64_t n = 0; n < kImages; ++n) {
        const std::int64_t other = (n + shift) % kImages;
        ASSERT_EQ(loss.second_labels.view().at(n), made.labels.view().at(other));
        for (std::int64_t h = 0; h < kSide; ++h) {
          for (std::int64_t w = 0; w < kSide; ++w) {
            const bool is_in_box = h >= top && h < bottom && w >= left && w < right;
            const double weight = is_in_box ? 0 : draw.pixel_weight;
            const double expected = weight * made.images.view().at(n, h, w, 0) + (1 - weight) * made.images.view().at(other, h, w, 0);
            ASSERT_NEAR(loss.images.view().at(n, h, w, 0), expected, 1e-4) << number << " " << n << " " << h << " " << w;
          }
        }
      }
      step.read_journal();
    }
  }
}

TEST(MixedStep, IsRefusedByALossOfOneLabelAnImage) {
  const PlacementScope scope({Device::cpu, DType::f32});
  const Mirror network;
  const Made made;
  IsdaLoss loss(kClasses, 3, 0.5);
  SgdOptimizer optimizer(network, {});
  TrainingStep step(network, loss, optimizer, nullptr, {.placement = {Device::cpu, DType::f32}, .mix = {.mixup = 1}});
  EXPECT_THROW(step.run(made.batch()), Error);
}

}  // namespace
}  // namespace isda
