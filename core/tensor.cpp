// SPDX-License-Identifier: Apache-2.0
#include "core/tensor.h"

#include <cstring>

#include "core/autograd.h"
#include "kernels/common/cuda_device.h"

namespace isda {

Tensor::Tensor(const Shape& shape, DType type, Device device)
    : storage_(allocate(static_cast<std::size_t>(shape.size()) * size_of(type), device)), shape_(shape), type_(type), device_(device) {}

Tensor Tensor::full(const Shape& shape, double value, DType type, Device device) {
  if (device == Device::cuda && value != 0) return full(shape, value, type, Device::cpu).to(type, device);
  Tensor result(shape, type, device);
  const View view = result;
  if (device == Device::cuda)
    cuda::fill_bytes(view.data(), 0, static_cast<std::size_t>(view.bytes()), result.context().stream());
  else if (value == 0)
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
  return on_host().view().at_offset(0);
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

namespace {

void copy_on_host(const ConstView& from, const View& to) {
  if (from.type() == to.type())
    std::memcpy(to.data(), from.data(), static_cast<std::size_t>(from.bytes()));
  else
    for (std::int64_t i = 0; i < from.size(); ++i) to.set_offset(from.at_offset(i), i);
}

void copy_to_host(const ConstView& from, const View& to) {
  const cuda::Stream stream = context_of(Device::cuda).stream();
  require(!cuda::is_capturing(stream), "[tensor] the host reads {} from the card while a graph is recorded: read it after a replay", from.shape());
  cuda::copy_to_host(to.data(), from.data(), static_cast<std::size_t>(from.bytes()), stream);
  cuda::synchronise(stream);
}

}  // namespace

void copy(const ConstView& from, const View& to) {
  require(from.shape() == to.shape(), "[tensor] copy of {} into {}: the shapes must agree", from.shape(), to.shape());
  const auto bytes = static_cast<std::size_t>(from.bytes());
  const bool is_from_card = is_on_card(from.data()), is_to_card = is_on_card(to.data());
  if (bytes == 0) return;
  if (!is_from_card && !is_to_card) return copy_on_host(from, to);
  if (from.type() != to.type()) {
    // Types are converted on the host.
    const Tensor before = is_from_card ? Tensor(from.shape(), from.type()) : Tensor(), after(to.shape(), to.type());
    if (is_from_card) copy_to_host(from, before);
    copy_on_host(is_from_card ? before.view() : from, after);
    return copy(after, to);
  }
  if (!is_to_card) return copy_to_host(from, to);
  if (!is_from_card) return staging_of_thread().copy_to_device(to.data(), from.data(), bytes);
  cuda::copy_on_device(to.data(), from.data(), bytes, context_of(Device::cuda).stream());
}

}  // namespace isda
