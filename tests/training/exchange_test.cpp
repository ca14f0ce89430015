// SPDX-License-Identifier: Apache-2.0
// Weights from elsewhere and for elsewhere: a file that PyTorch wrote, prefixes and other words for the same parts, and what is said of files that do not fit.
#include "training/exchange.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/autograd.h"
#include "models/registry.h"
#include "tests/core/expect_error.h"
#include "tests/core/temporary_folder.h"
#include "tests/models/golden_formula.h"

namespace isda {
namespace {

class Exchange : public testing::Test {
 protected:
  static std::unique_ptr<Network> network(const std::string& name, std::uint64_t seed, std::int64_t classes = 10) {
    auto made = find_network(name).make(classes);
    made->initialise(seed);
    // NOTE: running statistics start alike, and would not tell who is who.
    std::uint64_t i = 0;
    for (const auto& [buffer, tensor] : made->buffers()) copy(Tensor::full(tensor.shape(), static_cast<double>(++i + seed)), tensor);
    return made;
  }

  // A file of the network's tensors, each under the name that `rename` gives it.
  template <class Rename>
  Safetensors file_of(const Network& from, Rename&& rename, const SafetensorsMetadata& metadata = {}, const std::vector<NamedTensor>& more = {}) const {
    std::vector<NamedTensor> tensors = more;
    for (const auto& [name, tensor] : weights_of(from)) tensors.push_back({rename(name), tensor});
    save_tensors(path(), tensors, metadata);
    return Safetensors::open(path());
  }

  static void expect_same(const Network& got, const Network& expected) {
    const auto a = weights_of(got), b = weights_of(expected);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(std::memcmp(a[i].tensor.view().data(), b[i].tensor.view().data(), static_cast<std::size_t>(a[i].tensor.bytes())), 0) << a[i].name;
    }
  }

  std::filesystem::path path() const { return folder_.path() / "weights.safetensors"; }

  const TemporaryFolder folder_;
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  if (const auto at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

TEST_F(Exchange, WhatPyTorchWroteGivesItsLogits) {
  const Safetensors file = Safetensors::open(golden::folder() / "weights" / "densenet_bc10_4.safetensors");
  const auto expected = golden::read("densenet_bc10_4");
  const auto imported = network("densenet_bc10_4", 1), by_formula = network("densenet_bc10_4", 2);
  EXPECT_EQ(import_weights(file, *imported), "47 tensors, under 'model.'");
  golden::fill(*by_formula);
  expect_same(*imported, *by_formula);
  imported->evaluate();
  const NoGradient no_gradient;
  const double error = golden::error_of(imported->logits(golden::images_of(expected)), expected);
  EXPECT_TRUE(error <= 1e-5) << error;
}

TEST_F(Exchange, EverySchemeIsReadBackBitForBit) {
  for (const char* name : {"resnet8", "densenet_bc10_4"}) {
    const auto from = network(name, 1);
    for (const std::string& scheme : naming_schemes()) {
      SCOPED_TRACE(scheme);
      export_weights(path(), *from, scheme, {{"format", "pt"}});
      const auto to = network(name, 2);
      import_weights(Safetensors::open(path()), *to);
      expect_same(*to, *from);
    }
  }
}

TEST_F(Exchange, SchemesHaveTheWordsOfTheirUsers) {
  const auto holds = [&](const char* name, const char* scheme, std::initializer_list<const char*> tensors) {
    export_weights(path(), *network(name, 1), scheme, {});
    const Safetensors file = Safetensors::open(path());
    for (const char* tensor : tensors) EXPECT_TRUE(file.contains(tensor)) << scheme << " " << tensor;
  };
  holds("resnet8", "torchvision", {"layer2.0.downsample.0.weight", "fc.bias"});
  holds("resnet8", "timm", {"layer2.0.downsample.0.weight", "fc.bias"});
  holds("resnet8", "pytorch-cifar", {"layer2.0.shortcut.0.weight", "layer1.0.conv1.weight", "linear.bias"});
  holds(
      "densenet_bc10_4", "torchvision-2017",
      {"features.denseblock1.denselayer1.norm.1.running_var", "features.denseblock1.denselayer1.conv.2.weight", "features.conv0.weight", "classifier.weight"});
  expect_error([&] { export_weights(path(), *network("resnet8", 1), "keras", {}); }, "[export] there is no scheme 'keras', expected torchvision, timm, ");
}

TEST_F(Exchange, PrefixesOfWrappersAreFound) {
  const auto from = network("resnet8", 1);
  const Tensor counter = Tensor::zeros({1}, DType::i64);
  for (const char* prefix : {"module.", "model.", "_orig_mod.module.", "state_dict."}) {
    const auto to = network("resnet8", 2);
    const std::string found = import_weights(file_of(*from, [&](const std::string& name) { return prefix + name; }, {},
                                                     {{std::string(prefix) + "bn1.num_batches_tracked", counter}, {"criterion.weight", counter}}),
                                             *to);
    EXPECT_EQ(found, fmt::format("47 tensors, under '{}'", prefix));
    expect_same(*to, *from);
  }
  // Words and a prefix at once.
  const auto to = network("resnet8", 2);
  const auto rename = [](const std::string& name) { return "net." + replaced(name, "downsample", "shortcut"); };
  EXPECT_EQ(import_weights(file_of(*from, rename), *to), "47 tensors, under 'net.', with 'shortcut' for 'downsample'");
  expect_same(*to, *from);
}

// A network's names may be among those of a deeper one, with the same shapes.
TEST_F(Exchange, WeightsOfADeeperNetworkAreRefused) {
  const auto deeper = network("resnet14", 1), to = network("resnet8", 2), before = network("resnet8", 2);
  const auto as_it_is = [](const std::string& name) { return name; };
  const Safetensors file = file_of(*deeper, as_it_is);
  expect_error([&] { import_weights(file, *to); }, "does not hold the weights of this network, 47 tensors; 30 left over: layer");
  expect_error([&] { import_weights(file, *to); }, "give the --model that they are of");
  expect_same(*to, *before);
  const Safetensors shallow = file_of(*before, as_it_is);
  expect_error([&] { import_weights(shallow, *deeper); }, "; 30 missing: layer1.1.conv1.weight (16,16,3,3), layer1.1.bn1.weight (16), ");
}

TEST_F(Exchange, EverythingThatIsWrongIsToldAtOnce) {
  const auto from = network("resnet8", 1), to = network("resnet8", 2), before = network("resnet8", 2);
  const auto rename = [](const std::string& name) {
    if (name == "layer3.0.bn2.bias") return std::string("layer3.0.bn2.beta");
    return name;
  };
  std::vector<NamedTensor> more{{"layer9.weight", Tensor::zeros({3})}};
  const Safetensors file = file_of(*from, rename, {}, more);
  expect_error([&] { import_weights(file, *to); }, "; 1 missing: layer3.0.bn2.bias (64); 2 left over: layer");
  expect_same(*to, *before);

  const auto wide = network("wide_resnet10_2", 1), narrow = network("wide_resnet10_1", 1);
  const Safetensors of_wide = file_of(*wide, [](const std::string& name) { return name; });
  expect_error([&] { import_weights(of_wide, *narrow); }, " of another shape: block1.layer.0.conv1.weight is (32,16,3,3), expected (16,16,3,3), ");
  // Nothing of it.
  const Safetensors of_dense = file_of(*network("densenet_bc10_4", 1), [](const std::string& name) { return name; });
  expect_error([&] { import_weights(of_dense, *to); }, "47 missing: conv1.weight (16,3,3,3), ");
}

TEST_F(Exchange, OtherClassesAreToldAndTheLastLayerCanBeLeft) {
  const auto from = network("resnet8", 1, 7), to = network("resnet8", 2), before = network("resnet8", 2);
  const Safetensors file = file_of(*from, [](const std::string& name) { return "module." + name; });
  expect_error([&] { import_weights(file, *to); },
               "tells 7 classes apart and 10 are asked for: module.fc.weight is (7,64), expected (10,64); --weights-without-classifier of isda train");
  expect_same(*to, *before);

  EXPECT_EQ(import_weights(file, *to, {.has_classifier = false}), "45 tensors, under 'module.', all but the last layer");
  for (const auto& [name, tensor] : weights_of(*to)) {
    const bool is_last = name.starts_with("fc.");
    const ConstView expected = Tensor::copy_of([&] {
      for (const auto& [other, view] : weights_of(is_last ? *before : *from)) {
        if (other == name) return view.view();
      }
      return View();
    }());
    for (std::int64_t i = 0; i < tensor.size(); ++i) ASSERT_EQ(tensor.view().at_offset(i), expected.at_offset(i)) << name;
  }
  // Without a last layer in the file at all.
  const auto rename = [](const std::string& name) { return name.starts_with("fc.") ? "head." + name : name; };
  const Safetensors headless = file_of(*from, rename);
  expect_error([&] { import_weights(headless, *to); }, "2 missing: fc.weight (10,64), fc.bias (10); 2 left over: head.fc.");
}

// The state of a run holds momenta and class statistics beside the weights.
TEST_F(Exchange, TheStateOfARunIsReadToo) {
  const auto from = network("resnet8", 1), to = network("resnet8", 2);
  std::vector<NamedTensor> more{{"loss.mean", Tensor::zeros({3})}};
  for (const auto& [name, tensor] : from->parameters()) more.push_back({"momentum." + name, Tensor::zeros(tensor.shape())});
  const auto as_it_is = [](const std::string& name) { return name; };
  EXPECT_EQ(import_weights(file_of(*from, as_it_is, {{"progress", "{}"}}, more), *to), "47 tensors");
  expect_same(*to, *from);
  const Safetensors no_state = file_of(*from, as_it_is, {}, more);
  expect_error([&] { import_weights(no_state, *to); }, "left over: ");
}

TEST_F(Exchange, ANetworkIsMadeForTheClassesOfTheFile) {
  const auto from = network("resnet8", 1, 7);
  const auto as_it_is = [](const std::string& name) { return name; };
  const auto made = network_of(file_of(*from, as_it_is, {{"model", "resnet8"}}), "");
  EXPECT_EQ(made->classes(), 7);
  expect_same(*made, *from);
  expect_same(*network_of(file_of(*from, as_it_is), "resnet8"), *from);
  const Safetensors nameless = file_of(*from, as_it_is);
  expect_error([&] { network_of(nameless, ""); }, "does not say which model it is for: give --model");
}

}  // namespace
}  // namespace isda
