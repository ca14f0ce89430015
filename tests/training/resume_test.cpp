// SPDX-License-Identifier: Apache-2.0
// Resumed runs: whatever a run has to remember, it ends bit for bit as if it had not been stopped; and what it may be resumed with.
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "losses/covariance.h"
#include "tests/datasets/jpeg_files.h"
#include "tests/training/run_on_shapes.h"

namespace isda {
namespace {

namespace fs = std::filesystem;

using ResumeTest = RunOnShapes;

// Stops after every possible step, resumes, and compares with the run that was not stopped.
TEST_F(ResumeTest, EqualsNoInterruption) {
  const TrainConfig whole = config("whole");
  train(whole, false, {});
  for (int stop_after = 1; stop_after <= 5; ++stop_after) {
    const TrainConfig parts = config("parts" + std::to_string(stop_after));
    train_in_parts(parts, stop_after);
    expect_same_files(whole, parts);
  }
}

// Likewise where a loss has more to remember: terms that are yet to reach the covariances, how often was drawn, centers.
TEST_F(ResumeTest, EqualsNoInterruptionForEveryLoss) {
  const auto with = [&](const char* loss, const char* pass, const std::string& name) {
    TrainConfig c = config(fmt::format("{}-{}-{}", loss, pass, name));
    c.loss = loss;
    c.covariance_pass = pass;
    return c;
  };
  for (const auto& [loss, pass] : {std::pair{"isda", "ahead"}, std::pair{"isda-sampled:2", "auto"}, std::pair{"center:0.5", "auto"}}) {
    SCOPED_TRACE(fmt::format("{} {}", loss, pass));
    const TrainConfig whole = with(loss, pass, "whole");
    train(whole, false, {});
    for (const int stop_after : {2, 5}) {
      const TrainConfig parts = with(loss, pass, std::to_string(stop_after));
      train_in_parts(parts, stop_after);
      expect_same_files(whole, parts);
    }
  }
}

// What is dropped and shaken depends on the step's number, which goes on where the run was stopped.
TEST_F(ResumeTest, EqualsNoInterruptionWithDraws) {
  const auto with = [&](const char* model, double dropout, const std::string& name) {
    TrainConfig c = config(fmt::format("draws-{}-{}", model, name));
    c.model = model;
    c.dropout = dropout;
    return c;
  };
  struct Stopped {
    const char* model;
    double dropout;
    std::vector<int> after;  // steps, of which three are an epoch
  };
  for (const auto& [model, dropout, after] :
       {Stopped{"wide_resnet10_1", 0.3, {2, 4}}, Stopped{"shake_shake8_2x2", 0, {2}}, Stopped{"shakedrop_pyramidnet8_4", 0, {4}}}) {
    SCOPED_TRACE(model);
    const TrainConfig whole = with(model, dropout, "whole");
    train(whole, false, {});
    for (const int stop_after : after) {
      const TrainConfig parts = with(model, dropout, std::to_string(stop_after));
      train_in_parts(parts, stop_after);
      expect_same_files(whole, parts);
    }
  }
  const TrainConfig without = with("wide_resnet10_1", 0, "without");
  train(without, false, {});
  EXPECT_NE(read_text(fs::path(with("wide_resnet10_1", 0.3, "whole").output) / "steps.csv"), read_text(fs::path(without.output) / "steps.csv"));
  TrainConfig wrong = with("resnet8", 0.3, "wrong");
  EXPECT_NE(message_of([&] { train(wrong, false, {}); }).find("resnet8 has no dropout"), std::string::npos);
}

// How images are mixed depends on the step's number, what is done to each on the epoch; and no worker or thread changes either.
TEST_F(ResumeTest, EqualsNoInterruptionWithEveryAugmentation) {
  const auto with = [&](const std::string& name) {
    TrainConfig c = config("augmented-" + name);
    c.loss = "ce";
    c.policy = "randaugment:2:9";
    c.color_jitter = 0.4;
    c.cutout = 8;
    c.cutout_holes = 2;
    c.mixup = 0.3;
    c.cutmix = 1;
    return c;
  };
  const TrainConfig whole = with("whole");
  train(whole, false, {});
  for (const int stop_after : {2, 4}) {
    TrainConfig parts = with(std::to_string(stop_after));
    parts.workers = stop_after == 2 ? 0 : 2;
    train_in_parts(parts, stop_after);
    expect_same_files(whole, parts);
  }
  // Each of them changes the run.
  const std::string curve = read_text(fs::path(whole.output) / "steps.csv");
  const auto expect_other = [&](const std::string& name, auto change) {
    TrainConfig other = with(name);
    change(other);
    other.max_steps = 2;
    train(other, false, {});
    EXPECT_FALSE(curve.starts_with(read_text(fs::path(other.output) / "steps.csv"))) << name;
  };
  expect_other("policy", [](TrainConfig& c) { c.policy = "none"; });
  expect_other("jitter", [](TrainConfig& c) { c.color_jitter = 0; });
  expect_other("cutout", [](TrainConfig& c) { c.cutout = 0; });
  expect_other("holes", [](TrainConfig& c) { c.cutout_holes = 1; });
  expect_other("mixup", [](TrainConfig& c) { c.mixup = 0; });
  expect_other("cutmix", [](TrainConfig& c) { c.cutmix = 0; });
  TrainConfig same = with("same");
  same.max_steps = 2;
  train(same, false, {});
  EXPECT_TRUE(curve.starts_with(read_text(fs::path(same.output) / "steps.csv")));
}

TEST_F(ResumeTest, EqualsNoInterruptionWithACovarianceOfLowRank) {
  const auto low_rank = [&](const std::string& name) {
    TrainConfig c = config(name);
    c.covariance = "lowrank:3";
    return c;
  };
  const TrainConfig whole = low_rank("whole-low-rank"), parts = low_rank("parts-low-rank");
  std::vector<std::string> messages;
  train(whole, false, {.on_message = [&](const std::string& line) { messages.push_back(line); }});
  EXPECT_EQ(std::count(messages.begin(), messages.end(), forecast_statistics(10, 64, Covariance::low_rank(3)).text()), 1);
  const Safetensors state = Safetensors::open(fs::path(whole.output) / "state.safetensors");
  EXPECT_EQ(state.view("loss.covariance").shape(), (Shape{10, 4, 64}));
  train_in_parts(parts, 4);
  expect_same_files(whole, parts);

  TrainConfig other = parts;
  other.covariance = "lowrank:4";
  EXPECT_NE(message_of([&] { train(other, true, {}); }).find("covariance = \"lowrank:3\""), std::string::npos);
  TrainConfig large = low_rank("large");
  large.covariance = "lowrank:63";
  EXPECT_EQ(message_of([&] { train(large, false, {}); }),
            "[isda] lowrank:63 of 64 features would take as much memory as the full covariance, or more; use --covariance full, or at most lowrank:62");
}

TEST_F(ResumeTest, OfAFinishedRunWithMoreEpochsGoesOn) {
  TrainConfig c = config("longer");
  c.schedule = "constant";
  train(c, false, {});
  c.epochs = 3;
  const TrainResult more = train(c, true, {});
  ASSERT_EQ(more.epochs.size(), 1u);
  EXPECT_EQ(more.epochs[0].epoch, 3);
  EXPECT_EQ(read_metrics(fs::path(c.output) / "metrics.csv").size(), 3u);
}

TEST_F(ResumeTest, WithAnotherModelOrRateIsRefused) {
  TrainConfig c = config("same");
  train(c, false, {});
  c.lr = 0.05;
  EXPECT_NE(message_of([&] { train(c, true, {}); }).find("lr = 0.1"), std::string::npos);
}

// Images that are files are drawn by their index and the epoch alone, also one that comes in the place of a corrupt one.
TEST_F(ResumeTest, EqualsNoInterruptionOnFilesOfWhichOneIsCorrupt) {
  for (const char* split : {"train", "val"}) {
    for (int i = 0; i < 20; ++i) {
      const fs::path path = folder() / "files" / split / (i % 2 ? "cat" : "dog") / fmt::format("{}.jpg", i);
      fs::create_directories(path.parent_path());
      const std::string whole = jpeg_of(waves(20 + i, 24, 3, i));
      std::ofstream(path) << whole.substr(0, i == 7 && split[0] == 't' ? whole.size() - 20 : whole.size());
    }
  }
  const auto on_files = [&](const std::string& name) {
    TrainConfig c = config("files-" + name);
    c.dataset = "imagefolder";
    c.data_dir = (folder() / "files").string();
    c.image_size = 12;
    c.resize = 16;
    c.on_corrupt = "skip";
    c.batch_size = 8;
    return c;
  };
  const TrainConfig whole = on_files("whole");
  std::vector<std::string> lines;
  train(whole, false, {.on_message = [&](const std::string& line) { lines.push_back(line); }});
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(), [](const std::string& line) { return line.starts_with("corrupt    1 images of epoch "); }), 2);
  for (const int stop_after : {1, 3, 4}) {
    const TrainConfig parts = on_files(std::to_string(stop_after));
    TrainConfig rest = parts;
    rest.workers = 2;
    train_in_parts(parts, stop_after, rest);
    expect_same_files(whole, parts);
  }
}

// A run from before there was a flag goes on as it was: with what the flag is when it is not given.
TEST_F(ResumeTest, OfARunThatKnewAFlagNotYetTakesItAsNotGiven) {
  TrainConfig c = config("older");
  train(c, false, {});
  auto json = nlohmann::json::parse(read_text(fs::path(c.output) / "config.json"));
  json.erase("validation");
  std::ofstream(fs::path(c.output) / "config.json") << json;
  train(c, true, {});
  std::ofstream(fs::path(c.output) / "config.json") << json;
  c.validation = 10;
  EXPECT_NE(message_of([&] { train(c, true, {}); }).find("started with validation = 0, and cannot be resumed with 10"), std::string::npos);
}

}  // namespace
}  // namespace isda
