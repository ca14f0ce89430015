// SPDX-License-Identifier: Apache-2.0
// What a run measures, and the files it leaves it in.
//
//   metrics.csv   a row an epoch: epoch, step, lr, ratio, train_loss, train_top1, val_loss, val_top1, seconds, images_per_second,
//                 correction
//   steps.csv     a row every --log-steps steps: step, loss
// epoch counts finished epochs, step finished steps. top1 is in percent. seconds is the epoch's wall time, evaluation included;
// images_per_second counts training only. val: of the held-out images with --validation, else of the test images. correction: how far the loss moves the logits
// of other classes, on average, as a share of the mean magnitude of the plain logits; of the first of these images at the end of the epoch, with its ratio; 0
// for a loss that moves none.
#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace isda {

// Sums over batches, from which the means of an epoch come.
struct Tally {
  double loss = 0;  // sum over images
  std::int64_t correct = 0;
  std::int64_t images = 0;

  void add(double mean_loss, std::int64_t batch_correct, std::int64_t batch_images) {
    loss += mean_loss * static_cast<double>(batch_images);
    correct += batch_correct;
    images += batch_images;
  }
  double mean_loss() const { return images ? loss / static_cast<double>(images) : 0; }
  double top1() const { return images ? 100.0 * static_cast<double>(correct) / static_cast<double>(images) : 0; }
};

struct EpochMetrics {
  std::int64_t epoch = 0;
  std::int64_t step = 0;
  double lr = 0;
  double ratio = 0;
  double train_loss = 0, train_top1 = 0;
  double val_loss = 0, val_top1 = 0;
  double seconds = 0;
  double images_per_second = 0;
  double correction = 0;
};

// A CSV file that is appended to and flushed row by row, so that a killed run keeps its rows.
class CsvFile {
 public:
  // rows_to_keep: a resumed run keeps so many rows of the file that is there, and goes on behind them.
  CsvFile(std::filesystem::path path, const std::string& header, std::int64_t rows_to_keep);
  void add(const std::string& row);

 private:
  std::filesystem::path path_;
  std::ofstream stream_;
};

std::string metrics_header();
std::string metrics_row(const EpochMetrics& metrics);

// The rows of a metrics.csv. Throws Error that names the file and line for what cannot be read.
std::vector<EpochMetrics> read_metrics(const std::filesystem::path& path);

}  // namespace isda
