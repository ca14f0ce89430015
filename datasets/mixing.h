// SPDX-License-Identifier: Apache-2.0
// How the images of a batch are mixed with each other, drawn once a batch: mixup and CutMix.   kernels/mix
//
//   mixup    x <- w x + (1-w) x', loss <- w L(y) + (1-w) L(y')      w ~ Beta(alpha, alpha)      Zhang et al., mixup, ICLR 2018
//   CutMix   in a box of the share 1-w of the image x', elsewhere x; the loss is weighted by the share that the box, cut off at the border, leaves
//            Yun et al., CutMix, ICCV 2019, algorithm A1
//   x', y' of image n are those of image n + shift of the batch, cyclically; the order of a batch is random already. With both, each batch has either.
//
// The draw of a batch is a function of (seed, step) alone: a resumed run, and any device, draws the same. It is made on the host, a few microseconds, and
// what comes out lies in device memory, so that a recorded step can be replayed with the next.
#pragma once
#include <array>
#include <cstdint>

namespace isda {

struct MixOptions {
  double mixup = 0, cutmix = 0;  // each its alpha; 0: not at all

  bool is_on() const { return mixup > 0 || cutmix > 0; }
};

struct MixDraw {
  double pixel_weight = 1;  // w of the pixels outside the box
  double label_weight = 1;  // of the image's own label
  // kernels/mix: shift, and the box's top, left, bottom and right.
  std::array<std::int32_t, 5> place{};
};

MixDraw draw_mix(const MixOptions& options, std::uint64_t seed, std::int64_t step, std::int64_t images, std::int64_t height, std::int64_t width);

// Numbers from one place of the stream for mixing, one after the other.
class MixingNumbers {
 public:
  MixingNumbers(std::uint64_t seed, std::int64_t step) : seed_(seed), step_(step) {}

  double uniform();  // in (0,1)
  double normal();
  // The logarithm of a draw of Gamma(alpha, 1): that of a small alpha may lie below what a double holds.
  double log_gamma(double alpha);
  // Beta(alpha, alpha) as the share of one of two gammas of their sum.
  double beta(double alpha);

 private:
  std::uint64_t seed_;
  std::int64_t step_;
  std::uint32_t position_ = 0;
};

}  // namespace isda
