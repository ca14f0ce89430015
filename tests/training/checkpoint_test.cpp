// SPDX-License-Identifier: Apache-2.0
// Weights on disk are the same whichever device they come from, and load on every device.
#include "training/checkpoint.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "core/mixed_precision.h"
#include "tests/core/temporary_folder.h"

namespace isda {
namespace {

struct Net : Module {
  Net()
      : weight(add_weight("conv.weight", {5, 3, 2, 4}, Initial::normal(1))),
        bias(add_parameter("fc.bias", {7}, Initial::uniform(1))),
        mean(add_buffer("bn.running_mean", {5}, 3)) {}
  const Tensor weight, bias, mean;
};

class Checkpoint : public testing::TestWithParam<Device> {
 protected:
  std::filesystem::path saved(const Module& module, const char* name) const {
    save_weights(folder_.path() / name, module, {{"format", "pt"}});
    return folder_.path() / name;
  }
  static std::string bytes_of(const std::filesystem::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(stream), {});
  }

  const TemporaryFolder folder_;
};

TEST_P(Checkpoint, TheFileDoesNotDependOnTheDevice) {
  Net on_cpu;
  on_cpu.initialise(3);
  const auto file = saved(on_cpu, "cpu");

  const PlacementScope scope({GetParam(), DType::f32});
  Net here;
  here.initialise(3);
  EXPECT_EQ(bytes_of(saved(here, "here")), bytes_of(file));

  // What was loaded replaces everything, and is the same again.
  here.initialise(4);
  copy(Tensor::full({5}, 9), here.mean);
  EXPECT_NE(bytes_of(saved(here, "changed")), bytes_of(file));
  load_weights(Safetensors::open(file), here);
  EXPECT_EQ(bytes_of(saved(here, "loaded")), bytes_of(file));
}

TEST_P(Checkpoint, LoadingRoundsTheBf16CopiesAgain) {
  Net on_cpu;
  on_cpu.initialise(3);
  const auto file = saved(on_cpu, "cpu");
  const PlacementScope scope({GetParam(), DType::bf16});
  Net here;
  here.initialise(4);
  load_weights(Safetensors::open(file), here);
  const Tensor copy = bf16_copy_of(here.weight).on_host(), expected = on_cpu.weight.to(DType::bf16, Device::cpu);
  EXPECT_EQ(std::memcmp(copy.view().data(), expected.view().data(), static_cast<std::size_t>(copy.bytes())), 0);
  EXPECT_EQ(bytes_of(saved(here, "here")), bytes_of(file)) << "on disk are the parameters, not the copies";
}

TEST_P(Checkpoint, ConvolutionsAreOihwOnDisk) {
  const PlacementScope scope({GetParam(), DType::f32});
  Net net;
  net.initialise(3);
  const Tensor krsc = net.weight.on_host();
  const Safetensors file = Safetensors::open(saved(net, "net"));
  const ConstView oihw = file.view("conv.weight");
  ASSERT_EQ(oihw.shape(), (Shape{5, 4, 3, 2}));
  EXPECT_EQ(oihw.at(4, 3, 2, 1), krsc.view().at(4, 2, 1, 3));
  EXPECT_EQ(oihw.at(1, 2, 0, 1), krsc.view().at(1, 0, 1, 2));
}

INSTANTIATE_TEST_SUITE_P(Devices, Checkpoint, testing::Values(Device::reference, Device::cpu, Device::cuda),
                         [](const auto& device) { return std::string(name_of(device.param)); });

}  // namespace
}  // namespace isda
