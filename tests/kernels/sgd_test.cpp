// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent beyond its case: two steps by hand, and messages.
#include "kernels/sgd/sgd.h"

#include <gtest/gtest.h>

#include "tests/kernels/array.h"
#include "tests/kernels/on_device.h"

namespace isda::kernels {
namespace {

class SgdOn : public OnDevice {
 protected:
  // One parameter from 1, two steps with gradient 0.5, learning rate 0.1, weight decay 0.01.
  struct State {
    Array<float> parameter{{1}, 1.0f}, momentum{{1}};
  };
  State after_two_steps(double momentum, bool nesterov) {
    State state;
    const Array<float> gradient({1}, 0.5f), learning_rate({1}, 0.1f);
    const SgdTensor tensor{state.parameter, gradient, state.momentum};
    for (int step = 0; step < 2; ++step) {
      run(context, Sgd{.tensors = {&tensor, 1}, .learning_rate = learning_rate, .momentum = momentum, .weight_decay = 0.01, .nesterov = nesterov});
    }
    return state;
  }
};
ISDA_ON_EVERY_DEVICE(SgdOn);

TEST_P(SgdOn, Plain) {
  // g = 0.51, p = 0.949; g = 0.50949, p = 0.898051
  const State state = after_two_steps(0, false);
  EXPECT_FLOAT_EQ(state.parameter.values[0], 0.898051f);
  EXPECT_EQ(state.momentum.values[0], 0) << "with momentum 0 the buffer is left alone";
}

TEST_P(SgdOn, WithMomentum) {
  // b = 0.51, p = 0.949; g = 0.50949, b = 0.96849, p = 0.852151
  const State state = after_two_steps(0.9, false);
  EXPECT_FLOAT_EQ(state.momentum.values[0], 0.96849f);
  EXPECT_FLOAT_EQ(state.parameter.values[0], 0.852151f);
}

TEST_P(SgdOn, WithNesterov) {
  // b = 0.51, p = 1 - 0.1 (0.51 + 0.459) = 0.9031; g = 0.509031, b = 0.968031, p = 0.9031 - 0.1 (0.509031 + 0.8712279)
  const State state = after_two_steps(0.9, true);
  EXPECT_FLOAT_EQ(state.momentum.values[0], 0.968031f);
  EXPECT_FLOAT_EQ(state.parameter.values[0], 0.76507411f);
}

TEST(SgdChecks, SayWhatWasGotAndExpected) {
  const Context context(Device::cpu, 1);
  Array<float> first({2, 3}), second({4}), rate({1}), rates({2});
  Array<double> doubles({4});
  std::vector<SgdTensor> tensors{{first, first, first}, {second, second, second}};
  const auto message = [&](const auto& change) {
    Sgd operation{.tensors = tensors, .learning_rate = rate, .momentum = 0.9};
    change(operation);
    return thrown_by([&] { run(context, operation); });
  };
  const auto nothing = [](Sgd&) {};
  EXPECT_EQ(message(nothing), "nothing was thrown");
  EXPECT_EQ(message([](Sgd& op) { op.tensors = {}; }), "[sgd] there are no tensors to update");
  EXPECT_EQ(message([](Sgd& op) { op.momentum = -1; }), "[sgd] momentum is -1, expected 0 to 1");
  EXPECT_EQ(message([](Sgd& op) { op.weight_decay = -0.5; }), "[sgd] weight_decay is -0.5, expected 0 or more");
  EXPECT_EQ(message([](Sgd& op) { op.momentum = 0, op.nesterov = true; }), "[sgd] nesterov needs a momentum above 0");
  EXPECT_EQ(message([&](Sgd& op) { op.learning_rate = rates; }), "[sgd] learning_rate is (2), expected (1): one learning rate for all tensors");

  tensors[1].gradient = first;
  EXPECT_EQ(message(nothing), "[sgd] the gradient of tensor 1 is (2,3), expected (4): the shape of its parameter");
  tensors[1].gradient = {};
  EXPECT_EQ(message(nothing), "[sgd] the gradient of tensor 1 was not given");
  tensors[1].gradient = doubles;
  EXPECT_EQ(message(nothing), "[sgd] the gradient of tensor 1 is f64, expected f32 as the first parameter");
  tensors[1] = {.parameter = second, .gradient = second};
  EXPECT_EQ(message(nothing), "[sgd] the momentum of tensor 1 was not given");
  EXPECT_EQ(message([](Sgd& op) { op.momentum = 0; }), "nothing was thrown");
}

}  // namespace
}  // namespace isda::kernels
