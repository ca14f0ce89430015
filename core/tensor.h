// SPDX-License-Identifier: Apache-2.0
// Tensor: a cheap value that names an array in shared storage, with an optional place in the history of a computation.
//
// Copies share the storage. Arrays are dense and row-major. Whoever needs an independent array says clone().
// history() is what makes gradients flow: see core/autograd.h.
//
// Only tensors on the cpu and reference devices may be read element by element. What is done to a tensor on the card is enqueued on the calling
// thread's stream, and the host goes on; item() and copies to the host wait for it.
#pragma once
#include <memory>
#include <span>

#include "core/memory.h"
#include "core/thread_context.h"
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
  // A copy of memory of the host or the card.
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
  // The same array where the host can read it: a copy when it is on the card, without history.
  Tensor on_host() const { return device_ == Device::cuda ? to(type_, Device::cpu) : detached(); }

  const std::shared_ptr<History>& history() const { return history_; }
  void set_history(std::shared_ptr<History> history) { history_ = std::move(history); }

 private:
  Storage storage_;
  Shape shape_;
  DType type_ = DType::f32;
  Device device_ = Device::cpu;
  std::shared_ptr<History> history_;
};

// Copies element by element, converting the type; the shapes must agree. Either side may lie on the card:
//   host to card   `from` may be changed when this returns (core/staging.h)     card to host   waits for the card
//   card to card   enqueued; types are converted on the way through the host, which waits: for setting up, not for a step
// While a graph is recorded only a copy on the card that keeps the type is possible.
void copy(const ConstView& from, const View& to);

}  // namespace isda
