// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>

#include "kernels/common/philox.h"

namespace isda::kernels {

namespace {

constexpr std::size_t kSentinelBytes = 64;
constexpr std::byte kSentinel{0xA5};

std::vector<Case>& cases() {
  static std::vector<Case> list;
  return list;
}

// NaN in floats; a value no label takes in integers.
void poison(const View& view) {
  for (std::int64_t i = 0; i < view.size(); ++i) view.set_offset(is_float(view.type()) ? std::numeric_limits<double>::quiet_NaN() : 77, i);
}

}  // namespace

double Draw::uniform() {
  const auto words = philox(seed_, RandomStream::test, 0, position_++);
  return (static_cast<double>(words[0]) * 0x1p32 + words[1]) * 0x1p-64;
}

double Draw::normal() {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

std::int64_t Draw::below(std::int64_t count) { return std::min(static_cast<std::int64_t>(uniform() * static_cast<double>(count)), count - 1); }

Fill normal(double mean, double deviation) {
  return [=](Draw& draw, std::int64_t) { return mean + deviation * draw.normal(); };
}

Fill uniform(double low, double high) {
  return [=](Draw& draw, std::int64_t) { return low + (high - low) * draw.uniform(); };
}

Fill away_from(double kink, double gap) {
  return [=](Draw& draw, std::int64_t) {
    const double value = draw.normal();
    return kink + value + (value < 0 ? -gap : gap);
  };
}

Fill distinct() {
  // An odd multiplier permutes the residues of a power of two.
  return [](Draw& draw, std::int64_t index) {
    const auto scrambled = static_cast<std::uint32_t>(index * 0x9E375 + 0x3C6EF) & 0xFFFFFu;
    return (static_cast<double>(scrambled) + 0.25 * draw.uniform()) / 64 - 8192;
  };
}

Fill constant(double value) {
  return [=](Draw&, std::int64_t) { return value; };
}

View Problem::add_array(const std::string& name, Role role, DType type, const Shape& shape, const Fill* fill) {
  for (const auto& array : arrays_) require(array.name != name, "[case] two arrays are called '{}'", name);
  const std::size_t before = kSentinelBytes + shift_ * size_of(type);
  const std::size_t bytes = before + static_cast<std::size_t>(shape.size()) * size_of(type) + kSentinelBytes;
  auto memory = std::make_unique_for_overwrite<std::byte[]>(bytes);
  const View view(memory.get() + before, type, shape);
  std::vector<double> initial;
  if (!is_filled_) {
    arrays_.push_back({name, role, view, before, std::move(memory), nullptr, std::move(initial)});
    return view;
  }
  std::fill_n(memory.get(), bytes, kSentinel);
  if (fill) {
    for (std::int64_t i = 0; i < view.size(); ++i) {
      view.set_offset((*fill)(draw_, i), i);
      initial.push_back(view.at_offset(i));
    }
  } else {
    poison(view);
  }
  std::unique_ptr<std::byte, FreeOnCard> on_card;
  if (device_ == Device::cuda) on_card.reset(static_cast<std::byte*>(cuda::allocate(bytes)));
  const View seen = on_card ? View(on_card.get() + before, type, shape) : view;
  arrays_.push_back({name, role, view, before, std::move(memory), std::move(on_card), std::move(initial)});
  return seen;
}

std::size_t Problem::Array::bytes() const { return before + static_cast<std::size_t>(view.bytes()) + kSentinelBytes; }

ConstView Problem::input(const std::string& name, const Shape& shape, const Fill& fill) { return add_array(name, Role::input, type_, shape, &fill); }
ConstView Problem::parameter(const std::string& name, const Shape& shape, const Fill& fill) {
  return add_array(name, Role::input, parameter_type(), shape, &fill);
}
ConstView Problem::integers(const std::string& name, const Shape& shape, const Fill& fill) { return add_array(name, Role::input, DType::i32, shape, &fill); }
ConstView Problem::labels(const std::string& name, std::int64_t count, std::int64_t classes) {
  return integers(name, {count}, [classes](Draw& draw, std::int64_t) { return static_cast<double>(draw.below(classes)); });
}
ConstView Problem::bytes(const std::string& name, const Shape& shape) {
  const Fill fill = [](Draw& draw, std::int64_t) { return static_cast<double>(draw.below(256)); };
  return add_array(name, Role::input, DType::u8, shape, &fill);
}
View Problem::output(const std::string& name, const Shape& shape) { return output(name, shape, type_); }
View Problem::output(const std::string& name, const Shape& shape, DType type) { return add_array(name, Role::output, type, shape, nullptr); }
View Problem::parameter_output(const std::string& name, const Shape& shape) { return add_array(name, Role::output, parameter_type(), shape, nullptr); }
View Problem::integer_output(const std::string& name, const Shape& shape) { return add_array(name, Role::output, DType::i32, shape, nullptr); }
View Problem::inout(const std::string& name, const Shape& shape, const Fill& fill) { return add_array(name, Role::inout, type_, shape, &fill); }
View Problem::parameter_inout(const std::string& name, const Shape& shape, const Fill& fill) {
  return add_array(name, Role::inout, parameter_type(), shape, &fill);
}
View Problem::parameter_ambiguous(const std::string& name, const Shape& shape, const Fill& fill) {
  return add_array(name, Role::ambiguous, parameter_type(), shape, &fill);
}
View Problem::integer_inout(const std::string& name, const Shape& shape, const Fill& fill) { return add_array(name, Role::inout, DType::i32, shape, &fill); }

const Problem::Array& Problem::array(const std::string& name) const {
  for (const auto& array : arrays_) {
    if (array.name == name) return array;
  }
  fail("[case] no array is called '{}'", name);
}

std::string Problem::label() const {
  std::string result;
  for (const auto& array : arrays_) {
    if (array.role != Role::output) result += (result.empty() ? "" : " ") + array.name + array.view.shape().text();
  }
  return result;
}

void Problem::run(const Context& context, bool with_backward) {
  for (const auto& array : arrays_) {
    if (array.role == Role::output) poison(array.view);
    if (array.role == Role::inout || array.role == Role::ambiguous) {
      for (std::int64_t i = 0; i < array.view.size(); ++i) array.view.set_offset(array.initial[static_cast<std::size_t>(i)], i);
    }
  }
  require((context.device() == Device::cuda) == (device_ == Device::cuda), "[case] a problem made for the {} device is run on {}", name_of(device_),
          name_of(context.device()));
  const bool is_on_card = device_ == Device::cuda;
  if (is_on_card) {
    for (const auto& array : arrays_) cuda::copy_to_device(array.on_card.get(), array.memory.get(), array.bytes(), context.stream());
  }
  for (const auto& launch : launches_) {
    if (with_backward || !launch.is_backward) launch.run(context);
  }
  if (is_on_card) {
    for (const auto& array : arrays_) cuda::copy_to_host(array.memory.get(), array.on_card.get(), array.bytes(), context.stream());
    context.synchronise();
  }
}

bool Problem::runs_on_card() const {
  return std::all_of(launches_.begin(), launches_.end(), [](const Launch& launch) { return launch.has_cuda; });
}

void Problem::check_sentinels() const {
  for (const auto& array : arrays_) {
    const auto intact = [](const std::byte* begin, std::size_t bytes) { return std::all_of(begin, begin + bytes, [](std::byte b) { return b == kSentinel; }); };
    const std::byte* behind = array.memory.get() + array.before + array.view.bytes();
    require(intact(array.memory.get(), array.before), "[case] something was written before the first element of '{}'", array.name);
    require(intact(behind, kSentinelBytes), "[case] something was written behind the last element of '{}'", array.name);
  }
}

const std::vector<Case>& all_cases() { return cases(); }

void declare(Case declared) {
  const auto place = std::lower_bound(cases().begin(), cases().end(), declared, [](const Case& a, const Case& b) { return a.name < b.name; });
  cases().insert(place, std::move(declared));
}

}  // namespace isda::kernels
