// SPDX-License-Identifier: Apache-2.0
#include "bench/vendor/vendor.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace isda::vendor {

namespace {

struct HostCopy {
  std::vector<std::byte> memory;
  View view;
};

HostCopy on_host(const Context& context, const ConstView& on_card) {
  HostCopy copy{std::vector<std::byte>(static_cast<std::size_t>(on_card.bytes())), {}};
  copy.view = View(copy.memory.data(), on_card.type(), on_card.shape());
  cuda::copy_to_host(copy.memory.data(), on_card.data(), copy.memory.size(), context.stream());
  context.synchronise();
  return copy;
}

// The largest |theirs - ours| as a share of the largest |ours|; infinite where one is not finite.
double error_of(const View& ours, const View& theirs) {
  double error = 0, scale = 0;
  for (std::int64_t i = 0; i < ours.size(); ++i) {
    const double difference = std::abs(theirs.at_offset(i) - ours.at_offset(i));
    if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
    error = std::max(error, difference);
    scale = std::max(scale, std::abs(ours.at_offset(i)));
  }
  return error == 0 ? 0 : error / scale;
}

// NOTE: a wrong descriptor is off by a share near 1, full precision that is secretly TF32 by some 3e-4.
double allowed(const Context& context, Math math, const Result& result) {
  if (result.ours.type() == DType::bf16 || result.theirs.type() == DType::bf16) return 2e-2;
  return math == Math::tf32 || context.f32_products() == F32Products::tf32 ? 5e-3 : 1e-4;
}

using Add = void (*)(const Context&, std::span<const Launch>, std::size_t, std::vector<Equal>&);
const std::vector<Add> adapters = {
#if defined(ISDA_BENCH_CUBLAS)
    add_linear,
#endif
#if defined(ISDA_BENCH_CUDNN)
    add_conv2d, add_batch_norm, add_pooling, add_softmax,
#endif
};

}  // namespace

std::vector<Equal> find_equals(const Context& context, std::span<const Launch> launches, std::size_t launch) {
  std::vector<Equal> equals;
  for (const Add add : adapters) add(context, launches, launch, equals);
  return equals;
}

std::span<const Math> maths_of(DType type) {
  static constexpr Math both[] = {Math::full, Math::tf32};
  return {both, type == DType::bf16 ? std::size_t{1} : std::size_t{2}};
}

void add_equal(std::vector<Equal>& equals, Math math, std::size_t first, const std::function<Equal()>& make) {
  try {
    equals.push_back(make());
  } catch (const Error& error) {
    equals.push_back({.words = error.what()});
  }
  equals.back().math = math;
  equals.back().first = first;
}

std::string mismatch(const Context& context, const Equal& equal) {
  // Theirs begin as NaN, so that what is not written is seen.
  for (const Result& result : equal.results) {
    cuda::fill_bytes(const_cast<void*>(result.theirs.data()), 0xff, static_cast<std::size_t>(result.theirs.bytes()), context.stream());
  }
  if (equal.begin) equal.begin(context);
  equal.ours(context);
  equal.run(context);
  context.synchronise();
  for (const Result& result : equal.results) {
    const double error = error_of(on_host(context, result.ours).view, on_host(context, result.theirs).view);
    const double most = allowed(context, equal.math, result);
    if (!(error <= most)) return fmt::format("{}: error {:.2g} of the largest magnitude, allowed {}", result.name, error, most);
  }
  return "";
}

Twin::Twin(const ConstView& of, DType type) : memory_(allocate(static_cast<std::size_t>(of.size()) * size_of(type))), view_(memory_.get(), type, of.shape()) {}

void Twin::write(const Context& context, const std::function<double(std::int64_t)>& value) const {
  std::vector<std::byte> memory(static_cast<std::size_t>(view_.bytes()));
  const View host(memory.data(), view_.type(), view_.shape());
  for (std::int64_t i = 0; i < host.size(); ++i) host.set_offset(value(i), i);
  cuda::copy_to_device(memory_.get(), memory.data(), memory.size(), context.stream());
  context.synchronise();
}

std::unique_ptr<std::byte, kernels::Problem::FreeOnCard> allocate(std::size_t bytes) {
  return std::unique_ptr<std::byte, kernels::Problem::FreeOnCard>(static_cast<std::byte*>(cuda::allocate(std::max<std::size_t>(bytes, 1))));
}

std::string without(std::initializer_list<std::pair<bool, const char*>> words) {
  std::string result;
  for (const auto& [is_left_out, word] : words) {
    if (is_left_out) result += (result.empty() ? "; without " : ", ") + std::string(word);
  }
  return result;
}

std::string libraries() {
  std::string result;
#if defined(ISDA_BENCH_CUDNN)
  result = cudnn_version();
#else
  result = "no cuDNN";
#endif
#if defined(ISDA_BENCH_CUBLAS)
  return result + ", " + cublas_version();
#else
  return result + ", no cuBLAS";
#endif
}

#if !defined(ISDA_BENCH_CUBLAS)
double product_rate(const Context&, DType, Math) { return 0; }
#endif

}  // namespace isda::vendor
