// SPDX-License-Identifier: Apache-2.0
#include "datasets/resident_images.h"

#include "datasets/loader.h"
#include "kernels/augment/augment.h"

namespace isda {

namespace {

Tensor constants(std::span<const double> values, Device device) {
  const Tensor result({static_cast<std::int64_t>(values.size())});
  for (std::size_t i = 0; i < values.size(); ++i) result.view().set_offset(values[i], static_cast<std::int64_t>(i));
  return result.to(DType::f32, device);
}

}  // namespace

ResidentImages::ResidentImages(const Split& split, std::span<const double> mean, std::span<const double> deviation, Device device,
                               const Augmentation& augmentation)
    : images_(Tensor::copy_of(split.images(), device)),
      mean_(constants(mean, device)),
      deviation_(constants(deviation, device)),
      augmenter_(augmentation, split.height, split.width, device) {}

Tensor ResidentImages::batch(const Tensor& indices, const Tensor& epoch, std::uint64_t seed, bool is_augmented, DType type) const {
  const Tensor y({indices.size(), images_.extent(1), images_.extent(2), images_.extent(3)}, type, images_.device());
  augmenter_.run(y.context(), kernels::Augment{.images = images_,
                                               .indices = indices,
                                               .mean = mean_,
                                               .deviation = deviation_,
                                               .epoch = epoch,
                                               .seed = seed,
                                               .padding = is_augmented ? kCropPadding : 0,
                                               .flip = is_augmented,
                                               .y = y});
  return y;
}

bool ResidentImages::fit(const Split& split) { return !split.are_files() && split.pixels.size() <= cuda::free_memory().free / 2; }

}  // namespace isda
