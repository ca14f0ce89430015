// SPDX-License-Identifier: Apache-2.0
// What an operation sees of an array: where it is, what it holds, its extents. Nothing is owned.
//
// Arrays are dense and row-major. A default-constructed view means "not given" and is false.
// at() and set() pass through double, whatever the type: the reference is written with them. Fast code takes as<T>().
#pragma once
#include <cstdint>

#include "kernels/common/dtype.h"
#include "kernels/common/shape.h"

namespace isda {

class ConstView {
 public:
  ConstView() = default;
  ConstView(const void* data, DType type, const Shape& shape) : data_(data), shape_(shape), type_(type) {}

  explicit operator bool() const { return data_ != nullptr; }
  const void* data() const { return data_; }
  DType type() const { return type_; }
  const Shape& shape() const { return shape_; }
  std::int64_t extent(int axis) const { return shape_[axis]; }
  std::int64_t size() const { return shape_.size(); }
  std::int64_t bytes() const { return data_ ? size() * static_cast<std::int64_t>(size_of(type_)) : 0; }
  template <int rank>
  auto extents() const {
    return shape_.extents<rank>();
  }

  // The elements as T; null when the view was not given. Throws when T is not the type of the view.
  template <class T>
  const T* as() const {
    if (data_) require(type_ == dtype_of<T>(), "[view] the elements are {}, read as {}", name_of(type_), name_of(dtype_of<T>()));
    return static_cast<const T*>(data_);
  }

  template <class... Indices>
  double at(Indices... indices) const {
    return at_offset(offset(indices...));
  }
  double at_offset(std::int64_t offset) const {
    switch (type_) {
      case DType::f32: return static_cast<const float*>(data_)[offset];
      case DType::f64: return static_cast<const double*>(data_)[offset];
      case DType::bf16: return static_cast<double>(static_cast<const bf16*>(data_)[offset]);
      case DType::u8: return static_cast<const std::uint8_t*>(data_)[offset];
      case DType::i32: return static_cast<const std::int32_t*>(data_)[offset];
      case DType::i64: return static_cast<double>(static_cast<const std::int64_t*>(data_)[offset]);
    }
    return 0;
  }

 protected:
  template <class... Indices>
  std::int64_t offset(Indices... indices) const {
    static_assert(sizeof...(indices) <= Shape::kMaxRank);
    std::int64_t result = 0;
    int axis = 0;
    ((result = result * shape_[axis++] + static_cast<std::int64_t>(indices)), ...);
    return result;
  }

  const void* data_ = nullptr;
  Shape shape_;
  DType type_ = DType::f32;
};

class View : public ConstView {
 public:
  View() = default;
  View(void* data, DType type, const Shape& shape) : ConstView(data, type, shape) {}

  void* data() const { return const_cast<void*>(data_); }
  template <class T>
  T* as() const {
    return const_cast<T*>(ConstView::as<T>());
  }

  template <class... Indices>
  void set(double value, Indices... indices) const {
    set_offset(value, offset(indices...));
  }
  void set_offset(double value, std::int64_t offset) const {
    switch (type_) {
      case DType::f32: static_cast<float*>(data())[offset] = static_cast<float>(value); break;
      case DType::f64: static_cast<double*>(data())[offset] = value; break;
      case DType::bf16: static_cast<bf16*>(data())[offset] = bf16(static_cast<float>(value)); break;
      case DType::u8: static_cast<std::uint8_t*>(data())[offset] = static_cast<std::uint8_t>(value); break;
      case DType::i32: static_cast<std::int32_t*>(data())[offset] = static_cast<std::int32_t>(value); break;
      case DType::i64: static_cast<std::int64_t*>(data())[offset] = static_cast<std::int64_t>(value); break;
    }
  }
};

}  // namespace isda
