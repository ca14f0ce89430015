// SPDX-License-Identifier: Apache-2.0
#include "datasets/augmentation.h"

#include "kernels/image_policy/image_policy.h"

namespace isda {

namespace {

Tensor integers(const std::vector<std::int32_t>& words, const Shape& shape, Device device) {
  return Tensor::copy_of(ConstView(words.data(), DType::i32, shape), device);
}

}  // namespace

Augmentation augmentation_of(const AugmentationNames& names) {
  Augmentation augmentation{.policy = kernels::policy_of(names.policy)};
  augmentation.policy.add(kernels::color_jitter(names.color_jitter));
  if (names.cutout > 0) {
    augmentation.holes = static_cast<int>(names.cutout_holes);
    augmentation.hole_length = static_cast<int>(names.cutout);
  }
  return augmentation;
}

Augmenter::Augmenter(const Augmentation& augmentation, std::int64_t height, std::int64_t width, Device device)
    : holes_(augmentation.holes), hole_length_(augmentation.hole_length) {
  if (augmentation.policy.is_empty()) return;
  const kernels::PolicyTable table = kernels::compile(augmentation.policy, height, width);
  steps_ = integers(table.steps, {table.sub_policies, table.steps_of_one, kernels::PolicyTable::kWords}, device);
  rounds_ = integers(table.rounds, {static_cast<std::int64_t>(table.rounds.size()) / 2, 2}, device);
}

void Augmenter::run(const Context& context, const kernels::Augment& plain) const {
  kernels::Augment last = plain;
  last.holes = holes_;
  last.hole_length = hole_length_;
  if (!steps_) return kernels::run(context, last);

  // Crop, flip and the policy on bytes; then what is left of `plain`.
  const auto [N, H, W, C] = plain.y.extents<4>();
  Scratch scratch = context.scratch();
  const View bytes(scratch.take<std::uint8_t>(N * H * W * C), DType::u8, {N, H, W, C});
  kernels::run(context, kernels::ImagePolicy{.images = plain.images,
                                             .indices = plain.indices,
                                             .epoch = plain.epoch,
                                             .steps = steps_,
                                             .rounds = rounds_,
                                             .seed = plain.seed,
                                             .padding = plain.padding,
                                             .flip = plain.flip,
                                             .gathered_from = plain.gathered_from,
                                             .y = bytes});
  last.gathered_from = kernels::CroppedImages::of(plain).set_size();
  last.images = bytes;
  last.padding = 0;
  last.flip = false;
  kernels::run(context, last);
}

}  // namespace isda
