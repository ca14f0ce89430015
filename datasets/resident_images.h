// SPDX-License-Identifier: Apache-2.0
// The images of a split in a device's memory, as bytes; from which batches are gathered, augmented and normalised there.
//
// CIFAR's 50,000 training images are 154 MB. A batch then costs the host its labels and indices alone, a kilobyte, and the pixels of a batch are those
// that a loader makes for the same seed, epoch and indices (kernels/augment/augment.h).
#pragma once
#include <span>

#include "core/tensor.h"
#include "datasets/augmentation.h"
#include "datasets/dataset.h"

namespace isda {

class ResidentImages {
 public:
  // NOTE: copies the bytes; the split may be gone afterwards.
  ResidentImages(const Split& split, std::span<const double> mean, std::span<const double> deviation, Device device, const Augmentation& augmentation = {});

  // indices (N) i32, epoch (1) i32, both on the device -> images (N,H,W,C). is_augmented: cropped and flipped; what is done beside is done in any case.
  Tensor batch(const Tensor& indices, const Tensor& epoch, std::uint64_t seed, bool is_augmented, DType type) const;

  std::int64_t height() const { return images_.extent(1); }
  std::int64_t width() const { return images_.extent(2); }

  // Whether there are pixels, and they would take no more than half of what is free on the card.
  static bool fit(const Split& split);

 private:
  Tensor images_, mean_, deviation_;
  Augmenter augmenter_;
};

}  // namespace isda
