// SPDX-License-Identifier: Apache-2.0
#include "apps/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>

namespace isda {

namespace {

constexpr auto kTerminalInterval = std::chrono::milliseconds(100);
constexpr auto kPipeInterval = std::chrono::seconds(10);
constexpr int kBarWidth = 20;

// 1:02:03, 4:05
std::string duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::lround(seconds));
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string bar(std::int64_t done, std::int64_t total) {
  const auto filled = static_cast<std::size_t>(kBarWidth * done / total);
  return "[" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "]";
}

std::string state(const StepReport& r) {
  return fmt::format("epoch {}/{} step {}/{} loss {:.4f} top1 {:.2f} % {:.0f} images/s {} left", r.epoch, r.epochs, r.step, r.steps_per_epoch,
                     r.epoch_tally.mean_loss(), r.epoch_tally.top1(), r.images_per_second, duration(r.seconds_left));
}

}  // namespace

Progress::Progress(std::string judged_on)
    : judged_on_(std::move(judged_on)), is_terminal_(isatty(STDOUT_FILENO) != 0), last_(std::chrono::steady_clock::now()) {}

void Progress::step(const StepReport& report) {
  const auto now = std::chrono::steady_clock::now();
  const bool is_last = report.step == report.steps_per_epoch;
  if (now - last_ < (is_terminal_ ? std::chrono::nanoseconds(kTerminalInterval) : std::chrono::nanoseconds(kPipeInterval)) && !(is_terminal_ && is_last))
    return;
  last_ = now;
  if (is_terminal_)
    fmt::print("\r\033[K{} {}", bar(report.step, report.steps_per_epoch), state(report));
  else
    fmt::print("{}\n", state(report));
  std::fflush(stdout);
}

void Progress::epoch(const EpochMetrics& m, std::int64_t epochs, bool is_best) {
  clear();
  fmt::print("epoch {:>3}/{}  lr {:<8.4g} ratio {:<6.4f} train {:.4f} {:6.2f} %   {} {:.4f} {:6.2f} %{} {:.0f} images/s  {}\n", m.epoch, epochs, m.lr, m.ratio,
             m.train_loss, m.train_top1, judged_on_, m.val_loss, m.val_top1, is_best ? " *" : "  ", m.images_per_second, duration(m.seconds));
  std::fflush(stdout);
}

void Progress::clear() {
  if (!is_terminal_) return;
  fmt::print("\r\033[K");
  std::fflush(stdout);
}

DownloadProgress::DownloadProgress() : is_terminal_(isatty(STDOUT_FILENO) != 0), begin_(std::chrono::steady_clock::now()), last_(begin_) {}

void DownloadProgress::bytes(std::int64_t done, std::int64_t total) {
  const auto now = std::chrono::steady_clock::now();
  if (first_ < 0) first_ = done;
  if (now - last_ < (is_terminal_ ? std::chrono::nanoseconds(kTerminalInterval) : std::chrono::nanoseconds(kPipeInterval))) return;
  last_ = now;
  const double rate = static_cast<double>(done - first_) / std::chrono::duration<double>(now - begin_).count();
  std::string line = fmt::format("{:.1f} MB", static_cast<double>(done) * 1e-6);
  if (total > 0) line = fmt::format("{:.1f} of {:.1f} MB", static_cast<double>(done) * 1e-6, static_cast<double>(total) * 1e-6);
  line += fmt::format(" {:.1f} MB/s", rate * 1e-6);
  if (total > 0 && rate > 0) line += fmt::format(" {} left", duration(static_cast<double>(total - done) / rate));
  if (is_terminal_)
    fmt::print("\r\033[K{}{}", total > 0 ? bar(std::min(done, total), total) + " " : "", line);
  else
    fmt::print("{}\n", line);
  std::fflush(stdout);
}

void DownloadProgress::clear() {
  if (!is_terminal_) return;
  fmt::print("\r\033[K");
  std::fflush(stdout);
}

}  // namespace isda
