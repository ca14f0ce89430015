// SPDX-License-Identifier: Apache-2.0
// Tensor: a cheap value that names an array in shared storage, with an optional place in the history of a computation.
//
// Copies share the storage. Arrays are dense and row-major. Whoever needs an independent array says clone().
// history() is what makes gradients flow: see core/autograd.h.
#pragma once
#include <memory>
#include <span>

#include "core/memory.h"
#include "kernels/common/view.h"

namespace isda {

struct History;

class Tensor {
 public:
  // An undefined tensor: false, and an absent view.
  Tensor() = default;
  // Not initialised.
  explicit Tensor(const Shape& shape, DType type = DType::f32, Device device = Device::cpu);
  static Tensor full(const Shape& shape, double value, DType type = DType::f32, Device device = Device::cpu);
  static Tensor zeros(const Shape& shape, DType type = DType::f32, Device device = Device::cpu) { return full(shape, 0, type, device); }
  // An array of the same shape, type and device, not initialised.
  static Tensor like(const Tensor& other) { return Tensor(other.shape(), other.type(), other.device()); }
  // A copy of host memory.
  static Tensor copy_of(const ConstView& view, Device device = Device::cpu);

  explicit operator bool() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  std::int64_t extent(int axis) const { return shape_[axis]; }
  std::int64_t size() const { return shape_.size(); }
  std::int64_t bytes() const { return size() * static_cast<std::int64_t>(size_of(type_)); }
  DType type() const { return type_; }
  Device device() const { return device_; }
  const Context& context() const;

  // NOTE: one conversion serves View and ConstView, since a View is a ConstView.
  operator View() const { return storage_ ? View(storage_.get(), type_, shape_) : View(); }
  View view() const { return *this; }

  // The only element. Throws when there are more.
  double item() const;
  Tensor clone() const;
  // The same storage under other extents of the same product, without history.
  Tensor reshaped(const Shape& shape) const;
  // The same array, cut off from the computation that made it.
  Tensor detached() const;
  // The elements in another type or on another device, without history; the same storage when nothing changes.
  Tensor to(DType type, Device device) const;

  const std::shared_ptr<History>& history() const { return history_; }
  void set_history(std::shared_ptr<History> history) { history_ = std::move(history); }

 private:
  Storage storage_;
  Shape shape_;
  DType type_ = DType::f32;
  Device device_ = Device::cpu;
  std::shared_ptr<History> history_;
};

// Copies element by element, converting the type; the shapes must agree.
void copy(const ConstView& from, const View& to);

// The calling thread's context for operations on `device`.
const Context& context_of(Device device);
// How many threads operations on the cpu device may use, in all threads' contexts; 0 = as many as OpenMP offers.
void set_threads(int threads);

}  // namespace isda
