// SPDX-License-Identifier: Apache-2.0
// A folder with a small made data set, and runs on it.
#pragma once
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <optional>

#include "core/safetensors.h"
#include "datasets/shapes.h"
#include "tests/datasets/files.h"
#include "training/metrics.h"
#include "training/trainer.h"

namespace isda {

class RunOnShapes : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    temporary_.emplace();
    make_shapes(Context(Device::cpu), {.directory = folder() / "shapes", .train = 40, .test = 20, .seed = 3});
  }
  static void TearDownTestSuite() { temporary_.reset(); }
  static const std::filesystem::path& folder() { return temporary_->path(); }

  // 40 images in batches of 16: the last batch of an epoch is partial.
  TrainConfig config(const std::string& name) const {
    TrainConfig config;
    config.dataset = "shapes";
    config.data_dir = (folder() / "shapes").string();
    config.model = "resnet8";
    config.loss = "isda";
    config.lambda_0 = 0.5;
    config.epochs = 2;
    config.batch_size = 16;
    config.seed = 5;
    config.log_steps = 1;
    config.output = (folder() / name).string();
    return config;
  }

  // Stopped after so many steps, and then resumed to its end as `rest` says.
  static void train_in_parts(const TrainConfig& config, int stop_after, const TrainConfig& rest) {
    int steps = 0;
    EXPECT_EQ(train(config, false, {.stop_signal = [&] { return ++steps == stop_after ? SIGTERM : 0; }}).stopped_by, SIGTERM);
    EXPECT_EQ(train(rest, true, {}).stopped_by, 0);
  }
  static void train_in_parts(const TrainConfig& config, int stop_after) { train_in_parts(config, stop_after, config); }

  static void expect_same_files(const TrainConfig& a, const TrainConfig& b) {
    for (const char* file : {"last.safetensors", "best.safetensors", "state.safetensors"}) {
      const Safetensors left = Safetensors::open(std::filesystem::path(a.output) / file), right = Safetensors::open(std::filesystem::path(b.output) / file);
      ASSERT_EQ(left.entries().size(), right.entries().size());
      for (const auto& entry : left.entries()) {
        const auto& other = right.entry(entry.name);
        EXPECT_TRUE(std::equal(entry.bytes.begin(), entry.bytes.end(), other.bytes.begin(), other.bytes.end())) << file << " " << entry.name;
      }
    }
    EXPECT_EQ(read_text(std::filesystem::path(a.output) / "steps.csv"), read_text(std::filesystem::path(b.output) / "steps.csv"));
    const auto rows_a = read_metrics(std::filesystem::path(a.output) / "metrics.csv"), rows_b = read_metrics(std::filesystem::path(b.output) / "metrics.csv");
    ASSERT_EQ(rows_a.size(), rows_b.size());
    for (std::size_t i = 0; i < rows_a.size(); ++i) {
      EXPECT_EQ(rows_a[i].train_loss, rows_b[i].train_loss);
      EXPECT_EQ(rows_a[i].train_top1, rows_b[i].train_top1);
      EXPECT_EQ(rows_a[i].val_loss, rows_b[i].val_loss);
    }
  }

 private:
  static inline std::optional<TemporaryFolder> temporary_;
};

}  // namespace isda
