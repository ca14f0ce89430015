// SPDX-License-Identifier: Apache-2.0
#include "training/checkpoint.h"

#include "core/mixed_precision.h"
#include "kernels/common/grid.h"

namespace isda {

Shape shape_on_disk(const Tensor& tensor) {
  if (tensor.shape().rank() != 4) return tensor.shape();
  const auto [K, R, S, C] = tensor.shape().extents<4>();
  return {K, C, R, S};
}

std::vector<NamedTensor> weights_of(const Module& module) {
  std::vector<NamedTensor> result = module.parameters();
  for (auto& buffer : module.buffers()) result.push_back(std::move(buffer));
  return result;
}

namespace {

Tensor to_disk(const Tensor& tensor) {
  if (tensor.shape().rank() != 4) return tensor.on_host();
  const auto [K, R, S, C] = tensor.shape().extents<4>();
  const Tensor krsc = tensor.on_host(), result(shape_on_disk(tensor), tensor.type());
  const View from = krsc, to = result;
  for (const auto [k, r, s, c] : grid(K, R, S, C)) to.set(from.at(k, r, s, c), k, c, r, s);
  return result;
}

void from_disk(const ConstView& from, const Tensor& tensor) {
  if (tensor.shape().rank() != 4) return copy(from, tensor);
  const auto [K, R, S, C] = tensor.shape().extents<4>();
  const Tensor krsc(tensor.shape(), tensor.type());
  const View to = krsc;
  for (const auto [k, r, s, c] : grid(K, R, S, C)) to.set(from.at(k, c, r, s), k, r, s, c);
  copy(krsc, tensor);
}

}  // namespace

void save_weights(const std::filesystem::path& path, const Module& module, const SafetensorsMetadata& metadata, const std::vector<NamedTensor>& extra) {
  std::vector<NamedTensor> tensors = weights_of(module);
  tensors.insert(tensors.end(), extra.begin(), extra.end());
  save_tensors(path, tensors, metadata);
}

void save_tensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors, const SafetensorsMetadata& metadata) {
  std::vector<Tensor> on_disk;
  std::vector<NamedView> views;
  for (const auto& [name, tensor] : tensors) {
    on_disk.push_back(to_disk(tensor));
    views.push_back({name, on_disk.back()});
  }
  write_safetensors(path, views, metadata);
}

void load_weights(const Safetensors& file, const Module& module) { load_tensors(file, weights_of(module)); }

void load_tensors(const Safetensors& file, const std::vector<NamedTensor>& tensors) {
  // Check everything before anything is changed.
  for (const auto& [name, tensor] : tensors) {
    require(file.contains(name), "[{}] has no tensor '{}', expected shape {}: it holds the weights of another model", file.path().string(), name,
            shape_on_disk(tensor));
    const ConstView view = file.view(name);
    require(view.shape() == shape_on_disk(tensor), "[{}] tensor '{}' is {}, expected {}: it holds the weights of another model", file.path().string(), name,
            view.shape(), shape_on_disk(tensor));
    require(is_float(view.type()) == is_float(tensor.type()), "[{}] tensor '{}' is of type {}, expected {}", file.path().string(), name, name_of(view.type()),
            name_of(tensor.type()));
  }
  for (const auto& [name, tensor] : tensors) {
    from_disk(file.view(name), tensor);
    refresh_bf16_copy(tensor);
  }
}

}  // namespace isda
