// SPDX-License-Identifier: Apache-2.0
// Steps of training held against PyTorch's, from the same weights and images: tests/golden/README.md says how those were made and how
// they are compared. In float64 on the reference device every digit must agree; in float32 on the cpu, within the spread of float32 runs.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/autograd.h"
#include "losses/cross_entropy.h"
#include "losses/isda.h"
#include "models/resnet.h"
#include "training/checkpoint.h"
#include "training/optimizer.h"

namespace isda {
namespace {

using Json = nlohmann::json;

std::uint64_t bits(std::uint64_t stream, std::uint64_t index) {
  std::uint64_t z = (stream * (std::uint64_t{1} << 40) + index + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

double unit(std::uint64_t stream, std::uint64_t index) { return static_cast<double>(bits(stream, index) >> 40) / 8388608 - 1; }

int label_of(std::uint64_t image) { return static_cast<int>(bits(1001, image) % 10); }

// Image n of the golden data, normalised, rounded to float32.
void fill_image(const View& images, std::int64_t position, std::uint64_t n) {
  constexpr double kMean[] = {125.3, 123.0, 113.9}, kDeviation[] = {63.0, 62.1, 66.7};
  const auto label = static_cast<std::uint64_t>(label_of(n));
  for (std::uint64_t h = 0; h < 32; ++h) {
    for (std::uint64_t w = 0; w < 32; ++w) {
      for (std::uint64_t c = 0; c < 3; ++c) {
        const auto noise = bits(1002, ((n * 32 + h) * 32 + w) * 3 + c) >> 57;
        const auto block = bits(1003, ((label * 8 + h / 4) * 8 + w / 4) * 3 + c) >> 57;
        images.set(static_cast<float>((static_cast<double>(noise + block) - kMean[c]) / kDeviation[c]), position, h, w, c);
      }
    }
  }
}

Json read(const std::string& name) {
  std::ifstream stream(std::string(ISDA_SOURCE_DIR) + "/tests/golden/curves/" + name);
  EXPECT_TRUE(stream) << name;
  return Json::parse(stream);
}

// The golden files call the shortcut what PyTorch scripts for CIFAR often do; ours follows torchvision.
std::string golden_name(std::string name) {
  if (const auto at = name.find("downsample"); at != std::string::npos) name.replace(at, 10, "shortcut");
  return name;
}

// Visits the elements of a tensor in the order of the golden files: convolution weights as (out, in, rows, columns).
template <class Visit>
void visit_elements(const Tensor& tensor, Visit&& visit) {
  const View view = tensor;
  std::uint64_t e = 0;
  if (view.shape().rank() == 4) {
    const auto [K, R, S, C] = view.extents<4>();
    for (std::int64_t k = 0; k < K; ++k) {
      for (std::int64_t c = 0; c < C; ++c) {
        for (std::int64_t r = 0; r < R; ++r) {
          for (std::int64_t s = 0; s < S; ++s) visit(e++, ((k * R + r) * S + s) * C + c);
        }
      }
    }
  } else {
    for (std::int64_t i = 0; i < view.size(); ++i) visit(e++, i);
  }
}

// Within t of the checksum; the message names what differs.
void expect_checksum(const Tensor& tensor, const Json& expected, double t, const std::string& name) {
  double sum = 0, squares = 0, dot = 0;
  const View view = tensor;
  visit_elements(tensor, [&](std::uint64_t e, std::int64_t i) {
    const double v = view.at_offset(i);
    sum += v;
    squares += v * v;
    dot += v * unit(1004, e);
  });
  const auto n = expected["elements"].get<double>(), q = expected["sum_of_squares"].get<double>();
  EXPECT_EQ(static_cast<double>(view.size()), n) << name;
  // NOTE: written so that a NaN fails.
  EXPECT_TRUE(std::abs(squares - q) <= t * q) << name << ": sum of squares " << squares << ", expected " << q;
  EXPECT_TRUE(std::abs(sum - expected["sum"].get<double>()) <= t * std::sqrt(n * q)) << name << ": sum " << sum << ", expected " << expected["sum"];
  EXPECT_TRUE(std::abs(dot - expected["dot"].get<double>()) <= t * std::sqrt(n * q)) << name << ": dot " << dot << ", expected " << expected["dot"];
}

struct Run {
  const char* file;
  Placement placement;
};

class Golden : public testing::TestWithParam<Run> {};

TEST_P(Golden, CurveAgrees) {
  const auto [file, placement] = GetParam();
  const PlacementScope scope(placement);
  const bool is_exact = placement.type == DType::f64;
  const Json golden = read(file);
  const auto batch = golden["batch"].get<std::int64_t>();
  const auto loss_name = golden["loss"].get<std::string>();

  // The network, with the golden weights.
  CifarResNet network(8, 10);
  const auto parameters = network.parameters();
  const Json formula = read("formula.json");
  std::size_t found = 0;
  for (const Json& p : formula["parameters"]) {
    for (const auto& [name, tensor] : parameters) {
      if (golden_name(name) != p["name"]) continue;
      ++found;
      const View view = tensor;
      visit_elements(tensor, [&](std::uint64_t e, std::int64_t i) {
        view.set_offset(static_cast<float>(p["offset"].get<double>() + p["scale"].get<double>() * unit(p["stream"], e)), i);
      });
      expect_checksum(tensor, golden["initial"][golden_name(name)], 1e-12, "initial " + name);
    }
  }
  ASSERT_EQ(found, parameters.size());

  std::unique_ptr<Loss> loss = std::make_unique<CrossEntropyLoss>();
  IsdaLoss* isda = nullptr;
  if (loss_name != "ce") {
    auto made = std::make_unique<IsdaLoss>(10, 64, 0, loss_name == "isda_full" ? Covariance::full : Covariance::diagonal);
    isda = made.get();
    loss = std::move(made);
  }
  SgdOptimizer optimizer(network, {.momentum = 0.9, .weight_decay = 1e-4, .nesterov = true});
  optimizer.set_learning_rate(0.1);

  for (const Json& step : golden["curve"]) {
    const auto number = step["step"].get<std::int64_t>();
    const Tensor images({batch, 32, 32, 3}, placement.type, placement.device);
    const Tensor labels({batch}, DType::i32, placement.device);
    for (std::int64_t n = 0; n < batch; ++n) {
      const auto image = static_cast<std::uint64_t>(number * batch + n);
      fill_image(images, n, image);
      labels.view().set(label_of(image), n);
    }
    if (isda) isda->set_ratio(step["ratio"]);
    const Tensor features = network.features(images);
    const auto [value, correct] = (*loss)(features, network.classifier(), labels);
    backward(value);

    const double allowed = is_exact ? 1e-10 : 4 * step["spread_float32"].get<double>() + 1e-6;
    const double error = std::abs(value.item() - step["loss"].get<double>());
    EXPECT_TRUE(error <= allowed) << "step " << number << ": loss " << value.item() << ", expected " << step["loss"] << ", allowed " << allowed;
    if (is_exact) {
      EXPECT_EQ(correct.item(), step["top1"].get<double>()) << "step " << number;
    }
    if (number == 0) {
      expect_checksum(images.reshaped({images.size()}), golden["images_of_first_step"], 1e-12, "images");
      expect_checksum(features, golden["features_of_first_step"], is_exact ? 1e-9 : 1e-5, "features");
      for (const auto& [name, tensor] : parameters) {
        expect_checksum(gradient_of(tensor), golden["gradients_of_first_step"][golden_name(name)], is_exact ? 1e-9 : 1e-4, "gradient of " + name);
      }
    }
    optimizer.step();
  }

  const double t = is_exact ? 1e-9 : 4 * golden["final_spread_float32"].get<double>();
  for (const auto& [name, tensor] : parameters) expect_checksum(tensor, golden["final"][golden_name(name)], t, "final " + name);
  for (const auto& [name, tensor] : network.buffers()) expect_checksum(tensor, golden["final"][golden_name(name)], t, "final " + name);
  if (!isda) return;
  const Json& statistics = golden["class_statistics"];
  for (std::int64_t c = 0; c < 10; ++c) EXPECT_EQ(isda->statistics().count.view().at(c), statistics["count"][static_cast<std::size_t>(c)].get<double>());
  expect_checksum(isda->statistics().mean, statistics["mean"], t, "class means");
  expect_checksum(isda->statistics().covariance, statistics["covariance"], is_exact ? t : 2 * t, "class covariances");
}

constexpr Placement kExact{Device::reference, DType::f64}, kCpu{Device::cpu, DType::f32};

INSTANTIATE_TEST_SUITE_P(Reference, Golden,
                         testing::Values(Run{"small_ce.json", kExact}, Run{"small_isda_full.json", kExact}, Run{"small_isda_diagonal.json", kExact}),
                         [](const auto& run) { return std::string(run.param.file, std::string(run.param.file).find('.')); });
INSTANTIATE_TEST_SUITE_P(Cpu, Golden,
                         testing::Values(Run{"small_ce.json", kCpu}, Run{"small_isda_full.json", kCpu}, Run{"small_isda_diagonal.json", kCpu},
                                         Run{"batch32_ce.json", kCpu}, Run{"batch32_isda_full.json", kCpu}, Run{"batch32_isda_diagonal.json", kCpu}),
                         [](const auto& run) { return std::string(run.param.file, std::string(run.param.file).find('.')); });

}  // namespace
}  // namespace isda
