// SPDX-License-Identifier: Apache-2.0
// What is said of a card, and of what goes wrong on it: on the emulated one.
#include <gtest/gtest.h>

#include "kernels/common/cuda_device.h"
#include "tests/kernels/array.h"

#if defined(ISDA_EMULATED)
#include "kernels/emulator/emulator.h"

namespace isda {
namespace {

TEST(CudaDevice, SaysWhatItIs) {
  const cuda::Card card = cuda::find_card();
  EXPECT_TRUE(card.is_usable);
  EXPECT_TRUE(card.is_emulated);
  EXPECT_EQ(card.description, "emulated CUDA device, sm_90, 4 multiprocessors, 8.0 GiB");
}

TEST(CudaDevice, AnOlderArchitectureIsNotUsed) {
  emulator::options().architecture = 75;
  const cuda::Card card = cuda::find_card();
  emulator::options().architecture = 90;
  EXPECT_FALSE(card.is_usable);
  EXPECT_EQ(card.description, "emulated CUDA device, sm_75, 4 multiprocessors, 8.0 GiB; this build has code for sm_80 and newer");
}

TEST(CudaDevice, WhenItIsFullItSaysWhatWasAskedWhatIsFreeAndWhatToLower) {
  emulator::options().device_bytes = std::size_t{1} << 30;
  void* half = cuda::allocate(std::size_t{1} << 29);
  const std::string message = thrown_by([] { cuda::allocate(std::size_t{3} << 28); });
  cuda::release(half);
  emulator::options().device_bytes = std::size_t{8} << 30;
  EXPECT_EQ(message, "[memory] the card has no 0.750 GiB more: 0.500 of 1.000 GiB are free. Lower --batch-size or choose a smaller --model");
}

}  // namespace
}  // namespace isda
#endif
