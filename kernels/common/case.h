// SPDX-License-Identifier: Apache-2.0
// One declaration per operation, from which its tests and its bench lines come by iteration.
//
//   struct Sizes { std::int64_t N, H, W, C; };
//   const Declare global_average{CaseOf<Sizes>{
//       .name = "global_average",
//       .shapes = {{1, 1, 1, 1}, {2, 7, 7, 3}},                // parity of every device with the reference; gradient check
//       .bench_shapes = {{128, 8, 8, 64}},
//       .make = [](Problem& p, const Sizes& s) {
//         const ConstView x = p.input("x", {s.N, s.H, s.W, s.C});
//         const View y = p.output("y", {s.N, s.C});
//         p.forward(GlobalAverage{.x = x, .y = y});
//         const ConstView dy = p.input("dy", {s.N, s.C});
//         const View dx = p.output("dx", {s.N, s.H, s.W, s.C});
//         p.backward(GlobalAverageBackward{.dy = dy, .dx = dx});
//         p.seed("y", "dy");
//         p.gradient("x", "dx");
//       },
//       .tolerance = {.f32 = 1e-6},
//   }};
//
// `make` is run afresh for each device and type, from the same seed: it must take all its random numbers from the fills.
// On the cuda device arrays lie on the card; they are filled and read through a copy on the host.
#pragma once
#include <any>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/common/cuda_device.h"
#include "kernels/common/operation.h"

namespace isda::kernels {

// Random numbers of a problem, in the order they are drawn.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : seed_(seed) {}
  double uniform();  // [0, 1)
  double normal();   // mean 0, deviation 1
  std::int64_t below(std::int64_t count);

 private:
  std::uint64_t seed_;
  std::uint64_t position_ = 0;
};

// Fills one array: the value of element `index`.
using Fill = std::function<double(Draw&, std::int64_t index)>;
Fill normal(double mean = 0, double deviation = 1);
Fill uniform(double low, double high);
// Normal, but never nearer than `gap` to `kink`: the numeric gradient must not step over it.
Fill away_from(double kink, double gap = 0.05);
// All values different by at least 1/64, in random order: max pooling has no ties. At most 2^20 elements.
Fill distinct();
Fill constant(double value);

// Rounding to TF32, which has 10 bits of mantissa, moves an operand by 2^-11 of itself at most, and so a product by 2^-10. The error of a sum is that of its
// terms, of which the sum is less where they cancel: twice that.
inline constexpr double kTf32Tolerance = 2 * 0x1p-10;

// The largest error allowed, as a share of the largest magnitude of the reference's output; bf16: in a run of bf16 activations, and for arrays of bf16.
struct Tolerance {
  double f32 = 1e-5;
  double bf16 = 2e-2;
  // f32 on the card by other products (kernels/common/f32_products.h); 0: the operation multiplies no matrices there, and is not run by them.
  double tf32 = 0;
  double plain = 0;
};

// One instance of an operation: its arrays in memory and the launches on them.
class Problem {
 public:
  enum class Role { input, output, inout, ambiguous };
  struct FreeOnCard {
    void operator()(std::byte* memory) const { cuda::release(memory); }
  };
  struct Array {
    std::string name;
    Role role;
    View view;                                       // on the host
    std::size_t before;                              // bytes of sentinels before the elements
    std::unique_ptr<std::byte[]> memory;             // with sentinels before and behind the elements
    std::unique_ptr<std::byte, FreeOnCard> on_card;  // the same on the card, for the cuda device
    std::vector<double> initial;                     // inputs: as filled

    std::size_t bytes() const;  // with sentinels
  };
  struct Launch {
    std::string name;
    bool is_backward;
    bool has_cuda;
    Cost cost;
    std::function<void(const Context&)> run;
    std::any operation;  // the operation's struct: what else can do the same is found by its type
  };
  struct Pair {
    std::string of, by;
  };

  // type: of the activations. Parameters and statistics are f64 with f64, otherwise f32.
  // shift: by how many elements each array begins behind a multiple of 64 bytes, as a view into a larger one may.
  Problem(DType type, std::uint64_t seed, Device device = Device::cpu, std::size_t shift = 0) : type_(type), device_(device), shift_(shift), draw_(seed) {}
  // Only described: its arrays hold nothing, and are not touched. To ask for its label, launches and gradients, which costs next to nothing.
  struct Described {};
  explicit Problem(Described) : Problem(DType::f32, 1) { is_filled_ = false; }

  DType type() const { return type_; }
  Device device() const { return device_; }
  DType parameter_type() const { return type_ == DType::f64 ? DType::f64 : DType::f32; }

  // ---- for `make` ----
  ConstView input(const std::string& name, const Shape& shape, const Fill& fill = normal());
  ConstView parameter(const std::string& name, const Shape& shape, const Fill& fill = normal());
  // i32 values, e.g. labels: fill gives each.
  ConstView integers(const std::string& name, const Shape& shape, const Fill& fill);
  ConstView labels(const std::string& name, std::int64_t count, std::int64_t classes);
  ConstView bytes(const std::string& name, const Shape& shape);  // u8, uniform
  // Poisoned with NaN before the launches, compared with the reference after them.
  View output(const std::string& name, const Shape& shape);
  View output(const std::string& name, const Shape& shape, DType type);  // of this type, whatever the activations'
  View parameter_output(const std::string& name, const Shape& shape);
  View integer_output(const std::string& name, const Shape& shape);  // compared exactly
  // Filled, changed in place by the launches, compared with the reference after them.
  View inout(const std::string& name, const Shape& shape, const Fill& fill = normal());
  View parameter_inout(const std::string& name, const Shape& shape, const Fill& fill = normal());
  View integer_inout(const std::string& name, const Shape& shape, const Fill& fill);  // i32, compared exactly
  // As parameter_inout, but of values of which many mean the same, as directions and their opposites: what they mean, other outputs must show. The same device
  // gives the same bits, but they are not compared with the reference's.
  View parameter_ambiguous(const std::string& name, const Shape& shape, const Fill& fill = normal());

  // keep: what the operation points to beside the problem's arrays, kept as long as the problem.
  template <class Operation>
  void forward(const Operation& operation, std::shared_ptr<const void> keep = nullptr) {
    add(operation, false, std::move(keep));
  }
  template <class Operation>
  void backward(const Operation& operation, std::shared_ptr<const void> keep = nullptr) {
    add(operation, true, std::move(keep));
  }

  // For the numeric gradient: the scalar is the sum over seeds of <output `of`, input `by`>, or the sum of the
  // output's elements where `by` is empty; gradient(of, by) says that output `by` is its derivative by input `of`.
  void seed(const std::string& of, const std::string& by = "") { seeds_.push_back({of, by}); }
  void gradient(const std::string& of, const std::string& by) { gradients_.push_back({of, by}); }

  // ---- for tests and benches ----
  const std::vector<Array>& arrays() const { return arrays_; }
  const Array& array(const std::string& name) const;
  const std::vector<Launch>& launches() const { return launches_; }
  const std::vector<Pair>& seeds() const { return seeds_; }
  const std::vector<Pair>& gradients() const { return gradients_; }
  // "x (2,7,7,3) dy (2,3)"
  std::string label() const;
  // Whether every launch has a version for the card.
  bool runs_on_card() const;
  // Outputs poisoned and inout arrays as filled, then the launches in order; arrays() then hold what the context's device made.
  void run(const Context& context, bool with_backward = true);
  // Throws Error when a launch wrote before or behind an array.
  void check_sentinels() const;

 private:
  template <class Operation>
  void add(const Operation& operation, bool is_backward, std::shared_ptr<const void> keep) {
    launches_.push_back({Operation::name, is_backward, has_cuda(operation), cost(operation),
                         [operation, keep = std::move(keep)](const Context& context) { kernels::run(context, operation); }, operation});
  }
  View add_array(const std::string& name, Role role, DType type, const Shape& shape, const Fill* fill);

  DType type_;
  Device device_;
  std::size_t shift_;
  bool is_filled_ = true;
  Draw draw_;
  std::vector<Array> arrays_;
  std::vector<Launch> launches_;
  std::vector<Pair> seeds_, gradients_;
};

// A case with its sizes made anonymous: what tests and benches iterate over.
struct Case {
  std::string name;
  std::vector<std::function<void(Problem&)>> variants, bench_variants;
  Tolerance tolerance;
};

const std::vector<Case>& all_cases();
void declare(Case declared);

template <class Sizes>
struct CaseOf {
  std::string name;
  std::vector<Sizes> shapes;
  std::vector<Sizes> bench_shapes = {};
  void (*make)(Problem&, const Sizes&) = nullptr;
  Tolerance tolerance = {};
};

// Declares a case when the program starts.
struct Declare {
  template <class Sizes>
  explicit Declare(const CaseOf<Sizes>& description) {
    const auto bind = [&](const std::vector<Sizes>& list) {
      std::vector<std::function<void(Problem&)>> result;
      for (const Sizes& sizes : list) result.push_back([make = description.make, sizes](Problem& problem) { make(problem, sizes); });
      return result;
    };
    declare({description.name, bind(description.shapes), bind(description.bench_shapes), description.tolerance});
  }
};

}  // namespace isda::kernels
