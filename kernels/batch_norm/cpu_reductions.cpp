// SPDX-License-Identifier: Apache-2.0
// Batch normalisation on the cpu device: the sums over rows.
//
// Rows are cut into runs that fit the first-level cache. A run is summed in f32, eight rows at a time, in pairs; runs are
// combined in double within a task, and tasks in order. How rows are cut depends on the shape alone, so the bits do not
// depend on the number of threads.
#include <algorithm>

#include "kernels/batch_norm/batch_norm.h"
#include "kernels/common/check.h"
#include "kernels/common/moments.h"
#include "kernels/common/parallel.h"
#include "kernels/common/rows.h"

namespace isda::kernels {

namespace {

constexpr int kGroup = 8;                        // rows summed in pairs
constexpr std::int64_t kRunElements = 8 * 1024;  // 32 KiB of x
constexpr std::int64_t kTasks = 128;             // at most: bounds what is combined serially

// How the rows of x are shared out.
struct Split {
  std::int64_t rows, channels, rows_per_run, rows_per_task, tasks;

  explicit Split(const ConstView& x) : rows(x.size() / x.extent(-1)), channels(x.extent(-1)) {
    rows_per_run = std::max<std::int64_t>(kRunElements / channels / kGroup, 1) * kGroup;
    const std::int64_t runs = (rows + rows_per_run - 1) / rows_per_run;
    rows_per_task = rows_per_run * ((runs + kTasks - 1) / kTasks);
    tasks = (rows + rows_per_task - 1) / rows_per_task;
  }
};

// Calls body(first_row, rows) for each run of the task.
template <class Body>
void for_runs(const Split& split, std::int64_t task, Body&& body) {
  const std::int64_t end = std::min(split.rows, (task + 1) * split.rows_per_task);
  for (std::int64_t row = task * split.rows_per_task; row < end; row += split.rows_per_run) body(row, std::min(split.rows_per_run, end - row));
}

// ---- statistics ----

// Adds the rows of a run to the moments of their channels. The sums are taken about a pilot, the mean of the run's first rows:
// it is near the mean of the run, so that nothing cancels when the mean of the sums is taken out again.
void add_run(const float* x, std::int64_t rows, std::int64_t C, float* pilot, float* sum, float* squares, Moments<double>* moments) {
  const std::int64_t first = std::min<std::int64_t>(rows, kGroup);
  std::fill_n(pilot, C, 0.0f);
  std::fill_n(sum, C, 0.0f);
  std::fill_n(squares, C, 0.0f);
  for (std::int64_t m = 0; m < first; ++m) {
    for (std::int64_t c = 0; c < C; ++c) pilot[c] += x[m * C + c] / static_cast<float>(first);
  }
  for_row_groups<kGroup>(0, rows, [=]<int group>(std::int64_t m) {
#pragma omp simd
    for (std::int64_t c = 0; c < C; ++c) {
      float d[group], dd[group];
      for (int r = 0; r < group; ++r) d[r] = x[(m + r) * C + c] - pilot[c];
      for (int r = 0; r < group; ++r) dd[r] = d[r] * d[r];
      sum[c] += pairwise_sum<group>(d);
      squares[c] += pairwise_sum<group>(dd);
    }
  });
  for (std::int64_t c = 0; c < C; ++c) {
    const double count = static_cast<double>(rows);
    const double offset = static_cast<double>(sum[c]) / count;
    const double m2 = static_cast<double>(squares[c]) - offset * offset * count;
    moments[c].merge({.count = count, .mean = static_cast<double>(pilot[c]) + offset, .m2 = m2 < 0 ? 0 : m2});
  }
}

// ---- gradient ----

// The sums over a run of dz and of dz * (x - mean).
template <bool is_masked>
void sum_run(const float* dy, const float* x, const float* y, const float* mean, std::int64_t rows, std::int64_t C, float* sum_dz, float* sum_dz_x) {
  std::fill_n(sum_dz, C, 0.0f);
  std::fill_n(sum_dz_x, C, 0.0f);
  for_row_groups<kGroup>(0, rows, [=]<int group>(std::int64_t m) {
#pragma omp simd
    for (std::int64_t c = 0; c < C; ++c) {
      float dz[group], dz_x[group];
      for (int r = 0; r < group; ++r) {
        const std::int64_t i = (m + r) * C + c;
        dz[r] = dy[i];
        if constexpr (is_masked) dz[r] = y[i] > 0 ? dz[r] : 0.0f;
        dz_x[r] = dz[r] * (x[i] - mean[c]);
      }
      sum_dz[c] += pairwise_sum<group>(dz);
      sum_dz_x[c] += pairwise_sum<group>(dz_x);
    }
  });
}

}  // namespace

void run(Cpu, const Context& context, const BatchNormStatistics& op) {
  check_cpu(op.name, op.x);
  const Split split(op.x);
  const std::int64_t C = split.channels;
  Scratch scratch = context.scratch();
  auto* moments = scratch.take<Moments<double>>(split.tasks * C);
  auto* work = scratch.take<float>(context.threads() * 3 * C);
  const float* x = op.x.as<float>();
  // Each task: the moments of its rows.
  parallel_for(context, split.tasks, [=](std::int64_t task, int thread) {
    float* pilot = work + thread * 3 * C;
    std::fill_n(moments + task * C, C, Moments<double>{});
    for_runs(split, task, [&](std::int64_t row, std::int64_t rows) { add_run(x + row * C, rows, C, pilot, pilot + C, pilot + 2 * C, moments + task * C); });
  });
  // Merge the tasks, in order.
  for (std::int64_t task = 1; task < split.tasks; ++task) {
    for (std::int64_t c = 0; c < C; ++c) moments[c].merge(moments[task * C + c]);
  }
  for (std::int64_t c = 0; c < C; ++c) {
    op.mean.as<float>()[c] = static_cast<float>(moments[c].mean);
    op.variance.as<float>()[c] = static_cast<float>(moments[c].variance());
  }
}

void run(Cpu, const Context&, const BatchNormRunning& op) {
  check_cpu(op.name, op.mean);
  const float momentum = op.momentum, rest = 1 - op.momentum;
  const float unbias = op.count > 1 ? static_cast<float>(static_cast<double>(op.count) / static_cast<double>(op.count - 1)) : 0.0f;
  const float *mean = op.mean.as<float>(), *variance = op.variance.as<float>();
  float *running_mean = op.running_mean.as<float>(), *running_variance = op.running_variance.as<float>();
  for (std::int64_t c = 0; c < op.mean.size(); ++c) running_mean[c] = rest * running_mean[c] + momentum * mean[c];
  if (op.count == 1) return;
  for (std::int64_t c = 0; c < op.mean.size(); ++c) running_variance[c] = rest * running_variance[c] + momentum * (variance[c] * unbias);
}

void run(Cpu, const Context& context, const BatchNormBackwardReduce& op) {
  check_cpu(op.name, op.x);
  const Split split(op.x);
  const std::int64_t C = split.channels;
  Scratch scratch = context.scratch();
  auto* partial = scratch.take<double>(split.tasks * 2 * C);
  auto* work = scratch.take<float>(context.threads() * 2 * C);
  const float *dy = op.dy.as<float>(), *x = op.x.as<float>(), *y = op.y.as<float>(), *mean = op.mean.as<float>();
  // Each task: the sums of its rows, sum_dz in the first C values, sum_dz_x behind them.
  parallel_for(context, split.tasks, [=](std::int64_t task, int thread) {
    double* total = partial + task * 2 * C;
    float* sums = work + thread * 2 * C;
    std::fill_n(total, 2 * C, 0.0);
    for_runs(split, task, [&](std::int64_t row, std::int64_t rows) {
      const std::int64_t at = row * C;
      if (y)
        sum_run<true>(dy + at, x + at, y + at, mean, rows, C, sums, sums + C);
      else
        sum_run<false>(dy + at, x + at, nullptr, mean, rows, C, sums, sums + C);
      for (std::int64_t i = 0; i < 2 * C; ++i) total[i] += static_cast<double>(sums[i]);
    });
  });
  // Add the tasks, in order.
  for (std::int64_t task = 1; task < split.tasks; ++task) {
    for (std::int64_t i = 0; i < 2 * C; ++i) partial[i] += partial[task * 2 * C + i];
  }
  for (std::int64_t c = 0; c < C; ++c) {
    op.sum_dz.as<float>()[c] = static_cast<float>(partial[c]);
    op.sum_dz_x.as<float>()[c] = static_cast<float>(partial[C + c]);
  }
}

}  // namespace isda::kernels
