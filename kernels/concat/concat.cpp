// SPDX-License-Identifier: Apache-2.0
#include "kernels/concat/concat.h"

#include "kernels/common/check.h"

namespace isda::kernels {

namespace {

struct Argument {
  const char* name;
  const ConstView& view;
};

// Three arrays that differ in their last extent only, which is in `whole` the sum of the others.
void check_parts(const char* name, const Argument& whole, const Argument& a, const Argument& b) {
  check_given(name, whole.name, whole.view);
  check_float(name, whole.name, whole.view);
  const Shape& shape = whole.view.shape();
  require(shape.rank() >= 1, "[{}] {} is {}, expected (..., A+B)", name, whole.name, shape);
  const auto rows = [](const Shape& of) { return std::span(of.begin(), static_cast<std::size_t>(of.rank() - 1)); };
  for (const Argument& part : {a, b}) {
    check_given(name, part.name, part.view);
    check_type(name, part.name, part.view, whole.view.type());
    const Shape& of = part.view.shape();
    require(of.rank() == shape.rank() && std::equal(rows(of).begin(), rows(of).end(), rows(shape).begin()),
            "[{}] {} is {}, expected the extents of {} {} but for the last", name, part.name, of, whole.name, shape);
  }
  const std::int64_t A = a.view.extent(-1), B = b.view.extent(-1);
  require(A + B == shape[-1], "[{}] {} is {}, expected {} in the last place: {} of {} and {} of {}", name, whole.name, shape, A + B, A, a.name, B, b.name);
}

Cost cost_of(const ConstView& whole) { return {.flop = 0, .bytes = 2 * static_cast<double>(whole.bytes())}; }

}  // namespace

void check(const Concat& op) { check_parts(op.name, {"y", op.y}, {"a", op.a}, {"b", op.b}); }
Cost cost(const Concat& op) { return cost_of(op.y); }

void check(const ConcatBackward& op) { check_parts(op.name, {"dy", op.dy}, {"da", op.da}, {"db", op.db}); }
Cost cost(const ConcatBackward& op) { return cost_of(op.dy); }

}  // namespace isda::kernels
