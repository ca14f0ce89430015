// SPDX-License-Identifier: Apache-2.0
// cuDNN's Graph API for graphs of one convolution: descriptors hold their attributes, and executing a plan reads them.
//
// Like the real one it offers more than a caller wants, which is told by notes: an engine that rounds f32 to TF32, one that sums in bf16, one that
// turns out not to be supported; and configurations announced that do not come.
#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <vector>

#include "kernels/emulator/cudnn.h"

namespace isda::emulator {

namespace {

struct Descriptor {
  cudnnBackendDescriptorType_t type;
  std::map<cudnnBackendAttributeName_t, std::vector<std::byte>> attributes = {};
  bool is_final = false;
  int engine = 0;                     // of an engine or a configuration
  const Descriptor* graph = nullptr;  // of a configuration

  bool has(cudnnBackendAttributeName_t name) const { return attributes.contains(name); }
  template <class T>
  std::vector<T> all(cudnnBackendAttributeName_t name) const {
    const std::vector<std::byte>& bytes = attributes.at(name);
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  template <class T>
  T one(cudnnBackendAttributeName_t name) const {
    return all<T>(name).at(0);
  }
  const Descriptor& part(cudnnBackendAttributeName_t name) const { return *static_cast<const Descriptor*>(one<cudnnBackendDescriptor_t>(name)); }
};

enum Kind : int { kTf32, kExact, kSumsInBf16, kNotSupported, kEngines };

std::vector<cudnnBackendNumericalNote_t> notes_of(int engine) {
  switch (engine) {
    case kTf32: return {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS};
    case kSumsInBf16: return {CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION};
    default: return {};
  }
}

std::size_t size_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR: return 8;
    default: return 4;
  }
}

// What must be there before a descriptor is final.
std::vector<cudnnBackendAttributeName_t> needed(cudnnBackendDescriptorType_t type) {
  switch (type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      return {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_ATTR_TENSOR_STRIDES,
              CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT};
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
      return {CUDNN_ATTR_CONVOLUTION_COMP_TYPE,      CUDNN_ATTR_CONVOLUTION_CONV_MODE,    CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_ATTR_CONVOLUTION_DILATIONS,
              CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS};
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR: return {CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_ATTR_OPERATIONGRAPH_OPS};
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR: return {CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH};
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR: return {CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG};
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
      return {CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_ATTR_VARIANT_PACK_WORKSPACE};
    default: return {};
  }
}

// The arrays of a convolution in the order N or K, C, rows, columns, and what is done with them.
struct Convolution {
  struct Array {
    std::array<std::int64_t, 4> extents, strides;
    Element type;
    void* data;

    double at(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) const {
      return read_element(data, type, n * strides[0] + c * strides[1] + h * strides[2] + w * strides[3]);
    }
    // Of one that is dense in some order.
    std::size_t size() const { return static_cast<std::size_t>(extents[0] * extents[1] * extents[2] * extents[3]); }
  };
  cudnnBackendDescriptorType_t direction;
  Array x, weight, y;
  std::int64_t row_stride, column_stride, row_padding, column_padding;
  bool is_flipped;
  bool rounds_to_tf32, sums_in_bf16;
};

void compute(const Convolution& op) {
  const Convolution::Array &x = op.x, &weight = op.weight, &y = op.y;
  const bool is_forward = op.direction == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
  const bool is_data = op.direction == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
  const Convolution::Array& result = is_forward ? y : is_data ? x : weight;
  std::vector<double> sums(result.size());
  const auto sum_at = [&](std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) -> double& {
    return sums[static_cast<std::size_t>(a * result.strides[0] + b * result.strides[1] + c * result.strides[2] + d * result.strides[3])];
  };
  const auto factor = [&](const Convolution::Array& of, std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) {
    const double value = of.at(a, b, c, d);
    return op.rounds_to_tf32 ? to_tf32(value) : value;
  };
  const auto add = [&](double& sum, double value) {
    sum += value;
    if (!op.sums_in_bf16) return;
    std::uint16_t rounded = 0;
    write_element(&rounded, Element::bf16, 0, sum);
    sum = read_element(&rounded, Element::bf16, 0);
  };
  const std::int64_t K = weight.extents[0], channels = weight.extents[1], R = weight.extents[2], S = weight.extents[3];
  const std::int64_t groups = x.extents[1] / channels;
  for_indices(y.extents, [&](const auto& pixel) {
    const std::int64_t n = pixel[0], k = pixel[1], p = pixel[2], q = pixel[3];
    for_indices<3>({R, S, channels}, [&](const auto& tap) {
      const std::int64_t h = p * op.row_stride + tap[0] - op.row_padding, w = q * op.column_stride + tap[1] - op.column_padding;
      if (h < 0 || h >= x.extents[2] || w < 0 || w >= x.extents[3]) return;
      const std::int64_t r = op.is_flipped ? R - 1 - tap[0] : tap[0], s = op.is_flipped ? S - 1 - tap[1] : tap[1];
      const std::int64_t j = tap[2], c = k / (K / groups) * channels + j;
      if (is_forward) {
        add(sum_at(n, k, p, q), factor(x, n, c, h, w) * factor(weight, k, j, r, s));
      } else if (is_data) {
        add(sum_at(n, c, h, w), factor(y, n, k, p, q) * factor(weight, k, j, r, s));
      } else {
        add(sum_at(k, j, r, s), factor(y, n, k, p, q) * factor(x, n, c, h, w));
      }
    });
  });
  for (std::size_t i = 0; i < sums.size(); ++i) write_element(result.data, result.type, static_cast<std::int64_t>(i), sums[i]);
}

// Attributes of a direction: x, weight, y, geometry, alpha, beta.
std::array<cudnnBackendAttributeName_t, 6> names_of(cudnnBackendDescriptorType_t direction) {
  if (direction == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR) {
    return {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
  }
  if (direction == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR) {
    return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
  }
  return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
}

bool is_operation(cudnnBackendDescriptorType_t type) {
  return type >= CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR && type <= CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
}

Convolution::Array array_of(const Descriptor& tensor, const Descriptor& arguments) {
  const auto extents = tensor.all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS), strides = tensor.all<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
  Convolution::Array array{{}, {}, element_type(tensor.one<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE)), nullptr};
  std::copy_n(extents.begin(), 4, array.extents.begin());
  std::copy_n(strides.begin(), 4, array.strides.begin());
  const auto ids = arguments.all<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const auto place = std::find(ids.begin(), ids.end(), tensor.one<std::int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID));
  if (place != ids.end()) array.data = arguments.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS).at(static_cast<std::size_t>(place - ids.begin()));
  return array;
}

Convolution convolution_of(const Descriptor& operation, const Descriptor& arguments, int engine) {
  const auto names = names_of(operation.type);
  const Descriptor& geometry = operation.part(names[3]);
  const auto strides = geometry.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES),
             padding = geometry.all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
  return {.direction = operation.type,
          .x = array_of(operation.part(names[0]), arguments),
          .weight = array_of(operation.part(names[1]), arguments),
          .y = array_of(operation.part(names[2]), arguments),
          .row_stride = strides.at(0),
          .column_stride = strides.at(1),
          .row_padding = padding.at(0),
          .column_padding = padding.at(1),
          .is_flipped = geometry.one<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) == CUDNN_CONVOLUTION,
          .rounds_to_tf32 = engine == kTf32,
          .sums_in_bf16 = engine == kSumsInBf16};
}

// Whether the extents of an operation's arrays agree.
bool agree(const Descriptor& operation) {
  const auto names = names_of(operation.type);
  if (!std::all_of(names.begin(), names.end(), [&](const auto name) { return operation.has(name); })) return false;
  for (int i = 0; i < 4; ++i) {
    if (!operation.part(names[static_cast<std::size_t>(i)]).is_final) return false;
  }
  const auto extents = [&](int i) { return operation.part(names[static_cast<std::size_t>(i)]).all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS); };
  const auto x = extents(0), weight = extents(1), y = extents(2);
  const Descriptor& geometry = operation.part(names[3]);
  const auto of = [&](cudnnBackendAttributeName_t name, std::size_t i) { return geometry.all<std::int64_t>(name).at(i); };
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t room = x.at(2 + i) + of(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i) + of(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, i) - weight.at(2 + i);
    if (of(CUDNN_ATTR_CONVOLUTION_DILATIONS, i) != 1 || y.at(2 + i) != room / of(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, i) + 1) return false;
  }
  return x.at(0) == y.at(0) && weight.at(0) == y.at(1) && x.at(1) % weight.at(1) == 0 && weight.at(0) % (x.at(1) / weight.at(1)) == 0 &&
         operation.one<float>(names[4]) == 1 && operation.one<float>(names[5]) == 0;
}

}  // namespace

}  // namespace isda::emulator

using namespace isda::emulator;

extern "C" {

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor) {
  *descriptor = new Descriptor{.type = type};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  delete static_cast<Descriptor*>(descriptor);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  auto& of = *static_cast<Descriptor*>(descriptor);
  for (const auto name : needed(of.type)) {
    if (!of.has(name)) return CUDNN_STATUS_BAD_PARAM;
  }
  if (is_operation(of.type) && !agree(of)) return CUDNN_STATUS_BAD_PARAM;
  if (of.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && of.part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).engine == kNotSupported) {
    return CUDNN_STATUS_NOT_SUPPORTED;
  }
  of.is_final = true;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                                       const void* values) {
  auto& of = *static_cast<Descriptor*>(descriptor);
  if (of.is_final || count < 1) return CUDNN_STATUS_BAD_PARAM;
  const auto* bytes = static_cast<const std::byte*>(values);
  of.attributes[name].assign(bytes, bytes + static_cast<std::size_t>(count) * size_of(type));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t, int64_t most,
                                       int64_t* count, void* values) {
  const auto& of = *static_cast<const Descriptor*>(descriptor);
  const auto give = [&](const auto& value) {
    *count = 1;
    std::memcpy(values, &value, sizeof(value));
  };
  const auto given = [&] { return static_cast<Descriptor*>(*static_cast<cudnnBackendDescriptor_t*>(values)); };
  switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS: {
      const bool is_last_resort = of.one<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE) == CUDNN_HEUR_MODE_FALLBACK;
      const int engines = is_last_resort ? 1 : kEngines;
      // NOTE: more are announced than come.
      *count = most == 0 ? engines + 1 : engines;
      for (int i = 0; i < std::min<int>(engines, static_cast<int>(most)); ++i) {
        auto& configuration = *static_cast<Descriptor*>(static_cast<cudnnBackendDescriptor_t*>(values)[i]);
        configuration.engine = is_last_resort ? kExact : i;
        configuration.graph = &of.part(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
      }
      break;
    }
    case CUDNN_ATTR_ENGINECFG_ENGINE:
      *count = 1;
      given()->engine = of.engine;
      break;
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX: give(std::int64_t{of.engine}); break;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE: {
      const auto notes = notes_of(of.engine);
      *count = static_cast<std::int64_t>(notes.size());
      std::copy_n(notes.begin(), std::min(*count, most), static_cast<cudnnBackendNumericalNote_t*>(values));
      break;
    }
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE: give(static_cast<std::int64_t>(kWorkspace)); break;
    default: return CUDNN_STATUS_NOT_SUPPORTED;
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t arguments) {
  const auto &of = *static_cast<const Descriptor*>(plan), &given = *static_cast<const Descriptor*>(arguments);
  const Descriptor& configuration = of.part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  if (!of.is_final || !given.is_final || !configuration.graph || !is_device_memory(given.one<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE), kWorkspace)) {
    return CUDNN_STATUS_BAD_PARAM;
  }
  Convolution convolution = convolution_of(configuration.graph->part(CUDNN_ATTR_OPERATIONGRAPH_OPS), given, configuration.engine);
  for (const auto* array : {&convolution.x, &convolution.weight, &convolution.y}) {
    if (!array->data) return CUDNN_STATUS_BAD_PARAM;
  }
  return enqueue(handle, [convolution] { compute(convolution); });
}

}  // extern "C"
