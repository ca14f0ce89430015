// SPDX-License-Identifier: Apache-2.0
#include "training/metrics.h"

#include <sstream>

#include "core/atomic_file.h"
#include "kernels/common/error.h"

namespace isda {

namespace {

constexpr int kColumns = 11;

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::ifstream stream(path);
  require(static_cast<bool>(stream), "[{}] cannot be read", path.string());
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace

CsvFile::CsvFile(std::filesystem::path path, const std::string& header, std::int64_t rows_to_keep) : path_(std::move(path)) {
  std::string content = header + "\n";
  if (rows_to_keep > 0) {
    const auto lines = lines_of(path_);
    require(static_cast<std::int64_t>(lines.size()) > rows_to_keep, "[{}] has {} rows, expected at least the {} of the run that is resumed", path_.string(),
            static_cast<std::int64_t>(lines.size()) - 1, rows_to_keep);
    for (std::int64_t row = 1; row <= rows_to_keep; ++row) content += lines[static_cast<std::size_t>(row)] + "\n";
  }
  write_atomically(path_, content);
  stream_.open(path_, std::ios::app);
  require(static_cast<bool>(stream_), "[{}] cannot be written", path_.string());
}

void CsvFile::add(const std::string& row) {
  stream_ << row << "\n" << std::flush;
  require(static_cast<bool>(stream_), "[{}] a row could not be written: is the disk full?", path_.string());
}

std::string metrics_header() { return "epoch,step,lr,ratio,train_loss,train_top1,val_loss,val_top1,seconds,images_per_second,correction"; }

std::string metrics_row(const EpochMetrics& m) {
  return fmt::format("{},{},{:g},{:g},{:.6g},{:.2f},{:.6g},{:.2f},{:.2f},{:.1f},{:.4g}", m.epoch, m.step, m.lr, m.ratio, m.train_loss, m.train_top1, m.val_loss,
                     m.val_top1, m.seconds, m.images_per_second, m.correction);
}

std::vector<EpochMetrics> read_metrics(const std::filesystem::path& path) {
  const auto lines = lines_of(path);
  require(!lines.empty() && lines[0] == metrics_header(), "[{}] does not begin with '{}'", path.string(), metrics_header());
  std::vector<EpochMetrics> rows;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    std::istringstream fields(lines[i]);
    double values[kColumns];
    char comma = ',';
    for (int column = 0; column < kColumns; ++column) {
      if (column > 0) fields >> comma;
      fields >> values[column];
      require(static_cast<bool>(fields) && comma == ',', "[{}] line {}: column {} is not a number", path.string(), i + 1, column + 1);
    }
    rows.push_back({static_cast<std::int64_t>(values[0]), static_cast<std::int64_t>(values[1]), values[2], values[3], values[4], values[5], values[6],
                    values[7], values[8], values[9], values[10]});
  }
  return rows;
}

}  // namespace isda
