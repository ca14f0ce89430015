// SPDX-License-Identifier: Apache-2.0
#include "core/tensor.h"

#include <atomic>
#include <cstring>
#include <map>

#include "core/autograd.h"

namespace isda {

namespace {
std::atomic<int> threads_wanted{0};
}

Tensor::Tensor(const Shape& shape, DType type, Device device)
    : storage_(allocate(static_cast<std::size_t>(shape.size()) * size_of(type), device)), shape_(shape), type_(type), device_(device) {}

Tensor Tensor::full(const Shape& shape, double value, DType type, Device device) {
  Tensor result(shape, type, device);
  const View view = result;
  if (value == 0)
    std::memset(view.data(), 0, static_cast<std::size_t>(view.bytes()));
  else
    for (std::int64_t i = 0; i < view.size(); ++i) view.set_offset(value, i);
  return result;
}

Tensor Tensor::copy_of(const ConstView& view, Device device) {
  Tensor result(view.shape(), view.type(), device);
  copy(view, result);
  return result;
}

const Context& Tensor::context() const { return context_of(device_); }

double Tensor::item() const {
  require(size() == 1 && storage_, "[tensor] item() of shape {}, expected one element", shape_);
  return view().at_offset(0);
}

Tensor Tensor::clone() const { return copy_of(*this, device_); }

Tensor Tensor::reshaped(const Shape& shape) const {
  require(shape.size() == size(), "[tensor] {} cannot be seen as {}: {} elements, expected {}", shape_, shape, shape.size(), size());
  Tensor result = detached();
  result.shape_ = shape;
  return result;
}

Tensor Tensor::detached() const {
  Tensor result = *this;
  result.history_ = nullptr;
  return result;
}

Tensor Tensor::to(DType type, Device device) const {
  if (type == type_ && device == device_) return detached();
  Tensor result(shape_, type, device);
  copy(*this, result);
  return result;
}

void copy(const ConstView& from, const View& to) {
  require(from.shape() == to.shape(), "[tensor] copy of {} into {}: the shapes must agree", from.shape(), to.shape());
  if (from.type() == to.type()) {
    std::memcpy(to.data(), from.data(), static_cast<std::size_t>(from.bytes()));
    return;
  }
  for (std::int64_t i = 0; i < from.size(); ++i) to.set_offset(from.at_offset(i), i);
}

const Context& context_of(Device device) {
  struct Entry {
    int threads;
    Context context;
  };
  thread_local std::map<Device, Entry> contexts;
  const int threads = threads_wanted;
  auto found = contexts.find(device);
  if (found != contexts.end() && found->second.threads != threads) {
    contexts.erase(found);
    found = contexts.end();
  }
  if (found == contexts.end()) found = contexts.emplace(device, Entry{threads, Context(device, threads)}).first;
  return found->second.context;
}

void set_threads(int threads) {
  require(threads >= 0, "[threads] {} threads were asked for, expected 0 (all) or more", threads);
  threads_wanted = threads;
}

}  // namespace isda
