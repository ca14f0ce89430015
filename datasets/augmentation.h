// SPDX-License-Identifier: Apache-2.0
// What is done to training images beside crop and flip: a policy of image operations, and Cutout.
//
// Whoever makes a batch - a loader's worker or the card - says how it crops, flips and normalises (kernels/augment), and hands that to an Augmenter of its
// device:
//   no policy   one operation, bytes of the set to floats             a policy    kernels/image_policy first, bytes of the set to bytes of the batch
// Draws are functions of (seed, epoch, index), so that all of them make the same pixels.
#pragma once
#include <string>

#include "core/tensor.h"
#include "kernels/augment/augment.h"
#include "kernels/image_policy/policy.h"

namespace isda {

struct Augmentation {
  kernels::Policy policy;
  int holes = 0;        // Cutout's squares
  int hole_length = 0;  // pixels of their sides
};

// By the names that people give these things: a policy's (kernels/image_policy/policy.h), colour jitter behind it, Cutout.
struct AugmentationNames {
  std::string policy = "none";
  double color_jitter = 0;  // factors from 1 - so much to 1 + so much; 0: none
  std::int64_t cutout = 0;  // the side of a square; 0: none
  std::int64_t cutout_holes = 1;
};
Augmentation augmentation_of(const AugmentationNames& names);

class Augmenter {
 public:
  // For images of one size. Throws Error where the policy cannot be of them.
  Augmenter(const Augmentation& augmentation, std::int64_t height, std::int64_t width, Device device);

  // Makes the batch that `plain` describes, with what is done beside.
  void run(const Context& context, const kernels::Augment& plain) const;

 private:
  int holes_, hole_length_;
  Tensor steps_, rounds_;  // of the policy, on the device; undefined where there is none
};

}  // namespace isda
