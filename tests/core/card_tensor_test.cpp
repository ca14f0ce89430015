// SPDX-License-Identifier: Apache-2.0
// Tensors on the card: fills, copies in all directions, staging, conversions, what is random, what is on disk, gradients.
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/autograd.h"
#include "core/module.h"
#include "core/random.h"
#include "core/safetensors.h"
#include "core/staging.h"
#include "kernels/elementwise/elementwise.h"
#include "tests/core/card.h"
#include "tests/core/expect_error.h"
#include "tests/core/temporary_folder.h"

namespace isda {
namespace {

using CardTensor = OnTheCardTest;

constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f64, DType::u8, DType::i32, DType::i64};

const Context& context() { return context_of(Device::cuda); }
Tensor on_card(const Tensor& tensor) { return tensor.to(tensor.type(), Device::cuda); }

TEST_F(CardTensor, FullAndZerosFillEveryType) {
  for (const DType type : kTypes) {
    SCOPED_TRACE(name_of(type));
    for (const double value : {0.0, 7.0}) {
      on_card(counted_from(1, {3, 2}, type));  // memory that was used before, so that what is not written is seen
      const Tensor full = Tensor::full({3, 2}, value, type, Device::cuda);
      EXPECT_EQ(full.device(), Device::cuda);
      EXPECT_TRUE(is_on_card(full.view().data()));
      EXPECT_EQ(first_difference(full, Tensor::full({3, 2}, value, type)), -1);
    }
  }
}

TEST_F(CardTensor, AnEmptyTensorIsDefined) {
  const Tensor empty = Tensor::zeros({0, 4}, DType::f32, Device::cuda);
  EXPECT_TRUE(empty);
  EXPECT_EQ(empty.clone().on_host().size(), 0);
  EXPECT_EQ(Tensor::full({0}, 3, DType::f32, Device::cuda).size(), 0);
}

TEST_F(CardTensor, CopiesThereAndBackAndOnTheCard) {
  for (const std::int64_t size : {1, 5, 1000, 70001}) {
    const Tensor host = counted_from(2, {size});
    const Tensor there = on_card(host), clone = there.clone();
    EXPECT_NE(clone.view().data(), there.view().data());
    copy(Tensor::full({size}, -1), there);
    EXPECT_EQ(first_difference(clone, host), -1);
    EXPECT_EQ(first_difference(there, Tensor::full({size}, -1)), -1);
    const Tensor back({size});
    copy(clone, back);
    EXPECT_EQ(first_difference(back, host), -1);
    EXPECT_EQ(back.device(), Device::cpu);
  }
}

TEST_F(CardTensor, CopiesAPartOfATensor) {
  const Tensor host = counted_from(3, {10}), there = on_card(host);
  auto* const elements = static_cast<float*>(there.view().data());
  copy(View(elements + 1, DType::f32, {3}), View(elements + 6, DType::f32, {3}));
  const Tensor part = Tensor::copy_of(ConstView(elements + 5, DType::f32, {5}));
  const std::vector<std::int64_t> expected{5, 1, 2, 3, 9};
  for (std::int64_t i = 0; i < 5; ++i) EXPECT_EQ(part.view().at(i), host.view().at(expected[static_cast<std::size_t>(i)])) << i;
}

TEST_F(CardTensor, ConvertsTheTypeOnTheWay) {
  for (const DType from : kTypes) {
    for (const DType to : kTypes) {
      SCOPED_TRACE(fmt::format("{} to {}", name_of(from), name_of(to)));
      const Tensor host = counted_from(5, {50}, from), expected = host.to(to, Device::cpu);
      EXPECT_EQ(first_difference(host.to(to, Device::cuda), expected), -1);
      EXPECT_EQ(first_difference(on_card(host).to(to, Device::cuda), expected), -1);
      EXPECT_EQ(first_difference(on_card(host).to(to, Device::cpu), expected), -1);
      EXPECT_EQ(on_card(host).to(to, Device::cuda).type(), to);
    }
  }
}

TEST_F(CardTensor, ItemWaitsForItsValue) {
#if defined(ISDA_EMULATED)
  const DeferredStreams deferred;
#endif
  for (int round = 1; round < 20; ++round) {
    const Tensor x = Tensor::full({1, 1}, round, DType::f32, Device::cuda), y = x.clone();
    copy(Tensor::zeros({1, 1}, DType::f32, Device::cuda), x);
    EXPECT_EQ(y.item(), round);
    EXPECT_EQ(x.item(), 0);
  }
  expect_error([] { Tensor::zeros({2}, DType::f32, Device::cuda).item(); }, "[tensor] item() of shape (2), expected one element");
}

TEST_F(CardTensor, IsSharedWithTheHostOnlyAsACopy) {
  const Tensor host = counted_from(1, {4});
  EXPECT_EQ(host.on_host().view().data(), host.view().data());
  const Tensor reference = host.to(DType::f32, Device::reference);
  EXPECT_EQ(reference.on_host().view().data(), reference.view().data());
  EXPECT_EQ(on_card(host).on_host().device(), Device::cpu);
  EXPECT_FALSE(is_on_card(on_card(host).on_host().view().data()));
}

// ---- staging ----

TEST_F(CardTensor, TheSourceMayChangeWhenTheCopyReturns) {
#if defined(ISDA_EMULATED)
  const DeferredStreams deferred;
#endif
  std::array<float, 500> source{};
  std::vector<Tensor> copies;
  for (int round = 0; round < 20; ++round) {
    source.fill(static_cast<float>(round));
    copies.push_back(Tensor::copy_of(ConstView(source.data(), DType::f32, {500}), Device::cuda));
    source.fill(-1);
  }
  for (int round = 0; round < 20; ++round) EXPECT_EQ(first_difference(copies[static_cast<std::size_t>(round)], Tensor::full({500}, round)), -1);
}

TEST_F(CardTensor, ACopyMayBeLargerThanTheRing) {
#if defined(ISDA_EMULATED)
  const DeferredStreams deferred;
#endif
  constexpr std::size_t kBytes = 2 * Staging::kBuffers * Staging::kBufferBytes + 12345;
  std::vector<std::uint8_t> source(kBytes);
  for (std::size_t i = 0; i < kBytes; ++i) source[i] = static_cast<std::uint8_t>(i * 2654435761u >> 24);
  const ConstView view(source.data(), DType::u8, {static_cast<std::int64_t>(kBytes)});
  const Tensor there = Tensor::copy_of(view, Device::cuda);
  const std::vector<std::uint8_t> expected = std::exchange(source, {});
  const Tensor back = there.on_host();
  EXPECT_EQ(std::memcmp(back.view().data(), expected.data(), kBytes), 0);
}

TEST_F(CardTensor, ManySmallCopiesGoRoundTheRing) {
#if defined(ISDA_EMULATED)
  const DeferredStreams deferred;
#endif
  constexpr int kBytes = 20'011;
  constexpr int kCopies = 3 * static_cast<int>(Staging::kBuffers * Staging::kBufferBytes) / (2 * kBytes);
  std::vector<Tensor> copies;
  std::vector<std::uint8_t> source(kBytes);
  for (int i = 0; i < kCopies; ++i) {
    std::fill(source.begin(), source.end(), static_cast<std::uint8_t>(i * 37));
    copies.push_back(Tensor::copy_of(ConstView(source.data(), DType::u8, {kBytes}), Device::cuda));
  }
  int wrong = 0;
  for (int i = 0; i < kCopies; ++i) {
    const Tensor back = copies[static_cast<std::size_t>(i)].on_host();
    const auto* bytes = back.view().as<std::uint8_t>();
    wrong += std::count(bytes, bytes + kBytes, static_cast<std::uint8_t>(i * 37)) != kBytes;
  }
  EXPECT_EQ(wrong, 0) << "of " << kCopies;
}

TEST_F(CardTensor, AGraphHoldsNoCopyThatPassesThroughTheHost) {
  const Tensor host = counted_from(1, {10}), there = on_card(host), wide = Tensor::zeros({10}, DType::f64, Device::cuda);
  context().synchronise();
  cuda::Graph graph(context().stream());
  expect_error([&] { copy(host, there); }, "[tensor] a copy from the host to the card while a graph is recorded: copy before, into a tensor that stays");
  expect_error([&] { copy(there, host); }, "[tensor] the host reads (10) from the card while a graph is recorded: read it after a replay");
  expect_error([&] { copy(there, wide); }, "while a graph is recorded");
  graph.finish();
  EXPECT_EQ(graph.nodes(), 0u);
  EXPECT_EQ(first_difference(there, host), -1);
}

// ---- what is random ----

struct Wide : Module {
  Wide()
      : normal(add_parameter("normal", {30, 40}, Initial::normal(0.3))),
        uniform(add_parameter("uniform", {700}, Initial::uniform(0.2))),
        constant(add_parameter("constant", {5}, Initial::constant(2))),
        mean(add_buffer("mean", {5}, 4)) {}
  const Tensor normal, uniform, constant, mean;
};

TEST_F(CardTensor, ASeedMeansTheSameParametersAsOnTheHost) {
  Wide on_cpu;
  const PlacementScope scope({Device::cuda, DType::bf16});
  Wide there;
  on_cpu.initialise(7);
  there.initialise(7);
  const auto expected = on_cpu.parameters(), got = there.parameters();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(got[i].tensor.device(), Device::cuda);
    EXPECT_EQ(got[i].tensor.type(), DType::f32) << "parameters beside bf16 activations are f32";
    EXPECT_EQ(first_difference(got[i].tensor, expected[i].tensor), -1) << got[i].name;
  }
  EXPECT_EQ(first_difference(there.mean, on_cpu.mean), -1);
}

TEST_F(CardTensor, APartIsFilledWithRandomNumbersAndTheRestKept) {
  const Tensor there = Tensor::zeros({100}, DType::f32, Device::cuda), expected = Tensor::zeros({100});
  for (const Tensor& tensor : {there, expected}) {
    auto* const elements = static_cast<float*>(tensor.view().data());
    fill_normal(View(elements + 10, DType::f32, {30}), 2, 5, RandomStream::test, 1);
    fill_uniform(View(elements + 60, DType::f32, {20}), -1, 3, 5, RandomStream::test, 2);
  }
  EXPECT_EQ(first_difference(there, expected), -1);
}

// ---- what is on disk ----

TEST_F(CardTensor, IsSavedAsFromTheHostAndLoadedAgain) {
  const TemporaryFolder folder;
  const auto bytes_of = [&](const char* name) {
    std::ifstream stream(folder.path() / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(stream), {});
  };
  std::vector<Tensor> kept;
  std::vector<NamedView> on_cpu, there;
  for (const DType type : kTypes) {
    const Tensor host = counted_from(static_cast<int>(kept.size()), {6, 7}, type);
    kept.push_back(host);
    on_cpu.push_back({std::string(name_of(type)), host});
    kept.push_back(on_card(host));
    there.push_back({std::string(name_of(type)), kept.back()});
  }
  write_safetensors(folder.path() / "cpu", on_cpu);
  write_safetensors(folder.path() / "card", there);
  EXPECT_EQ(bytes_of("card"), bytes_of("cpu"));

  const Safetensors file = Safetensors::open(folder.path() / "card");
  for (const auto& [name, view] : on_cpu) EXPECT_EQ(first_difference(Tensor::copy_of(file.view(name), Device::cuda), Tensor::copy_of(view)), -1) << name;
}

// ---- gradients ----

Tensor relu(const Tensor& x) {
  const Tensor y = Tensor::like(x);
  kernels::run(x.context(), kernels::Relu{.x = x, .y = y});
  return differentiable(y, {x}, [y](const Tensor& dy) {
    const Tensor dx = Tensor::like(dy);
    kernels::run(dy.context(), kernels::ReluBackward{.dy = dy, .y = y, .dx = dx});
    return Gradients{dx};
  });
}

Tensor sum_of(const Tensor& a, const Tensor& b) {
  const Tensor y = Tensor::like(a);
  kernels::run(a.context(), kernels::Add{.a = a, .b = b, .y = y});
  return differentiable(y, {a, b}, [](const Tensor& dy) { return Gradients{dy, dy}; });
}

TEST_F(CardTensor, GradientsAreSummedOnTheCard) {
#if defined(ISDA_EMULATED)
  const DeferredStreams deferred;
#endif
  const Tensor x = parameter(Tensor::full({1}, 3, DType::f32, Device::cuda)), y = parameter(Tensor::full({1}, -3, DType::f32, Device::cuda));
  for (int round = 1; round <= 3; ++round) {
    const Tensor loss = sum_of(sum_of(relu(x), x), relu(y));
    EXPECT_EQ(loss.item(), 6);
    backward(loss);
    EXPECT_EQ(gradient_of(x).device(), Device::cuda);
    EXPECT_EQ(gradient_of(x).item(), 2 * round) << "parameters accumulate";
    EXPECT_EQ(gradient_of(y).item(), 0);
  }
}

TEST_F(CardTensor, AStepIsRecordedAndReplayed) {
  const Tensor x = parameter(Tensor::full({1}, 3, DType::f32, Device::cuda));
  const Tensor gradient = Tensor::zeros({1}, DType::f32, Device::cuda);
  const auto step = [&] {
    backward(sum_of(relu(x), x));
    copy(gradient_of(x), gradient);
    clear_gradient(x);
  };
  step();
  EXPECT_EQ(gradient.item(), 2);
  const std::uint64_t allocations = memory_statistics(Device::cuda).system_allocations;
  cuda::Graph graph(context().stream());
  step();
  graph.finish();
  EXPECT_EQ(memory_statistics(Device::cuda).system_allocations, allocations);
  for (const double value : {-1.0, 5.0}) {
    copy(Tensor::full({1}, value), x);
    graph.launch(context().stream());
    EXPECT_EQ(gradient.item(), value > 0 ? 2 : 1);
  }
}

}  // namespace
}  // namespace isda
