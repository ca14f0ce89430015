// SPDX-License-Identifier: Apache-2.0
// Weights from elsewhere, and for elsewhere: safetensors as PyTorch, torchvision and timm name them.
//
// A file's tensors are looked for under the network's own names, which are torchvision's and timm's; under other words that the field has for the same part
// (shortcut for downsample, linear for fc, norm.1 for norm1); and behind a prefix that a wrapper put before all of them (module., model., _orig_mod.). The
// naming by which most are found is taken, and then every tensor must be there, of its shape, and none be left: weights of a deeper network of the same
// family are refused. Counters of batches (num_batches_tracked) say nothing here and are passed over.
#pragma once
#include <memory>

#include "models/network.h"
#include "training/checkpoint.h"

namespace isda {

struct ImportOptions {
  bool has_classifier = true;  // false: the last linear layer stays as it is, whatever the file holds of it
};

// Overwrites the network's parameters and running statistics. Returns how the tensors were found, for people: "122 tensors, under 'module.'". Throws Error that
// lists what is missing, what is left over and what has another shape, and says what to do; then nothing was changed.
std::string import_weights(const Safetensors& file, const Network& network, const ImportOptions& options = {});

// The network that the file holds, with its weights: `model`, or where that is empty what the file says of itself, for as many classes as the file has.
std::unique_ptr<Network> network_of(const Safetensors& file, const std::string& model);

// What was given, or what the file says of itself under `key`. Throws Error that asks for --key where it says nothing.
std::string given_or_named(const std::string& given, const Safetensors& file, const char* key);

// The words of --scheme: torchvision and timm, which are the network's own names; pytorch-cifar; torchvision-2017.
const std::vector<std::string>& naming_schemes();

// Writes the network's weights, f32, convolutions as OIHW, under the names of a scheme.
void export_weights(const std::filesystem::path& path, const Network& network, const std::string& scheme, const SafetensorsMetadata& metadata);

}  // namespace isda
