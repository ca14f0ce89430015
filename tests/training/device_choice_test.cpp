// SPDX-License-Identifier: Apache-2.0
// --device: what each name comes to, and what is said of it.
#include "training/device_choice.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

#include "kernels/common/error.h"

namespace isda {
namespace {

const cuda::Card kCard{.is_usable = true, .description = "NVIDIA H200, sm_90, 132 multiprocessors, 139.8 GiB"};

TEST(DeviceChoice, AutoTakesTheCardWhenEverythingCanRunOnIt) {
  const DeviceChoice choice = automatic_device(kCard, "");
  EXPECT_EQ(choice.device, Device::cuda);
  EXPECT_EQ(choice.reason, "auto: NVIDIA H200, sm_90, 132 multiprocessors, 139.8 GiB");
}

TEST(DeviceChoice, AutoSaysWhyItTakesTheCpu) {
  const cuda::Card none{.description = "no NVIDIA driver is installed"};
  cuda::Card emulated = kCard;
  emulated.is_emulated = true;
  const std::pair<DeviceChoice, std::string> choices[] = {
      {automatic_device(none, ""), "auto: no NVIDIA driver is installed"},
      {automatic_device(none, "conv2d"), "auto: no NVIDIA driver is installed"},
      {automatic_device(kCard, "conv2d"), "auto: NVIDIA H200, sm_90, 132 multiprocessors, 139.8 GiB found, but conv2d has no CUDA version yet"},
      {automatic_device(emulated, ""), "auto: the card is emulated"},
  };
  for (const auto& [choice, reason] : choices) {
    EXPECT_EQ(choice.device, Device::cpu);
    EXPECT_EQ(choice.reason, reason);
  }
}

TEST(DeviceChoice, TheOtherNamesAreTaken) {
  EXPECT_EQ(choose_device("cpu").device, Device::cpu);
  EXPECT_EQ(choose_device("reference").device, Device::reference);
  EXPECT_EQ(choose_device("cuda").device, Device::cuda) << "the tests have a card, if only an emulated one";
  EXPECT_EQ(choose_device("cuda").reason, "as asked for: " + cuda::card().description);
  EXPECT_THROW(choose_device("gpu"), Error);
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream stream(path);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

TEST(DeviceChoice, AutoAsksForEveryOperation) {
  const std::filesystem::path root = ISDA_SOURCE_DIR;
  const std::string asked = text_of(root / "training/device_choice.cpp");
  int operations = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(root / "kernels")) {
    // NOTE: common/ declares the grammar, no operation.
    const std::string folder = file.path().parent_path().filename().string();
    if (file.path().extension() != ".h" || folder == "common") continue;
    const std::string text = text_of(file.path()), word = "ISDA_OPERATION(";
    for (auto at = text.find(word); at != text.npos; at = text.find(word, at + 1)) {
      const std::string name = text.substr(at + word.size(), text.find(')', at) - at - word.size());
      EXPECT_TRUE(std::regex_search(asked, std::regex("[< ]" + name + "[,>]"))) << name << " of " << file.path();
      ++operations;
    }
  }
  EXPECT_GE(operations, 30);
}

}  // namespace
}  // namespace isda
