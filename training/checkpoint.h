// SPDX-License-Identifier: Apache-2.0
// Weights on disk: safetensors under the field's names, convolutions as OIHW, so that PyTorch and timm read them as they are.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "core/module.h"
#include "core/safetensors.h"

namespace isda {

// Parameters and buffers, with their names.
std::vector<NamedTensor> weights_of(const Module& module);
// Convolution weights are the parameters with four extents: KRSC in memory, OIHW on disk.
Shape shape_on_disk(const Tensor& tensor);

// Parameters and buffers of `module`, and what `extra` adds to them.
void save_weights(const std::filesystem::path& path, const Module& module, const SafetensorsMetadata& metadata, const std::vector<NamedTensor>& extra = {});

// These tensors, under these names.
void save_tensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors, const SafetensorsMetadata& metadata);

// Overwrites parameters and buffers of `module`. Throws Error that names the first tensor that is missing or of another shape, with the
// shape that was got and expected; then nothing was changed. Tensors the module does not have are passed over. What others wrote is
// read by training/exchange.h.
void load_weights(const Safetensors& file, const Module& module);

// Overwrites these tensors from those of the same name; same errors.
void load_tensors(const Safetensors& file, const std::vector<NamedTensor>& tensors);

}  // namespace isda
