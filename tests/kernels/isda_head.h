// SPDX-License-Identifier: Apache-2.0
// One batch with everything that ISDA's operations read and write, for tests that look at bits and messages: made on the host, moved to the card to compute.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kernels/isda/isda.h"

namespace isda::kernels::isda_test {

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// An array that owns its memory; while an operation runs on the card, it is there.
class Array {
 public:
  Array() = default;
  Array(DType type, const Shape& shape, double value = 0) : bytes_(static_cast<std::size_t>(shape.size()) * size_of(type)), type_(type), shape_(shape) {
    for (std::int64_t i = 0; i < shape.size(); ++i) view().set_offset(value, i);
  }
  View view() const { return View(const_cast<std::byte*>(bytes_.data()), type_, shape_); }
  operator View() const { return card_ ? View(card_, type_, shape_) : view(); }
  double operator[](std::int64_t i) const { return view().at_offset(i); }
  void set(std::int64_t i, double value) const { view().set_offset(value, i); }
  bool operator==(const Array& other) const { return bytes_ == other.bytes_; }
  void move_to_card(cuda::Stream stream) const {
    card_ = cuda::allocate(bytes_.size());
    cuda::copy_to_device(card_, bytes_.data(), bytes_.size(), stream);
  }
  void move_to_host(cuda::Stream stream) const {
    cuda::copy_to_host(view().data(), card_, bytes_.size(), stream);
    cuda::synchronise(stream);
    cuda::release(card_);
    card_ = nullptr;
  }
  // Elements [begin, begin + count), bit for bit.
  std::vector<std::byte> bits(std::int64_t begin, std::int64_t count) const {
    const auto size = static_cast<std::int64_t>(size_of(type_));
    return {bytes_.begin() + begin * size, bytes_.begin() + (begin + count) * size};
  }

 private:
  std::vector<std::byte> bytes_;
  DType type_ = DType::f32;
  Shape shape_;
  mutable void* card_ = nullptr;
};

// Runs the operation that make() describes, with its arrays where the context computes.
template <class Make>
void compute(const Context& context, const std::vector<const Array*>& arrays, Make&& make) {
  if (context.device() != Device::cuda) return run(context, make());
  for (const Array* array : arrays) array->move_to_card(context.stream());
  run(context, make());
  for (const Array* array : arrays) array->move_to_host(context.stream());
}

// R: directions of a covariance of low rank, else 0.
inline Shape covariance_shape(std::int64_t C, std::int64_t A, bool is_full, std::int64_t R) {
  if (R > 0) return {C, 1 + R, A};
  return is_full ? Shape{C, A, A} : Shape{C, A};
}
// S_c between two features, whatever the kind.
inline double covariance_at(const ConstView& covariance, std::int64_t c, std::int64_t a, std::int64_t b) {
  if (is_full(covariance)) return covariance.at(c, a, b);
  if (is_diagonal(covariance)) return a == b ? covariance.at(c, a) : 0;
  double sum = a == b ? covariance.at(c, 0, a) : 0;
  for (std::int64_t r = 1; r < covariance.extent(1); ++r) sum += covariance.at(c, r, a) * covariance.at(c, r, b);
  return sum;
}

// One batch, the parameters, the statistics and every result of the head.
struct Head {
  std::int64_t N, C, A;
  bool is_full;
  std::int64_t R;  // directions of a covariance of low rank, else 0
  Array features, labels, weight, bias, ratio, count, mean, covariance, logits, augmented, slots, u, daugmented, dfeatures, dweight, dbias;

  Head(DType type, std::int64_t samples, std::int64_t classes, std::int64_t width, bool full, std::int64_t directions = 0)
      : N(samples),
        C(classes),
        A(width),
        is_full(full),
        R(directions),
        features(type, {N, A}),
        labels(DType::i32, {N}),
        weight(type, {C, A}),
        bias(type, {C}),
        ratio(type, {1}, 0.5),
        count(type, {C}),
        mean(type, {C, A}),
        covariance(type, covariance_shape(C, A, full, directions)),
        logits(type, {N, C}, kNaN),
        augmented(type, {N, C}, kNaN),
        slots(DType::i32, {C}, 77),
        u(type, {std::min(N, C), C, directions > 0 ? directions : A}, kNaN),
        daugmented(type, {N, C}),
        dfeatures(type, {N, A}, kNaN),
        dweight(type, {C, A}, kNaN),
        dbias(type, {C}, kNaN) {}

  View kept_u() const { return is_full || R > 0 ? View(u) : View(); }
  // Elements of a class's covariance.
  std::int64_t spread() const { return covariance.view().size() / C; }
  // S_c between two features.
  double covariance_at(std::int64_t c, std::int64_t a, std::int64_t b) const { return isda_test::covariance_at(covariance.view(), c, a, b); }
  IsdaUpdate update() const { return {.features = features, .labels = labels, .count = count, .mean = mean, .covariance = covariance}; }
  IsdaForward forward() const {
    return {.features = features,
            .labels = labels,
            .weight = weight,
            .bias = bias,
            .covariance = covariance,
            .ratio = ratio,
            .logits = logits,
            .augmented_logits = augmented,
            .slots = slots,
            .u = kept_u()};
  }
  IsdaUpdateForward update_forward() const {
    return {.features = features,
            .labels = labels,
            .weight = weight,
            .bias = bias,
            .ratio = ratio,
            .count = count,
            .mean = mean,
            .covariance = covariance,
            .logits = logits,
            .augmented_logits = augmented,
            .slots = slots,
            .u = kept_u()};
  }
  IsdaBackward backward() const {
    return {.daugmented = daugmented,
            .features = features,
            .labels = labels,
            .weight = weight,
            .covariance = covariance,
            .slots = slots,
            .u = kept_u(),
            .ratio = ratio,
            .dfeatures = dfeatures,
            .dweight = dweight,
            .dbias = dbias};
  }
  std::vector<const Array*> arrays() const {
    return {&features, &labels, &weight, &bias, &ratio, &count, &mean, &covariance, &logits, &augmented, &slots, &u, &daugmented, &dfeatures, &dweight, &dbias};
  }
};

// compute(context, head, &Head::update)
template <class Operation>
void compute(const Context& context, const Head& head, Operation (Head::*operation)() const) {
  compute(context, head.arrays(), [&] { return (head.*operation)(); });
}

// Fills an array with normal numbers.
class Random {
 public:
  void fill(const Array& array, double mean = 0, double deviation = 1) {
    for (std::int64_t i = 0; i < array.view().size(); ++i) array.set(i, mean + deviation * normal_(generator_));
  }
  // Labels among the first `classes`.
  void label(const Array& labels, std::int64_t classes) {
    for (std::int64_t i = 0; i < labels.view().size(); ++i) labels.set(i, static_cast<double>(generator_() % static_cast<std::uint64_t>(classes)));
  }
  void everything(const Head& head) {
    fill(head.features, 1);
    label(head.labels, head.C);
    fill(head.weight);
    fill(head.bias);
    fill(head.daugmented);
  }

 private:
  std::mt19937_64 generator_{7};
  std::normal_distribution<double> normal_;
};

}  // namespace isda::kernels::isda_test
