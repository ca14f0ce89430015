// SPDX-License-Identifier: Apache-2.0
// NVIDIA cuDNN, Backend API: cudnn_graph library.
#include "bench/vendor/cudnn_graph.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

namespace isda::vendor {

namespace {

// The attribute types of the values we set.
template <class T>
constexpr cudnnBackendAttributeType_t attribute_type = CUDNN_TYPE_INT64;
template <>
constexpr auto attribute_type<float> = CUDNN_TYPE_FLOAT;
template <>
constexpr auto attribute_type<void*> = CUDNN_TYPE_VOID_PTR;
template <>
constexpr auto attribute_type<cudnnHandle_t> = CUDNN_TYPE_HANDLE;
template <>
constexpr auto attribute_type<cudnnDataType_t> = CUDNN_TYPE_DATA_TYPE;
template <>
constexpr auto attribute_type<cudnnConvolutionMode_t> = CUDNN_TYPE_CONVOLUTION_MODE;
template <>
constexpr auto attribute_type<cudnnBackendHeurMode_t> = CUDNN_TYPE_HEUR_MODE;
template <>
constexpr auto attribute_type<cudnnBackendNumericalNote_t> = CUDNN_TYPE_NUMERICAL_NOTE;

// A backend descriptor: attributes are set, then it is finalised, then others may refer to it.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) { require_success(cudnnBackendCreateDescriptor(type, &descriptor_), "cudnnBackendCreateDescriptor"); }
  ~Descriptor() {
    if (descriptor_) cudnnBackendDestroyDescriptor(descriptor_);
  }
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  Descriptor& operator=(Descriptor&&) = delete;

  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, const T& value) {
    return set(name, attribute_type<T>, 1, &value);
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<T>& values) {
    return set(name, attribute_type<T>, static_cast<std::int64_t>(values.size()), values.data());
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& other) { return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.descriptor_); }
  void finalise() { require_success(cudnnBackendFinalize(descriptor_), "cudnnBackendFinalize"); }

  // At most `most` values; of descriptors, into those that `values` holds.
  template <class T>
  std::int64_t read(cudnnBackendAttributeName_t name, std::int64_t most, T* values, cudnnBackendAttributeType_t type = attribute_type<T>) const {
    std::int64_t count = 0;
    require_success(cudnnBackendGetAttribute(descriptor_, name, type, most, &count, values), "cudnnBackendGetAttribute");
    return std::min(count, most);
  }
  cudnnBackendDescriptor_t get() const { return descriptor_; }

 private:
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count, const void* values) {
    require_success(cudnnBackendSetAttribute(descriptor_, name, type, count, values), "cudnnBackendSetAttribute");
    return *this;
  }

  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

// What arrays are called in a graph and where its data are named.
enum Id : std::int64_t { kX = 1, kWeight, kY };

// An (N,H,W,C) or (K,R,S,C/groups) array; cuDNN names extents in the order N, C, H, W, and strides say how they lie.
Descriptor tensor(Id id, const ConstView& view) {
  const auto [N, H, W, C] = view.extents<4>();
  Descriptor result(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  result.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, std::int64_t{id})
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, cudnn_type(view.type()))
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::vector<std::int64_t>{N, C, H, W})
      .set(CUDNN_ATTR_TENSOR_STRIDES, std::vector<std::int64_t>{H * W * C, 1, W * C, C})
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, std::int64_t{16})
      .finalise();
  return result;
}

Descriptor geometry_of(const Geometry& geometry) {
  const std::vector<std::int64_t> strides(2, geometry.stride), padding(2, geometry.padding), dilations(2, 1);
  Descriptor result(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  result.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, strides)
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, padding)
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, padding)
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, dilations)
      .finalise();
  return result;
}

// What a direction's operation and its attributes are called.
struct Names {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t x, weight, y, geometry, alpha, beta;
};
Names names_of(Direction direction) {
  switch (direction) {
    case Direction::forward:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case Direction::backward_data:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case Direction::backward_weights: break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
}

// Configurations of engines, the most promising first.
std::vector<Descriptor> ranked(const Descriptor& graph, cudnnBackendHeurMode_t mode) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph).set(CUDNN_ATTR_ENGINEHEUR_MODE, mode).finalise();
  const auto kind = CUDNN_TYPE_BACKEND_DESCRIPTOR;
  std::int64_t count = 0;
  require_success(cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, kind, 0, &count, nullptr), "cudnnBackendGetAttribute");
  std::vector<Descriptor> configurations;
  std::vector<cudnnBackendDescriptor_t> places;
  for (std::int64_t i = 0; i < count; ++i) {
    configurations.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    places.push_back(configurations.back().get());
  }
  // NOTE: fewer may be filled than were announced.
  const std::int64_t filled = heuristics.read(CUDNN_ATTR_ENGINEHEUR_RESULTS, count, places.data(), kind);
  while (static_cast<std::int64_t>(configurations.size()) > filled) configurations.pop_back();
  return configurations;
}

struct Engine {
  std::int64_t number = 0;
  bool keeps_precision = true;  // neither TF32 nor sums in less than f32
  bool sums_in_f32 = true;
};

Engine engine_of(const Descriptor& configuration) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t place = engine.get();
  configuration.read(CUDNN_ATTR_ENGINECFG_ENGINE, 1, &place, CUDNN_TYPE_BACKEND_DESCRIPTOR);
  Engine result;
  engine.read(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 1, &result.number);
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes;
  const std::int64_t count = engine.read(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, static_cast<std::int64_t>(notes.size()), notes.data());
  for (std::int64_t i = 0; i < count; ++i) {
    const auto note = notes[static_cast<std::size_t>(i)];
    if (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS) result.keeps_precision = false;
    if (note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION) result.sums_in_f32 = false;
  }
  return result;
}

}  // namespace

// One convolution, and all that it is made of: what a descriptor refers to is kept as long as it.
struct Convolution::Graph {
  Descriptor x, weight, y, geometry, operation, graph{CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR};

  Graph(cudnnHandle_t handle, const Names& names, const ConvolutionArrays& arrays, const Geometry& of)
      : x(tensor(kX, arrays.x)), weight(tensor(kWeight, arrays.weight)), y(tensor(kY, arrays.y)), geometry(geometry_of(of)), operation(names.operation) {
    operation.set(names.x, x).set(names.weight, weight).set(names.y, y).set(names.geometry, geometry).set(names.alpha, 1.0f).set(names.beta, 0.0f).finalise();
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle).set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation).finalise();
  }
};

// A configuration made ready to run on its arrays.
struct Convolution::Plan {
  Descriptor configuration, plan{CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR}, arguments{CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR};
  std::int64_t engine = 0;
  std::unique_ptr<std::byte, kernels::Problem::FreeOnCard> workspace;

  Plan(cudnnHandle_t handle, Descriptor of, const ConvolutionArrays& arrays) : configuration(std::move(of)) {
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle).set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration).finalise();
    std::int64_t bytes = 0;
    plan.read(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 1, &bytes);
    workspace = allocate(static_cast<std::size_t>(bytes));
    const auto place = [](const ConstView& view) { return const_cast<void*>(view.data()); };
    arguments.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::vector<std::int64_t>{kX, kWeight, kY})
        .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::vector<void*>{place(arrays.x), place(arrays.weight), place(arrays.y)})
        .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, static_cast<void*>(workspace.get()))
        .finalise();
  }

  cudnnStatus_t run(cudnnHandle_t handle) const { return cudnnBackendExecute(handle, plan.get(), arguments.get()); }

  // Of a few runs; infinite where it fails.
  double seconds(const Context& context, cudnnHandle_t handle) const {
    const int runs = cuda::card().is_emulated ? 1 : 5;
    cuda::Event begin, end;
    if (run(handle) != CUDNN_STATUS_SUCCESS) return std::numeric_limits<double>::infinity();
    begin.record(context.stream());
    for (int i = 0; i < runs; ++i) run(handle);
    end.record(context.stream());
    end.wait();
    return end.seconds_since(begin) / runs;
  }
};

Convolution::Convolution(const Context& context, Direction direction, const ConvolutionArrays& arrays, const Geometry& geometry, Math math)
    : handle_(cudnn_handle(context)), graph_(std::make_unique<Graph>(handle_, names_of(direction), arrays, geometry)) {
  const bool is_f32 = arrays.x.type() == DType::f32;
  double least = std::numeric_limits<double>::infinity();
  int candidates = 0;
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    for (Descriptor& configuration : ranked(graph_->graph, mode)) {
      if (candidates == kCandidates) break;
      const Engine engine = engine_of(configuration);
      if (!engine.sums_in_f32 || (is_f32 && math == Math::full && !engine.keeps_precision)) continue;
      try {
        auto plan = std::make_unique<Plan>(handle_, std::move(configuration), arrays);
        plan->engine = engine.number;
        ++candidates;
        const double seconds = plan->seconds(context, handle_);
        if (seconds >= least) continue;
        least = seconds;
        plan_ = std::move(plan);
      } catch (const Error&) {
        // NOTE: what is ranked need not be supported; the next one is.
      }
    }
  }
  require(plan_ != nullptr, "[vendor] {}: none of its engines takes this convolution", cudnn_version());
  words_ = fmt::format("engine {}, best of {}", plan_->engine, candidates);
}

Convolution::~Convolution() = default;

void Convolution::run() const { require_success(plan_->run(handle_), "cudnnBackendExecute"); }

}  // namespace isda::vendor
