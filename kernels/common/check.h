// SPDX-License-Identifier: Apache-2.0
// The checks every operation makes of its arguments, with one voice:
//   [global_average] y is f32 (8,64), expected (8,32): (N,C) of x (8,7,7,32)
#pragma once
#include <string_view>

#include "kernels/common/view.h"

namespace isda::kernels {

// The argument is given and not empty.
inline void check_given(std::string_view operation, std::string_view argument, const ConstView& view) {
  require(static_cast<bool>(view), "[{}] {} was not given", operation, argument);
  require(view.size() > 0, "[{}] {} is empty: {}", operation, argument, view.shape());
}

// The argument is given and has `rank` extents, named by `meaning`, e.g. "(N,H,W,C)".
inline void check_rank(std::string_view operation, std::string_view argument, const ConstView& view, int rank, std::string_view meaning) {
  check_given(operation, argument, view);
  require(view.shape().rank() == rank, "[{}] {} is {}, expected {} extents: {}", operation, argument, view.shape(), rank, meaning);
}

// The argument is given and has exactly this shape; `meaning` says where it comes from.
inline void check_shape(std::string_view operation, std::string_view argument, const ConstView& view, const Shape& expected, std::string_view meaning) {
  require(static_cast<bool>(view), "[{}] {} was not given, expected {}: {}", operation, argument, expected, meaning);
  require(view.shape() == expected, "[{}] {} is {}, expected {}: {}", operation, argument, view.shape(), expected, meaning);
}

inline void check_type(std::string_view operation, std::string_view argument, const ConstView& view, DType expected) {
  require(view.type() == expected, "[{}] {} is {}, expected {}", operation, argument, name_of(view.type()), name_of(expected));
}

inline void check_float(std::string_view operation, std::string_view argument, const ConstView& view) {
  require(is_float(view.type()), "[{}] {} is {}, expected f32, bf16 or f64", operation, argument, name_of(view.type()));
}

// Features, what is behind the average over the pixels, are sums, which are never bf16.
inline void check_features(std::string_view operation, const ConstView& features) {
  require(features.type() == DType::f32 || features.type() == DType::f64, "[{}] features is {}, expected f32 or f64: the average over the pixels is f32",
          operation, name_of(features.type()));
}

// The cpu device computes in f32 only.
inline void check_cpu(std::string_view operation, const ConstView& view) {
  require(view.type() == DType::f32, "[{}] the cpu device computes in f32, got {}; use --device reference for f64, --device cuda for bf16", operation,
          name_of(view.type()));
}

// The kernels of a card that make tiles of their result (kernels/conv2d, kernels/linear) count in 32 bits, signed; elements lie at 64-bit offsets.
// The largest count that, rounded up to a tile of at most 128, is still below 2^31:
inline constexpr std::int64_t kMostCounted = (std::int64_t{1} << 31) - 128;

// `what` of the argument, e.g. "N*H*W", is no more than the card takes.
inline void check_on_card(std::string_view operation, std::string_view what, std::string_view argument, const ConstView& view, std::int64_t count,
                          std::int64_t most = kMostCounted) {
  require(count <= most, "[{}] {} of {} {} is {}, and the kernels of a card take at most {}; use smaller batches or images, or --device cpu", operation, what,
          argument, view.shape(), count, most);
}

// labels (N) i32: one for each of `samples` samples.
inline void check_labels_shape(std::string_view operation, const ConstView& labels, std::int64_t samples, std::string_view meaning) {
  check_shape(operation, "labels", labels, {samples}, meaning);
  check_type(operation, "labels", labels, DType::i32);
}

// Every label lies in [0, classes). Reads the labels: for the devices that compute on the host.
inline void check_labels(std::string_view operation, const ConstView& labels, std::int64_t classes) {
  const auto* label = labels.as<std::int32_t>();
  for (std::int64_t i = 0; i < labels.size(); ++i) {
    require(label[i] >= 0 && label[i] < classes, "[{}] the label of sample {} is {}, expected 0 to {}: there are {} classes", operation, i, label[i],
            classes - 1, classes);
  }
}

}  // namespace isda::kernels
