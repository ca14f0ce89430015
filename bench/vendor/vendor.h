// SPDX-License-Identifier: Apache-2.0
// What NVIDIA's libraries offer for the same work on the same arrays: the vendor's column of the card's bench, and a second opinion on our kernels.
//
//   cudnn_graph.cpp, cudnn_conv2d.cpp                             the three convolutions, by cuDNN's own search among its engines
//   cudnn_batch_norm.cpp, cudnn_pooling.cpp, cudnn_softmax.cpp    cuDNN's functions for them
//   cublas.cpp                                                    the linear layer, and the largest rates of the card's multipliers
//
// Each is built where CMake finds its library (find.cmake). A launch is matched by the type of its operation; what has no equal has none.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/common/case.h"

namespace isda::vendor {

using Launch = kernels::Problem::Launch;

// How the library may multiply f32: in full precision, as our 3xTF32 keeps it, or rounded to TF32. bf16 leaves no choice.
enum class Math : std::uint8_t { full, tf32 };

// An array that both sides write, on the card.
struct Result {
  std::string name;
  ConstView ours, theirs;
};

// The library's way of one launch, or of it and those before it together.
struct Equal {
  std::string words;                          // "cuDNN 9.19 engine 22, best of 16; without prologue": who, and what it leaves out
  std::function<void(const Context&)> run;    // enqueued on the context's stream; empty where the library refused, and words say why
  std::function<void(const Context&)> begin;  // what the check needs before ours and theirs; may be empty
  std::function<void(const Context&)> ours;   // our operation without what the library leaves out
  std::vector<Result> results;                // of `ours` and `run`
  Math math = Math::full;
  std::size_t first = 0;  // the first launch whose work it does
};

// The equals of launches[launch]. The problem has been run: what earlier launches write is there.
std::vector<Equal> find_equals(const Context& context, std::span<const Launch> launches, std::size_t launch);

// Runs both once. Empty when their results agree; otherwise which does not, and by how much: "y: error 0.8 of the largest magnitude, allowed 0.0001".
std::string mismatch(const Context& context, const Equal& equal);

// FLOP a second of a large product by cuBLAS; 0 where it is not in this build.
double product_rate(const Context& context, DType type, Math math);
// "cuDNN 9.19.0, cuBLAS 13.1.0": what is in this build.
std::string libraries();

// ---- for the adapters ----

// An array of the adapter's own on the card, of the shape of another.
class Twin {
 public:
  Twin(const ConstView& of, DType type);
  explicit Twin(const ConstView& of) : Twin(of, of.type()) {}

  const View& view() const { return view_; }
  // From values in the order of the elements; waits until they are there.
  void write(const Context& context, const std::function<double(std::int64_t)>& value) const;

 private:
  std::unique_ptr<std::byte, kernels::Problem::FreeOnCard> memory_;
  View view_;
};

// Memory for a library's temporaries.
std::unique_ptr<std::byte, kernels::Problem::FreeOnCard> allocate(std::size_t bytes);
// The operation of a launch, or null when it is of another type.
template <class Operation>
const Operation* operation_of(const Launch& launch) {
  return std::any_cast<Operation>(&launch.operation);
}
template <class Operation>
std::function<void(const Context&)> runner(const Operation& operation) {
  return [operation](const Context& context) { kernels::run(context, operation); };
}
// "; without a, b" of those that are left out; empty when none is.
std::string without(std::initializer_list<std::pair<bool, const char*>> words);

// Full precision and TF32 of f32; bf16 as it is.
std::span<const Math> maths_of(DType type);
// Adds what `make` returns as the equal of the launches from `first`; or, where it throws, why there is none.
void add_equal(std::vector<Equal>& equals, Math math, std::size_t first, const std::function<Equal()>& make);

// Each file's own: nothing where the launch is not for it.
void add_linear(const Context& context, std::span<const Launch> launches, std::size_t launch, std::vector<Equal>& equals);
void add_conv2d(const Context& context, std::span<const Launch> launches, std::size_t launch, std::vector<Equal>& equals);
void add_batch_norm(const Context& context, std::span<const Launch> launches, std::size_t launch, std::vector<Equal>& equals);
void add_pooling(const Context& context, std::span<const Launch> launches, std::size_t launch, std::vector<Equal>& equals);
void add_softmax(const Context& context, std::span<const Launch> launches, std::size_t launch, std::vector<Equal>& equals);
std::string cublas_version();
std::string cudnn_version();

}  // namespace isda::vendor
