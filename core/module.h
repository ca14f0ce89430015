// SPDX-License-Identifier: Apache-2.0
// A network as a tree of named parts. Names follow the field, so that weights travel: "layer1.0.conv1.weight".
//
//   class BasicBlock : public Module {
//     Conv2d& conv1_ = child<Conv2d>("conv1", 16, 32, Conv2dOptions{.kernel = 3});
//     BatchNorm& bn1_ = child<BatchNorm>("bn1", 32);
//   };
//
// Parameters are trained; buffers (running statistics) are state that is saved but not trained. Both are created where the enclosing
// Placement says, in the order of declaration.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace isda {

// Where modules created on this thread put their parameters, and the type of the activations they compute with.
struct Placement {
  Device device = Device::cpu;
  DType type = DType::f32;
};

// While it lives, modules are created with this placement: const PlacementScope scope({Device::reference, DType::f64});
class PlacementScope {
 public:
  explicit PlacementScope(const Placement& placement);
  ~PlacementScope();
  PlacementScope(const PlacementScope&) = delete;
  PlacementScope& operator=(const PlacementScope&) = delete;
  static const Placement& current();

 private:
  Placement outer_;
};

// How a parameter starts: Normal(0, deviation), Uniform(-bound, bound) or a constant.
struct Initial {
  enum class Kind { constant, normal, uniform } kind = Kind::constant;
  double value = 0;

  static Initial constant(double value) { return {Kind::constant, value}; }
  static Initial normal(double deviation) { return {Kind::normal, deviation}; }
  static Initial uniform(double bound) { return {Kind::uniform, bound}; }
};

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // Depth first, in order of declaration, with dotted names.
  std::vector<NamedTensor> parameters() const;
  std::vector<NamedTensor> buffers() const;
  std::int64_t parameter_count() const;

  // Training or evaluation, for the whole tree (batch-norm, dropout).
  void train(bool is_training = true);
  void evaluate() { train(false); }
  bool is_training() const { return is_training_; }

  // Gives every parameter its initial value: a function of the seed and the parameter's position in the tree.
  void initialise(std::uint64_t seed);

 protected:
  Tensor add_parameter(const std::string& name, const Shape& shape, const Initial& initial);
  // A parameter that activations are multiplied with; where these are bf16 it has a bf16 copy (core/mixed_precision.h).
  Tensor add_weight(const std::string& name, const Shape& shape, const Initial& initial);
  Tensor add_buffer(const std::string& name, const Shape& shape, double value);

  template <class Child, class... Arguments>
  Child& child(const std::string& name, Arguments&&... arguments) {
    auto made = std::make_unique<Child>(std::forward<Arguments>(arguments)...);
    Child& result = *made;
    children_.emplace_back(name, std::move(made));
    return result;
  }

 private:
  struct Parameter {
    NamedTensor named;
    Initial initial;
  };

  template <class Visit>
  void visit(const std::string& prefix, Visit&& visit_module) const {
    visit_module(prefix, *this);
    for (const auto& [name, module] : children_) module->visit(prefix + name + ".", visit_module);
  }

  std::vector<Parameter> parameters_;
  std::vector<NamedTensor> buffers_;
  std::vector<std::pair<std::string, std::unique_ptr<Module>>> children_;
  bool is_training_ = true;
};

}  // namespace isda
