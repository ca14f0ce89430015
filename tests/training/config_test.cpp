// SPDX-License-Identifier: Apache-2.0
#include "training/config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numbers>

#include "kernels/common/error.h"
#include "models/registry.h"
#include "training/metrics.h"
#include "training/recipe.h"
#include "training/schedule.h"

namespace isda {
namespace {

template <class Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Config, RoundTripsThroughJson) {
  TrainConfig config;
  config.model = "resnet20";
  config.milestones = {3, 5};
  config.lambda_0 = 0.25;
  config.seed = 18446744073709551615u;
  config.shuffle = false;
  TrainConfig back;
  set_from_json(back, nlohmann::json::parse(to_json(config).dump()), "config.json");
  EXPECT_EQ(to_json(back), to_json(config));
  EXPECT_EQ(back.seed, config.seed);
  EXPECT_FALSE(back.shuffle);
}

TEST(Config, RefusesUnknownNamesAndWrongTypes) {
  TrainConfig config;
  const auto error = [&](const char* json) { return error_of([&] { set_from_json(config, nlohmann::json::parse(json), "a.json"); }); };
  EXPECT_NE(error(R"({"batchsize": 3})").find("did you mean 'batch_size'"), std::string::npos) << error(R"({"batchsize": 3})");
  EXPECT_NE(error(R"({"epochs": "many"})").find("epochs"), std::string::npos);
  EXPECT_NE(error(R"({"epochs": 1.5})").find("integer"), std::string::npos);
  EXPECT_NE(error(R"({"seed": -1})").find("0 or more"), std::string::npos);
  EXPECT_NE(error(R"({"nesterov": 1})").find("true or false"), std::string::npos);
  EXPECT_NE(error("[1]").find("not a JSON object"), std::string::npos);
}

TEST(Config, ChecksEveryField) {
  const auto error = [](auto change) {
    TrainConfig config;
    change(config);
    return error_of([&] { check(config); });
  };
  EXPECT_EQ(error([](TrainConfig&) {}), "");
  EXPECT_NE(error([](TrainConfig& c) { c.loss = "isdaa"; }).find("did you mean 'isda'"), std::string::npos);
  EXPECT_NE(error([](TrainConfig& c) { c.batch_size = 0; }).find("--batch-size is 0"), std::string::npos);
  EXPECT_NE(error([](TrainConfig& c) { c.lr = std::nan(""); }).find("--lr"), std::string::npos);
  EXPECT_NE(error([](TrainConfig& c) { c.precision = "bf16", c.device = "cpu"; }).find("--device cpu, which computes in fp32"), std::string::npos);
  EXPECT_EQ(error([](TrainConfig& c) { c.precision = "bf16", c.device = "cuda"; }), "");
  EXPECT_NE(error([](TrainConfig& c) { c.precision = "fp64"; }).find("reference"), std::string::npos);
  EXPECT_NE(error([](TrainConfig& c) { c.f32_products = "tf23"; }).find("--f32-products is 'tf23', expected one of 3xtf32, tf32, plain; did you mean 'tf32'?"),
            std::string::npos);
  EXPECT_NE(error([](TrainConfig& c) { c.covariance = "diag"; }).find("--covariance"), std::string::npos);
  EXPECT_NE(error([](TrainConfig& c) { c.covariance_pass = "first"; }).find("--covariance-pass is 'first', expected one of auto, ahead, inline"),
            std::string::npos);
  EXPECT_NE(error([](TrainConfig& c) { c.covariance_pass = "ahead", c.loss = "isda", c.covariance = "diagonal"; }).find("is for --covariance full"),
            std::string::npos);
  EXPECT_NE(error([](TrainConfig& c) { c.covariance_pass = "ahead"; }).find("is for --loss isda, got ce"), std::string::npos);
  EXPECT_EQ(error([](TrainConfig& c) { c.loss = "isda-sampled:12"; }), "");
  EXPECT_NE(error([](TrainConfig& c) { c.center_rate = 1.5; }).find("--center-rate is 1.5, expected 0 to 1"), std::string::npos);
  EXPECT_EQ(error([](TrainConfig& c) { c.covariance = "lowrank:64"; }), "");
  EXPECT_EQ(error([](TrainConfig& c) { c.policy = "randaugment:2:9", c.color_jitter = 0.4, c.cutout = 16, c.mixup = 0.2, c.cutmix = 1; }), "");
  EXPECT_EQ(error([](TrainConfig& c) { c.policy = "autoaugment-cifr10"; }),
            "--policy: [image_policy] no policy is called 'autoaugment-cifr10', did you mean 'autoaugment-cifar10'?; there are none, autoaugment-cifar10, "
            "autoaugment-imagenet, and randaugment:N:M with N from 1 to 16 operations of magnitude M from 0 to 30");
  EXPECT_EQ(error([](TrainConfig& c) { c.color_jitter = 1.5; }), "--color-jitter is 1.5, expected 0 to 1");
  EXPECT_EQ(error([](TrainConfig& c) { c.cutout = -1; }), "--cutout is -1, expected 0 to 1048576");
  EXPECT_EQ(error([](TrainConfig& c) { c.cutout_holes = 0; }), "--cutout-holes is 0, expected 1 to 1024");
  EXPECT_EQ(error([](TrainConfig& c) { c.mixup = -1; }), "--mixup is -1, expected 0 to 1000000");
  EXPECT_EQ(error([](TrainConfig& c) { c.cutmix = 1, c.loss = "isda"; }),
            "--cutmix goes with --loss ce, got --loss isda: ISDA learns how each class varies from images of one label, and a mixed image has two");
  EXPECT_EQ(error([](TrainConfig& c) { c.mixup = 1, c.loss = "focal:2"; }),
            "--mixup goes with --loss ce, got --loss focal:2: a mixed image has two labels, and this loss takes one");
  EXPECT_EQ(error([](TrainConfig& c) { c.policy = "autoaugment-cifar10", c.cutout = 16, c.loss = "isda"; }), "");
  EXPECT_EQ(error([](TrainConfig& c) { c.covariance = "lowrank:0"; }),
            "--covariance is 'lowrank:0', expected full, diagonal or lowrank:R with R directions, 1 or more, e.g. lowrank:64");
  EXPECT_NE(error([](TrainConfig& c) { c.dropout = 1; }).find("--dropout is 1, expected 0 to 0.999"), std::string::npos);
  EXPECT_NE(error([](TrainConfig& c) { c.validation = -1; }).find("--validation is -1, expected 0 to"), std::string::npos);
  EXPECT_NE(error([](TrainConfig& c) { c.image_size = 0; }).find("--image-size is 0, expected 1 to 16384"), std::string::npos);
  EXPECT_EQ(error([](TrainConfig& c) { c.resize = 223; }), "--resize is 223, expected --image-size, which is 224, or more");
  EXPECT_NE(error([](TrainConfig& c) { c.on_corrupt = "skp"; }).find("--on-corrupt is 'skp', expected one of fail, skip; did you mean 'skip'?"),
            std::string::npos);
  EXPECT_NE(error([](TrainConfig& c) { c.milestones = {0}; }).find("--milestones"), std::string::npos);
}

TEST(Config, LossesAndTheirNumbers) {
  struct Named {
    const char *text, *name;
    double number;
  };
  for (const auto& [text, name, number] :
       {Named{"ce", "ce", 0}, Named{"isda", "isda", 0}, Named{"isda-sampled:1", "isda-sampled", 1}, Named{"isda-sampled:250", "isda-sampled", 250},
        Named{"focal:0.5", "focal", 0.5}, Named{"focal:0", "focal", 0}, Named{"large-margin:4", "large-margin", 4}, Named{"center:1e-3", "center", 1e-3}}) {
    EXPECT_EQ(loss_of(text).name, name);
    EXPECT_EQ(loss_of(text).number, number) << text;
  }
  const auto expect = [](const char* wrong, const char* part) {
    const std::string message = error_of([&] { loss_of(wrong); });
    EXPECT_NE(message.find(part), std::string::npos) << wrong << ": " << message;
  };
  for (const char* wrong : {"isda-sampled", "isda-sampled:", "isda-sampled:0", "isda-sampled:-2", "isda-sampled:2x", "isda-sampled:1e3", "isda-sampled:1.5",
                            "isda-sampled:9999999"})
    expect(wrong, "expected a whole number from 1 to 1000000, as in isda-sampled:8");
  for (const char* wrong : {"focal", "focal:-1", "focal:nan", "focal:inf", "focal:2:3"}) expect(wrong, "expected a number from 0 to 100, as in focal:2");
  for (const char* wrong : {"large-margin:0", "large-margin:5", "large-margin:2.5"}) expect(wrong, "expected a whole number from 1 to 4, as in large-margin:4");
  expect("center:-1", "says its lambda by '-1', expected a number from 0 to 1000000, as in center:0.1");
  for (const char* wrong : {"ce:2", "isda:0.5", "focus:2", ""}) expect(wrong, "expected one of ce, isda, isda-sampled:8, focal:2, large-margin:4, center:0.1");
  expect("focl:2", "did you mean 'focal:2'?");
}

TEST(Config, SmoothLabelsAreForCrossEntropy) {
  const auto error = [](const char* loss) {
    TrainConfig config;
    config.loss = loss;
    config.label_smoothing = 0.1;
    return error_of([&] { check(config); });
  };
  EXPECT_EQ(error("ce"), "");
  for (const char* loss : {"isda", "focal:2", "large-margin:2", "center:0.1"})
    EXPECT_EQ(error(loss), fmt::format("--label-smoothing goes with --loss ce, got --loss {}", loss));
}

TEST(Config, ProductsAreChosenForTheCardAlone) {
  for (const auto* products : {"3xtf32", "tf32", "plain"}) {
    for (const auto* device : {"auto", "cuda", "cpu", "reference"}) {
      TrainConfig config;
      config.f32_products = products;
      config.device = device;
      const bool is_default = config.f32_products == TrainConfig().f32_products, may_be_card = config.device == "auto" || config.device == "cuda";
      const std::string message = is_default || may_be_card ? "" : fmt::format("--f32-products {} is for --device cuda, got --device {}", products, device);
      EXPECT_EQ(error_of([&] { check(config); }).substr(0, message.size()), message);
      EXPECT_EQ(error_of([&] { check(config); }).empty(), message.empty());
    }
  }
}

TEST(Schedule, MilestonesCountEpochsFromOne) {
  const TrainConfig recipe = recipe_of("resnet110");
  EXPECT_EQ(recipe.epochs, 160);
  EXPECT_DOUBLE_EQ(learning_rate(recipe, 0), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate(recipe, 78), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate(recipe, 79), 0.01);  // the 80th epoch
  EXPECT_DOUBLE_EQ(learning_rate(recipe, 118), 0.01);
  EXPECT_NEAR(learning_rate(recipe, 119), 0.001, 1e-12);
}

TEST(Schedule, CosineAndConstant) {
  TrainConfig config;
  config.epochs = 10;
  config.schedule = "constant";
  EXPECT_DOUBLE_EQ(learning_rate(config, 9), 0.1);
  config.schedule = "cosine";
  EXPECT_DOUBLE_EQ(learning_rate(config, 0), 0.05 * (1 + std::cos(std::numbers::pi * 0.1)));
  EXPECT_NEAR(learning_rate(config, 4), 0.05, 1e-12);
  EXPECT_NEAR(learning_rate(config, 9), 0, 1e-12);
}

// Wang et al. 2019, and ResNet's recipe for networks of pre-activation, Wide-ResNet's for those with squeeze-and-excitation.
TEST(Recipe, IsThatOfTheFamily) {
  struct Expected {
    const char* model;
    std::int64_t epochs;
    double lr;
    std::vector<std::int64_t> milestones;
    double lr_factor, weight_decay, dropout;
  };
  for (const auto& e :
       {Expected{"resnet32", 160, 0.1, {80, 120}, 0.1, 1e-4, 0}, Expected{"preact_resnet110", 160, 0.1, {80, 120}, 0.1, 1e-4, 0},
        Expected{"se_resnet110", 200, 0.1, {80, 120, 160}, 0.1, 1e-4, 0}, Expected{"wide_resnet28_10", 240, 0.1, {60, 120, 160, 200}, 0.2, 5e-4, 0.3},
        Expected{"se_wide_resnet16_8", 240, 0.1, {60, 120, 160, 200}, 0.2, 5e-4, 0.3}, Expected{"resnext29_8x64", 350, 0.05, {150, 225, 300}, 0.1, 5e-4, 0}}) {
    SCOPED_TRACE(e.model);
    const TrainConfig recipe = recipe_of(e.model);
    EXPECT_EQ(recipe.model, e.model);
    EXPECT_EQ(recipe.epochs, e.epochs);
    EXPECT_EQ(recipe.batch_size, 128);
    EXPECT_EQ(recipe.lr, e.lr);
    EXPECT_EQ(recipe.milestones, e.milestones);
    EXPECT_EQ(recipe.lr_factor, e.lr_factor);
    EXPECT_EQ(recipe.weight_decay, e.weight_decay);
    EXPECT_EQ(recipe.dropout, e.dropout);
    EXPECT_EQ(recipe.momentum, 0.9);
    EXPECT_TRUE(recipe.nesterov);
    EXPECT_EQ(recipe.schedule, "step");
    EXPECT_EQ(error_of([&] { check(recipe); }), "");
  }
}

// Wang et al. 2021: ImageNet.
TEST(Recipe, OfNetworksForLargeImages) {
  for (const auto& [model, lambda_0] :
       {std::pair{"imagenet_resnet50", 7.5}, {"imagenet_resnet101", 5.0}, {"imagenet_resnext101_32x8d", 7.5}, {"imagenet_densenet121", 1.0}}) {
    SCOPED_TRACE(model);
    const TrainConfig recipe = recipe_of(model);
    EXPECT_EQ(recipe.epochs, 300);
    EXPECT_EQ(recipe.batch_size, 512);
    EXPECT_EQ(recipe.lr, 0.2);
    EXPECT_EQ(recipe.schedule, "cosine");
    EXPECT_EQ(recipe.weight_decay, 1e-4);
    EXPECT_EQ(recipe.lambda_0, lambda_0);
    EXPECT_EQ(recipe.covariance, "diagonal");
    EXPECT_EQ(error_of([&] { check(recipe); }), "");
  }
  EXPECT_EQ(recipe_of("resnet32").covariance, "full");
  EXPECT_EQ(recipe_of("resnet32").lambda_0, 0.5);
}

TEST(Recipe, OfDenseNets) {
  const TrainConfig recipe = recipe_of("densenet_bc100_12");
  EXPECT_EQ(recipe.epochs, 300);
  EXPECT_EQ(recipe.batch_size, 64);
  EXPECT_EQ(recipe.lr, 0.1);
  EXPECT_EQ(recipe.schedule, "step");
  EXPECT_EQ(recipe.milestones, (std::vector<std::int64_t>{150, 200, 250}));
  EXPECT_EQ(recipe.weight_decay, 1e-4);
  EXPECT_EQ(recipe.lambda_0, 0.5);
  EXPECT_EQ(recipe.covariance, "full");
}

// Of networks that shake: by cosine, but for PyramidNets without.
TEST(Recipe, OfShakenNetworks) {
  const TrainConfig shake = recipe_of("shake_shake26_2x32"), plain = recipe_of("pyramidnet110_270"), drop = recipe_of("shakedrop_pyramidnet272_200");
  for (const TrainConfig& recipe : {shake, drop}) {
    EXPECT_EQ(recipe.epochs, 1800);
    EXPECT_EQ(recipe.batch_size, 64);
    EXPECT_EQ(recipe.schedule, "cosine");
    EXPECT_EQ(error_of([&] { check(recipe); }), "");
  }
  EXPECT_EQ(shake.lr, 0.1);
  EXPECT_EQ(shake.weight_decay, 1e-4);
  EXPECT_EQ(drop.lr, 0.05);
  EXPECT_EQ(drop.weight_decay, 5e-5);
  EXPECT_EQ(plain.epochs, 300);
  EXPECT_EQ(plain.milestones, (std::vector<std::int64_t>{150, 225}));
}

TEST(Recipe, EveryNetworkHasOne) {
  for (const NetworkEntry& entry : networks()) EXPECT_EQ(recipe_of(entry.name).model, entry.name);
}

TEST(Recipe, MilestonesScaleWithTheLengthOfTheRun) {
  EXPECT_EQ(scaled_milestones({80, 120}, 160, 160), (std::vector<std::int64_t>{80, 120}));
  EXPECT_EQ(scaled_milestones({80, 120}, 160, 20), (std::vector<std::int64_t>{11, 16}));
  EXPECT_EQ(scaled_milestones({80, 120}, 160, 1), (std::vector<std::int64_t>{1, 2}));
}

TEST(Metrics, RowsAreReadBack) {
  const auto path = std::filesystem::temp_directory_path() / "isda-metrics-test.csv";
  const EpochMetrics row{.epoch = 2,
                         .step = 20,
                         .lr = 0.1,
                         .ratio = 0.25,
                         .train_loss = 1.5,
                         .train_top1 = 43.75,
                         .val_loss = 1.25,
                         .val_top1 = 50,
                         .seconds = 3.5,
                         .images_per_second = 100.5,
                         .correction = 0.125};
  {
    CsvFile file(path, metrics_header(), 0);
    file.add(metrics_row(row));
    file.add(metrics_row(row));
  }
  ASSERT_EQ(read_metrics(path).size(), 2u);
  EXPECT_EQ(metrics_row(read_metrics(path)[1]), metrics_row(row));
  { CsvFile file(path, metrics_header(), 1); }
  EXPECT_EQ(read_metrics(path).size(), 1u);
  EXPECT_NE(error_of([&] { CsvFile file(path, metrics_header(), 5); }).find("has 1 rows"), std::string::npos);
  std::ofstream(path, std::ios::app) << "1,2,x\n";
  EXPECT_NE(error_of([&] { read_metrics(path); }).find("line 3"), std::string::npos);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace isda
