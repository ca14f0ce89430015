// SPDX-License-Identifier: Apache-2.0
// What the tests of single operations are written with: an array that owns its elements, and the message of what was thrown.
#pragma once
#include <initializer_list>
#include <string>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/common/view.h"

namespace isda {

template <class T>
struct Array {
  Shape shape;
  std::vector<T> values;

  explicit Array(const Shape& extents, T value = T()) : shape(extents), values(static_cast<std::size_t>(extents.size()), value) {}
  Array(const Shape& extents, std::initializer_list<T> list) : shape(extents), values(list) {
    require(static_cast<std::int64_t>(values.size()) == shape.size(), "[test] {} values for the shape {}", values.size(), shape);
  }

  operator View() { return View(values.data(), dtype_of<T>(), shape); }                  // NOLINT: meant to be implicit
  operator ConstView() const { return ConstView(values.data(), dtype_of<T>(), shape); }  // NOLINT
};

// The message of the Error that body() throws.
template <class Body>
std::string thrown_by(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace isda
