// SPDX-License-Identifier: Apache-2.0
// What the parity with the reference cannot see: that the operations are Pillow's and the policies those of the papers (tests/golden/image_operations.txt), and
// how steps are drawn.
#include "kernels/image_policy/image_policy.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "tests/core/expect_error.h"
#include "tests/kernels/on_card.h"
#include "tests/kernels/on_device.h"

namespace isda::kernels {
namespace {

using Bytes = std::vector<std::uint8_t>;

const std::vector<std::string> kNames{"identity", "shear_x",   "shear_y",  "translate_x",  "translate_y", "rotate",   "autocontrast", "equalize",
                                      "invert",   "posterize", "solarize", "solarize_add", "color",       "contrast", "brightness",   "sharpness"};

ImageOperation operation_of(const std::string& name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<ImageOperation>(i);
  }
  ADD_FAILURE() << name;
  return ImageOperation::identity;
}

struct Image {
  std::int64_t height = 0, width = 0;
  Bytes bytes;
};

struct Golden {
  struct Applied {
    std::string operation;
    double magnitude;
    std::string image;
    Bytes bytes;
  };
  struct Step {
    ImageOperation operation;
    double probability, magnitude;
    bool is_signed;
  };
  std::map<std::string, Image> images;
  std::vector<Applied> applied;
  std::map<std::string, std::vector<std::vector<Step>>> policies;
};

Bytes bytes_of(const std::string& text) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) bytes.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

const Golden& golden() {
  static const Golden read = [] {
    Golden result;
    std::ifstream file(ISDA_SOURCE_DIR "/tests/golden/image_operations.txt");
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string kind, name, hexadecimal;
      words >> kind >> name;
      if (kind == "image") {
        Image& image = result.images[name];
        words >> image.height >> image.width >> hexadecimal;
        image.bytes = bytes_of(hexadecimal);
      } else if (kind == "operation") {
        Golden::Applied applied{.operation = name};
        words >> applied.magnitude >> applied.image >> hexadecimal;
        applied.bytes = bytes_of(hexadecimal);
        result.applied.push_back(applied);
      } else {
        std::size_t sub_policy = 0, place = 0;
        std::string operation;
        Golden::Step step{};
        words >> sub_policy >> place >> operation >> step.probability >> step.magnitude >> step.is_signed;
        step.operation = operation_of(operation);
        auto& policy = result.policies[name];
        policy.resize(std::max(policy.size(), sub_policy + 1));
        policy[sub_policy].push_back(step);
      }
    }
    return result;
  }();
  return read;
}

// Images of a set, and a policy, on any device.
struct Set {
  std::int64_t count, height, width;
  Bytes bytes;
  int padding = 0;
  bool flip = false;

  Bytes made(Device device, const Policy& policy, const std::vector<std::int32_t>& indices, std::int32_t epoch = 0, std::uint64_t seed = 1,
             std::int64_t gathered_from = 0) const {
    const PolicyTable table = compile(policy, height, width);
    const auto words = [](const std::vector<std::int32_t>& list) { return given(std::vector<double>(list.begin(), list.end())); };
    Problem p(DType::f32, 1, device);
    const ConstView images = p.bytes("images", {count, height, width, 3});
    std::copy(bytes.begin(), bytes.end(), p.array("images").view.as<std::uint8_t>());
    const auto N = static_cast<std::int64_t>(indices.size());
    p.forward(ImagePolicy{.images = images,
                          .indices = p.integers("indices", {N}, words(indices)),
                          .epoch = p.integers("epoch", {1}, constant(epoch)),
                          .steps = p.integers("steps", {table.sub_policies, table.steps_of_one, PolicyTable::kWords}, words(table.steps)),
                          .rounds = p.integers("rounds", {static_cast<std::int64_t>(table.rounds.size()) / 2, 2}, words(table.rounds)),
                          .seed = seed,
                          .padding = padding,
                          .flip = flip,
                          .gathered_from = gathered_from,
                          .y = p.output("y", {N, height, width, 3}, DType::u8)});
    p.run(Context(device));
    const auto* y = p.array("y").view.as<std::uint8_t>();
    return {y, y + N * height * width * 3};
  }
};

Set set_of(const Image& image) { return {1, image.height, image.width, image.bytes}; }

Policy always(const PolicyStep& step) { return {{{{step}}}}; }

// All devices there are.
class ImagePolicyOn : public testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (GetParam() == Device::cuda && !cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, ImagePolicyOn, testing::Values(Device::reference, Device::cpu, Device::cuda),
                         [](const auto& device) { return std::string(name_of(device.param)); });

TEST_P(ImagePolicyOn, MakesPillowsBytes) {
  std::set<std::string> seen;
  for (const Golden::Applied& applied : golden().applied) {
    const Image& image = golden().images.at(applied.image);
    const Policy policy = always({operation_of(applied.operation), 1, applied.magnitude});
    const Bytes made = set_of(image).made(GetParam(), policy, {0});
    ASSERT_EQ(made.size(), applied.bytes.size());
    int different = 0;
    for (std::size_t i = 0; i < made.size(); ++i) different += made[i] != applied.bytes[i];
    EXPECT_EQ(different, 0) << "bytes of " << applied.operation << " " << applied.magnitude << " " << applied.image;
    seen.insert(applied.operation);
  }
  EXPECT_EQ(seen.size(), kNames.size() - 1);
}

TEST_P(ImagePolicyOn, CropsAndFlipsAsAugmentDoes) {
  Set set = set_of(golden().images.at("wild"));
  set.count = 1;
  set.padding = 3;
  set.flip = true;
  for (std::int32_t epoch = 0; epoch < 20; ++epoch) {
    const Bytes made = set.made(GetParam(), always({}), {0}, epoch, 9);
    const std::vector<float> zero{0, 0, 0}, one{1, 1, 1};
    const std::int32_t index = 0;
    std::vector<float> y(made.size());
    run(Context(Device::reference), Augment{.images = ConstView(set.bytes.data(), DType::u8, {1, set.height, set.width, 3}),
                                            .indices = ConstView(&index, DType::i32, {1}),
                                            .mean = ConstView(zero.data(), DType::f32, {3}),
                                            .deviation = ConstView(one.data(), DType::f32, {3}),
                                            .epoch = ConstView(&epoch, DType::i32, {1}),
                                            .seed = 9,
                                            .padding = 3,
                                            .y = View(y.data(), DType::f32, {1, set.height, set.width, 3})});
    ASSERT_EQ(std::vector<float>(made.begin(), made.end()), y) << epoch;
  }
}

TEST_P(ImagePolicyOn, DependsOnSeedEpochAndIndexAlone) {
  Set set{2, 8, 8, {}, 2, true};
  for (int i = 0; i < 2 * 8 * 8 * 3; ++i) set.bytes.push_back(static_cast<std::uint8_t>(i * 37 % 251));
  const Policy policy = policy_of("randaugment:3:20");
  const Bytes alone = set.made(GetParam(), policy, {1}, 7, 9), last = set.made(GetParam(), policy, {0, 0, 1}, 7, 9);
  EXPECT_EQ(alone, Bytes(last.begin() + 2 * 192, last.end()));
  EXPECT_EQ(Bytes(last.begin(), last.begin() + 192), Bytes(last.begin() + 192, last.begin() + 384));
  EXPECT_NE(alone, set.made(GetParam(), policy, {1}, 8, 9));
  EXPECT_NE(alone, set.made(GetParam(), policy, {1}, 7, 10));
  // Gathered, the images are those of the batch, and the indices of the set decide the draws alone.
  Set gathered{1, 8, 8, Bytes(set.bytes.begin() + 192, set.bytes.end())};
  set.padding = 0;
  set.flip = false;
  EXPECT_EQ(gathered.made(GetParam(), policy, {1}, 7, 9, 2), set.made(GetParam(), policy, {1}, 7, 9));
}

TEST(ImagePolicyIndices, AreRefusedOutOfRangeOnTheHost) {
  const Set set = set_of(golden().images.at("wild"));
  for (const Device device : {Device::reference, Device::cpu}) {
    for (const std::int32_t index : {1, -1}) EXPECT_THROW(set.made(device, always({}), {0, index}), Error);
    EXPECT_THROW(set.made(device, always({}), {2}, 0, 1, 2), Error);
    EXPECT_NO_THROW(set.made(device, always({}), {1}, 0, 1, 2));
  }
}

TEST(Policies, AreThoseOfThePapers) {
  ASSERT_EQ(golden().policies.size(), 5u);
  for (const auto& [name, expected] : golden().policies) {
    const Policy policy = policy_of(name);
    ASSERT_EQ(policy.rounds.size(), name.starts_with("rand") ? 2u : 1u);
    for (const PolicyRound& round : policy.rounds) {
      ASSERT_EQ(round.size(), expected.size()) << name;
      for (std::size_t i = 0; i < round.size(); ++i) {
        ASSERT_EQ(round[i].size(), expected[i].size());
        for (std::size_t s = 0; s < round[i].size(); ++s) {
          const PolicyStep& step = round[i][s];
          const Golden::Step& wanted = expected[i][s];
          const std::string place = fmt::format("{} {} {}", name, i, s);
          const bool is_translation = wanted.operation == ImageOperation::translate_x || wanted.operation == ImageOperation::translate_y;
          const double magnitude = is_translation ? std::trunc(step.magnitude * 32) : step.magnitude;
          EXPECT_EQ(step.operation, wanted.operation) << place;
          EXPECT_EQ(step.probability, wanted.probability) << place;
          EXPECT_NEAR(magnitude, wanted.magnitude, 1e-6 * (1 + std::abs(magnitude))) << place;
          EXPECT_EQ(step.spread == Spread::sign, wanted.is_signed) << place;
        }
      }
    }
  }
}

TEST(Policies, AreFoundByTheirNames) {
  EXPECT_TRUE(policy_of("none").is_empty());
  EXPECT_EQ(policy_of("randaugment:16:30").rounds.size(), 16u);
  for (const char* name : {"autoaugment", "randaugment", "randaugment:2", "randaugment:0:9", "randaugment:17:9", "randaugment:2:31", "randaugment:2:-1",
                           "randaugment:2:9x", "randaugment:2 :9", ""}) {
    EXPECT_THROW(policy_of(name), Error) << name;
  }
  Policy both = policy_of("randaugment:2:9");
  both.add(color_jitter(0.4));
  EXPECT_EQ(both.rounds.size(), 3u);
  EXPECT_TRUE(color_jitter(0).is_empty());
  EXPECT_THROW(color_jitter(1.1), Error);
}

TEST(Policies, OfColourJitterAreTheSixOrders) {
  std::set<std::array<ImageOperation, 3>> orders;
  const Policy jitter = color_jitter(0.4);
  for (const SubPolicy& steps : jitter.rounds.at(0)) orders.insert({steps.at(0).operation, steps.at(1).operation, steps.at(2).operation});
  EXPECT_EQ(orders.size(), 6u);
}

TEST(Policies, RefuseWhatCannotBe) {
  EXPECT_THROW(compile(always({ImageOperation::color, 1.5, 0.1}), 8, 8), Error);
  EXPECT_THROW(compile(always({ImageOperation::rotate, 1, 0.1, Spread::range}), 8, 8), Error);
  EXPECT_THROW(compile({{{}}}, 8, 8), Error);
  EXPECT_THROW(compile(always({}), 16385, 8), Error);
}

TEST(DrawStep, TakesAStepWithItsProbabilityAndEitherSign) {
  const PolicyTable table = compile(always({ImageOperation::color, 0.3, 0.4, Spread::sign}), 8, 8);
  constexpr int kDraws = 20000;
  int taken = 0, lighter = 0;
  for (int index = 0; index < kDraws; ++index) {
    const DrawnStep step = draw_step(table.steps.data(), draw_policy(3, 5, index, 1, 2));
    if (step.operation == ImageOperation::identity) continue;
    ASSERT_TRUE(step.factor == 1.4f || step.factor == 0.6f) << step.factor;
    ++taken;
    lighter += step.factor > 1;
  }
  // Deviations: 65 and 39.
  EXPECT_NEAR(taken, 0.3 * kDraws, 5 * 65);
  EXPECT_NEAR(lighter, taken / 2.0, 5 * 39);
}

TEST(DrawStep, KnowsNeverAndAlways) {
  const PolicyTable never = compile(always({ImageOperation::invert, 0}), 8, 8), surely = compile(always({ImageOperation::invert, 1}), 8, 8);
  for (const std::uint32_t word : {0u, 1u, 0xffu, 0xffffffffu}) {
    EXPECT_EQ(draw_step(never.steps.data(), {word, 0, 0, 0}).operation, ImageOperation::identity);
    EXPECT_EQ(draw_step(surely.steps.data(), {word, 0, 0, 0}).operation, ImageOperation::invert);
  }
}

TEST(DrawStep, DrawsFactorsEvenlyFromARange) {
  const PolicyTable table = compile(always({ImageOperation::color, 1, 0.4, Spread::range}), 8, 8);
  constexpr int kDraws = 20000;
  double sum = 0, squares = 0;
  for (int index = 0; index < kDraws; ++index) {
    const double x = static_cast<double>(draw_step(table.steps.data(), draw_policy(3, 5, index, 0, 0)).factor) - 1;
    ASSERT_LE(std::abs(x), 0.4 + 1e-6);
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 5 * 0.4 / std::sqrt(3.0 * kDraws));
  EXPECT_NEAR(squares / kDraws, 0.16 / 3, 0.0025);
  EXPECT_NEAR(draw_step(table.steps.data(), {0, 0, 0, 0}).factor, 0.6f, 1e-6f);
  EXPECT_NEAR(draw_step(table.steps.data(), {0, 0xffffffffu, 0, 0}).factor, 1.4f, 1e-6f);
}

TEST(DrawPolicy, DrawsEverySubPolicyAlike) {
  constexpr int kDraws = 25000;
  std::array<int, 25> counts{};
  std::set<std::uint32_t> words;
  for (int index = 0; index < kDraws; ++index) ++counts[uniform_below(draw_policy(1, 2, index, 0, 0)[2], 25)];
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  // 24 degrees of freedom: mean 24, deviation 7.
  EXPECT_LT(chi_square, 60);
  EXPECT_GT(chi_square, 5);
  // Rounds, steps, epochs and images do not share words.
  for (int round = 0; round < 3; ++round) {
    for (int step = 0; step < 3; ++step) {
      for (int epoch = 0; epoch < 3; ++epoch) {
        for (int index = 0; index < 3; ++index) words.insert(draw_policy(1, epoch, index, round, step)[0]);
      }
    }
  }
  EXPECT_EQ(words.size(), 81u);
}

TEST(ImagePolicyCheck, NamesTheArgument) {
  const std::vector<std::uint8_t> bytes(2 * 4 * 4 * 3);
  const std::vector<std::int32_t> words(64);
  std::vector<std::uint8_t> y(bytes.size());
  const ImagePolicy good{.images = ConstView(bytes.data(), DType::u8, {2, 4, 4, 3}),
                         .indices = ConstView(words.data(), DType::i32, {2}),
                         .epoch = ConstView(words.data(), DType::i32, {1}),
                         .steps = ConstView(words.data(), DType::i32, {1, 2, 16}),
                         .rounds = ConstView(words.data(), DType::i32, {1, 2}),
                         .padding = 1,
                         .y = View(y.data(), DType::u8, {2, 4, 4, 3})};
  EXPECT_NO_THROW(check(good));
  const auto expect_refused = [&](const std::string& why, auto change) {
    ImagePolicy op = good;
    change(op);
    expect_error([&] { check(op); }, why);
  };
  const auto i32 = [&](const Shape& shape) { return ConstView(words.data(), DType::i32, shape); };
  expect_refused("[image_policy] images is (2,4,6,2)", [](ImagePolicy& op) { op.images = ConstView(op.images.data(), DType::u8, {2, 4, 6, 2}); });
  expect_refused("[image_policy] images is (1,4096,2049,3), expected images of at most 8388608 pixels", [](ImagePolicy& op) {
    op.images = ConstView(op.images.data(), DType::u8, {1, 4096, 2049, 3});
  });
  expect_refused("[image_policy] steps is (1,2,15)", [&](ImagePolicy& op) { op.steps = i32({1, 2, 15}); });
  expect_refused("[image_policy] rounds is (1,3), expected (1,2)", [&](ImagePolicy& op) { op.rounds = i32({1, 3}); });
  expect_refused("[image_policy] epoch is (2), expected (1)", [&](ImagePolicy& op) { op.epoch = i32({2}); });
  expect_refused("[image_policy] padding is 4, expected 0 to 3", [](ImagePolicy& op) { op.padding = 4; });
  expect_refused("[image_policy] images is (2,4,4,3), expected (1,4,4,3)", [&](ImagePolicy& op) { op.indices = i32({1}), op.gathered_from = 5; });
  expect_refused("[image_policy] y is (2,4,3,4)", [](ImagePolicy& op) { op.y = View(op.y.data(), DType::u8, {2, 4, 3, 4}); });
}

}  // namespace
}  // namespace isda::kernels
