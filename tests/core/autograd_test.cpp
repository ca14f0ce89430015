// SPDX-License-Identifier: Apache-2.0
// The tape: sums over several uses, the order of visits, fused gradients, what is freed when, and what is refused.
#include "core/autograd.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/memory.h"
#include "tests/core/expect_error.h"

namespace isda {
namespace {

using Names = std::vector<std::string>;

Tensor vector_of(const std::vector<double>& values) {
  return Tensor::copy_of(ConstView(values.data(), DType::f64, {static_cast<std::int64_t>(values.size())}), Device::reference);
}

Tensor leaf(const std::vector<double>& values) { return parameter(vector_of(values)); }

std::vector<double> elements(const Tensor& tensor) {
  std::vector<double> result;
  for (std::int64_t i = 0; tensor && i < tensor.size(); ++i) result.push_back(tensor.view().at_offset(i));
  return result;
}

// f of the elements of a and b.
template <class Function>
Tensor zip(const Tensor& a, const Tensor& b, Function&& f) {
  const Tensor result = Tensor::like(a);
  for (std::int64_t i = 0; i < a.size(); ++i) result.view().set_offset(f(a.view().at_offset(i), b.view().at_offset(i)), i);
  return result;
}

Tensor product_of(const Tensor& a, const Tensor& b) {
  return zip(a, b, [](double x, double y) { return x * y; });
}

// The steps that ran backward, in order.
Names visits;

Tensor multiply(const Tensor& a, const Tensor& b, const std::string& name = "multiply") {
  return differentiable(product_of(a, b), {a, b}, [a, b, name](const Tensor& dy) {
    visits.push_back(name);
    return Gradients{product_of(dy, b), product_of(dy, a)};
  });
}

Tensor sum(const Tensor& a, const Tensor& b, const std::string& name = "sum") {
  const Tensor y = zip(a, b, [](double x, double z) { return x + z; });
  return differentiable(y, {a, b}, [name](const Tensor& dy) {
    visits.push_back(name);
    return Gradients{dy, dy};  // shared on purpose: whoever adds to one must not change the other
  });
}

Tensor times(double factor, const Tensor& x, const std::string& name = "times") {
  const Tensor factors = Tensor::full(x.shape(), factor, x.type(), x.device());
  return differentiable(product_of(x, factors), {x}, [factors, name](const Tensor& dy) {
    visits.push_back(name);
    return Gradients{product_of(dy, factors)};
  });
}

// The sum of the elements, (1).
Tensor total(const Tensor& x, const std::string& name = "total") {
  double value = 0;
  for (const double element : elements(x)) value += element;
  return differentiable(Tensor::full({1}, value, x.type(), x.device()), {x}, [shape = x.shape(), name](const Tensor& dy) {
    visits.push_back(name);
    return Gradients{Tensor::full(shape, dy.item(), dy.type(), dy.device())};
  });
}

class Autograd : public testing::Test {
 protected:
  void SetUp() override { visits.clear(); }
};

TEST_F(Autograd, ProductRule) {
  const Tensor a = leaf({1, 2, 3}), b = leaf({4, 5, 6});
  backward(total(multiply(a, b)));
  EXPECT_EQ(elements(gradient_of(a)), (std::vector<double>{4, 5, 6}));
  EXPECT_EQ(elements(gradient_of(b)), (std::vector<double>{1, 2, 3}));
}

TEST_F(Autograd, ATensorUsedTwiceReceivesTheSum) {
  const Tensor x = leaf({3, -2});
  backward(total(multiply(x, x)));
  EXPECT_EQ(elements(gradient_of(x)), (std::vector<double>{6, -4}));
}

TEST_F(Autograd, Diamond) {
  const Tensor x = leaf({2, 5});
  const Tensor h = times(3, x);
  // (5 h) * h + h: dh = 10 h + 1
  backward(total(sum(multiply(times(5, h), h), h)));
  EXPECT_EQ(elements(gradient_of(x)), (std::vector<double>{3 * 61, 3 * 151}));
}

TEST_F(Autograd, ALadderOfDiamondsRunsEachStepOnce) {
  const Tensor x = leaf({1});
  Tensor h = x;
  for (int i = 0; i < 40; ++i) h = sum(h, h);  // 2^40 paths
  backward(total(h));
  EXPECT_EQ(elements(gradient_of(x)), (std::vector<double>{0x1p40}));
  EXPECT_EQ(visits.size(), 41u);
}

TEST_F(Autograd, VisitsInFallingOrderOfRecording) {
  const Tensor x = leaf({1, 2});
  const Tensor a = times(2, x, "a"), b = times(3, x, "b");
  const Tensor c = multiply(a, b, "c"), d = multiply(a, c, "d");
  const Tensor unused = times(7, c, "unused");
  backward(total(sum(d, b, "e"), "f"));
  EXPECT_EQ(visits, (Names{"f", "e", "d", "c", "b", "a"}));
}

// NOTE: the two branches share their first gradient: the sum must not be written over the other branch's.
TEST_F(Autograd, SharedGradientsAreNotAddedInPlace) {
  const Tensor x = leaf({1}), z = leaf({1});
  const Tensor a = times(1, x), b = times(1, z);
  backward(total(sum(sum(a, b), times(10, a))));
  EXPECT_EQ(elements(gradient_of(x)), std::vector<double>{11});
  EXPECT_EQ(elements(gradient_of(z)), std::vector<double>{1});
}

TEST_F(Autograd, LeavesAccumulateOverComputations) {
  const Tensor x = leaf({1, 2});
  EXPECT_FALSE(gradient_of(x));
  backward(total(times(3, x)));
  const Tensor first = gradient_of(x);
  backward(total(times(4, x)));
  EXPECT_EQ(elements(gradient_of(x)), (std::vector<double>{7, 7}));
  EXPECT_EQ(elements(first), (std::vector<double>{3, 3})) << "a gradient that was taken stays what it was";
  clear_gradient(x);
  EXPECT_FALSE(gradient_of(x));
  backward(total(times(5, x)));
  EXPECT_EQ(elements(gradient_of(x)), (std::vector<double>{5, 5}));
}

TEST_F(Autograd, CopiesOfALeafShareItsGradient) {
  const Tensor x = leaf({1});
  const Tensor copied = x;
  backward(total(multiply(copied, x)));
  EXPECT_EQ(elements(gradient_of(copied)), std::vector<double>{2});
}

TEST_F(Autograd, ConstantsReceiveNothing) {
  const Tensor x = leaf({1, 2}), constant = vector_of({3, 4});
  const Tensor y = multiply(x, constant);
  EXPECT_FALSE(needs_gradient(constant));
  EXPECT_TRUE(needs_gradient(x));
  EXPECT_TRUE(needs_gradient(y));
  EXPECT_FALSE(needs_gradient(multiply(constant, constant)));
  EXPECT_FALSE(needs_gradient(x.detached()));
  EXPECT_FALSE(needs_gradient(Tensor()));
  backward(total(y));
  EXPECT_EQ(elements(gradient_of(x)), (std::vector<double>{3, 4}));
  EXPECT_FALSE(gradient_of(constant));
  clear_gradient(constant);  // nothing to clear
}

TEST_F(Autograd, DetachedCutsTheComputation) {
  const Tensor x = leaf({3});
  const Tensor h = times(2, x);
  backward(total(multiply(h, h.detached())));
  EXPECT_EQ(elements(gradient_of(x)), std::vector<double>{12});
}

TEST_F(Autograd, NoGradientRecordsNothing) {
  const Tensor x = leaf({1});
  {
    const NoGradient outer;
    EXPECT_FALSE(needs_gradient(x));
    { const NoGradient inner; }
    EXPECT_FALSE(needs_gradient(x)) << "the inner one ends, the outer one lives";
    EXPECT_EQ(times(2, x).history(), nullptr);
  }
  EXPECT_TRUE(needs_gradient(x));
  EXPECT_NE(times(2, x).history(), nullptr);
}

// A step that takes its input's pending gradient, as a convolution does.
Tensor fused(const Tensor& x, std::vector<bool>* was_pending) {
  return differentiable(x.clone(), {x}, [was_pending](const Tensor& dy, Pending& pending) {
    const Tensor other = pending.take(0);
    was_pending->push_back(static_cast<bool>(other));
    EXPECT_FALSE(pending.take(0)) << "taken once, it is gone";
    return Gradients{other ? zip(dy, other, [](double a, double b) { return a + b; }) : dy};
  });
}

TEST_F(Autograd, PendingGradientsCanBeTakenIntoAStep) {
  const Tensor x = leaf({1, 2});
  const Tensor h = times(3, x);
  std::vector<bool> was_pending;
  const Tensor y = fused(h, &was_pending);
  // The shortcut is recorded later, so its gradient arrives first and waits for `fused`.
  backward(total(sum(y, times(10, h))));
  EXPECT_EQ(was_pending, std::vector<bool>{true});
  EXPECT_EQ(elements(gradient_of(x)), (std::vector<double>{33, 33}));
}

TEST_F(Autograd, NothingIsPendingBeforeTheOtherUseAndAtLeaves) {
  const Tensor x = leaf({1, 2});
  std::vector<bool> was_pending;
  const Tensor h = times(3, x);
  const Tensor shortcut = times(10, h);
  backward(total(sum(fused(h, &was_pending), shortcut)));
  EXPECT_EQ(was_pending, std::vector<bool>{false});
  EXPECT_EQ(elements(gradient_of(x)), (std::vector<double>{33, 33}));

  // What a leaf has accumulated stays at the leaf.
  was_pending.clear();
  backward(total(fused(x, &was_pending)));
  EXPECT_EQ(was_pending, std::vector<bool>{false});
  EXPECT_EQ(elements(gradient_of(x)), (std::vector<double>{34, 34}));
}

TEST_F(Autograd, SavedTensorsAreFreedAsBackwardGoes) {
  constexpr std::int64_t kElements = 1 << 15;  // a size class of its own: 256 KiB
  constexpr std::size_t kBytes = kElements * sizeof(double);
  const Tensor x = parameter(Tensor::full({kElements}, 1, DType::f64, Device::reference));
  std::vector<std::size_t> in_use;
  std::vector<std::weak_ptr<int>> saved;
  Tensor h = x;
  for (int i = 0; i < 8; ++i) {
    const auto token = std::make_shared<int>(i);
    saved.push_back(token);
    h = differentiable(h.clone(), {h}, [h, token, &in_use, &saved](const Tensor& dy) {
      // What later steps saved is gone.
      for (std::size_t later = static_cast<std::size_t>(*token) + 1; later < saved.size(); ++later) EXPECT_TRUE(saved[later].expired()) << later;
      in_use.push_back(memory_statistics().in_use);
      return Gradients{dy.clone()};
    });
  }
  const Tensor loss = total(h);
  const std::weak_ptr<History> last = h.history();
  h = {};
  backward(loss);
  ASSERT_EQ(in_use.size(), 8u);
  EXPECT_TRUE(last.expired()) << "the loss holds nothing of the steps before it";
  for (std::size_t i = 1; i < in_use.size(); ++i) EXPECT_EQ(in_use[i - 1] - in_use[i], kBytes) << "step " << i;
  for (const auto& token : saved) EXPECT_TRUE(token.expired());
}

TEST_F(Autograd, ADroppedComputationLeavesNothingBehind) {
  const Tensor x = leaf(std::vector<double>(1000, 1.0));
  // NOTE: the first backward of a thread keeps the number that all of them begin with.
  backward(total(x));
  clear_gradient(x);
  const std::size_t before = memory_statistics().in_use;
  {
    const Tensor h = multiply(x, times(2, x));
    const Tensor loss = total(sum(h, times(3, h)));
    EXPECT_GT(memory_statistics().in_use, before);
  }
  EXPECT_EQ(memory_statistics().in_use, before);
  {
    const Tensor loss = total(multiply(x, times(2, x)));
    backward(loss);
  }
  clear_gradient(x);
  EXPECT_EQ(memory_statistics().in_use, before);
}

TEST_F(Autograd, AnIntermediateTensorOutlivesTheComputation) {
  const Tensor x = leaf({2});
  const Tensor h = times(3, x);
  backward(total(h));
  EXPECT_EQ(elements(h), std::vector<double>{6});
  EXPECT_EQ(visits, (Names{"total", "times"}));
}

TEST_F(Autograd, AVeryLongChainIsFreedWithoutOverflowingTheStack) {
  constexpr int kSteps = 200'000;
  const Tensor x = leaf({1});
  const std::size_t before = memory_statistics().in_use;
  const auto chain = [&] {
    Tensor h = x;
    // Each step saves its input, as real layers do.
    for (int i = 0; i < kSteps; ++i) h = differentiable(h.clone(), {h}, [h](const Tensor& dy) { return Gradients{dy}; });
    return h;
  };
  { const Tensor dropped = chain(); }
  EXPECT_EQ(memory_statistics().in_use, before);
  backward(chain());
  EXPECT_EQ(elements(gradient_of(x)), std::vector<double>{1});
}

TEST_F(Autograd, ALongChainOfDiamondsIsFreedToo) {
  const Tensor x = leaf({1});
  const std::size_t before = memory_statistics().in_use;
  {
    Tensor h = x;
    for (int i = 0; i < 50'000; ++i) h = sum(multiply(h, h), h);
  }
  EXPECT_EQ(memory_statistics().in_use, before);
}

TEST_F(Autograd, ASecondBackwardIsRefused) {
  const Tensor x = leaf({1});
  const Tensor loss = total(times(2, x));
  backward(loss);
  expect_error([&] { backward(loss); }, "[autograd] backward() a second time through a step that made (1)");
  EXPECT_EQ(elements(gradient_of(x)), std::vector<double>{2}) << "and changes nothing";
}

TEST_F(Autograd, ASecondBackwardThroughASharedPartIsRefused) {
  const Tensor x = leaf({1, 1, 1});
  const Tensor h = times(2, x);
  const Tensor first = total(h), second = total(times(3, h));
  backward(first);
  expect_error([&] { backward(second); }, "[autograd] backward() a second time through a step that made (3)");
}

TEST_F(Autograd, BackwardStartsAtOneComputedElement) {
  const Tensor x = leaf({1, 2});
  expect_error([&] { backward(times(2, x)); }, "[autograd] backward() starts at one element, got shape (2)");
  expect_error([&] { backward(leaf({1})); }, "[autograd] backward() of a tensor that was not computed from parameters");
  expect_error([&] { backward(total(vector_of({1, 2}))); }, "not computed from parameters");
  expect_error([&] { backward(Tensor()); }, "not computed from parameters");
  const NoGradient no_gradient;
  expect_error([&] { backward(total(x)); }, "or under NoGradient");
}

TEST_F(Autograd, TheNumberOfGradientsIsChecked) {
  const Tensor x = leaf({1});
  const auto with = [&](const Gradients& gradients) {
    return differentiable(x.clone(), {x, vector_of({1})}, [gradients](const Tensor&) { return gradients; });
  };
  expect_error([&] { backward(with({vector_of({1})})); }, "[autograd] a backward closure returned 1 gradients for 2 inputs");
  expect_error([&] { backward(with({vector_of({1}), {}, {}})); }, "[autograd] a backward closure returned 3 gradients for 2 inputs");
  expect_error([&] { backward(with({Tensor(), vector_of({1})})); }, "[autograd] a backward closure returned no gradient for input 0, which needs one");
  backward(with({vector_of({5}), {}}));  // none is wanted for the constant
  EXPECT_EQ(elements(gradient_of(x)), std::vector<double>{5});
}

TEST_F(Autograd, AnErrorInAStepReachesTheCallerAndTheNextComputationWorks) {
  const Tensor x = leaf({1});
  const Tensor broken = differentiable(x.clone(), {x}, [](const Tensor&) -> Gradients { fail("[broken] on purpose"); });
  expect_error([&] { backward(total(broken)); }, "[broken] on purpose");
  backward(total(times(2, x)));
  EXPECT_EQ(elements(gradient_of(x)), std::vector<double>{2});
}

}  // namespace
}  // namespace isda
