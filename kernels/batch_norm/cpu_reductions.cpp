// SPDX-License-Identifier: Apache-2.0
// Batch normalisation on the cpu device: the sums over rows.
//
// Rows are cut into tasks, tasks into runs, runs into blocks. A run is summed in f32: block by block, since a block stays in the
// first-level cache, and within a block by strips of channels whose sums stay in vector registers. Runs are added up in double, and
// tasks combined in double, in order. How rows are cut depends on the shape alone, so the bits do not depend on the number of threads.
#include <algorithm>

#include "kernels/batch_norm/batch_norm.h"
#include "kernels/common/check.h"
#include "kernels/common/lanes.h"
#include "kernels/common/moments.h"
#include "kernels/common/parallel.h"

namespace isda::kernels {

namespace {

constexpr std::int64_t kBlockElements = 4096;  // 16 KiB
constexpr std::int64_t kFewestBlockRows = 16;
constexpr std::int64_t kRunRows = 128;
constexpr std::int64_t kTaskElements = 32768;  // at least, where there are as many
constexpr std::int64_t kMostTasks = 128;       // bounds what is combined serially
constexpr std::int64_t kPilotRows = 16;

// How the rows of x are shared out.
struct Split {
  std::int64_t rows, channels, rows_per_block, rows_per_task, tasks;

  explicit Split(const ConstView& x) : rows(x.size() / x.extent(-1)), channels(x.extent(-1)) {
    rows_per_block = std::clamp(kBlockElements / channels, kFewestBlockRows, kRunRows);
    rows_per_task = std::max({(rows + kMostTasks - 1) / kMostTasks, kTaskElements / channels, std::int64_t{1}});
    tasks = (rows + rows_per_task - 1) / rows_per_task;
  }
  std::int64_t begin(std::int64_t task) const { return task * rows_per_task; }
  std::int64_t end(std::int64_t task) const { return std::min(rows, (task + 1) * rows_per_task); }
};

// Adds up a task: total (2*C) receives two sums for every channel, the first sums of all channels before the second ones.
// sums (2*C) holds those of a run; add_block(first_row, rows, sums) adds to it.
template <class AddBlock>
void add_task(const Split& split, std::int64_t task, float* sums, double* total, AddBlock&& add_block) {
  const std::int64_t count = 2 * split.channels, end = split.end(task);
  std::fill_n(total, count, 0.0);
  for (std::int64_t run = split.begin(task); run < end; run += kRunRows) {
    const std::int64_t run_end = std::min(run + kRunRows, end);
    std::fill_n(sums, count, 0.0f);
    for (std::int64_t row = run; row < run_end; row += split.rows_per_block) add_block(row, std::min(split.rows_per_block, run_end - row), sums);
    for (std::int64_t i = 0; i < count; ++i) total[i] += static_cast<double>(sums[i]);
  }
}

// ---- statistics ----

// The mean of some rows spread over the task's: near the task's mean. The sums are taken about it, so that nothing cancels when
// their mean is taken out again.
void take_pilot(const float* x, std::int64_t rows, std::int64_t C, float* pilot) {
  const std::int64_t count = std::min(rows, kPilotRows);
  const std::int64_t stride = rows / count | 1;  // odd: an even one could meet the same column of every image row
  std::fill_n(pilot, C, 0.0f);
  for (std::int64_t i = 0; i < count; ++i) {
    const float* row = x + i * stride % rows * C;
    for (std::int64_t c = 0; c < C; ++c) pilot[c] += row[c] / static_cast<float>(count);
  }
}

// Adds x - pilot to the first sums, its square to the second ones.
void add_block(const float* x, std::int64_t rows, std::int64_t C, const float* pilots, float* sums) {
  for_strips(C, [=]<class V, int count>(std::int64_t c) {
    V pilot[count], sum[count], squares[count];
    for (int v = 0; v < count; ++v) {
      pilot[v] = load<V>(pilots + c, v);
      sum[v] = load<V>(sums + c, v);
      squares[v] = load<V>(sums + C + c, v);
    }
    for (std::int64_t m = 0; m < rows; ++m) {
      for (int v = 0; v < count; ++v) {
        const V d = load<V>(x + m * C + c, v) - pilot[v];
        sum[v] += d;
        squares[v] += d * d;
      }
    }
    for (int v = 0; v < count; ++v) {
      store(sums + c, v, sum[v]);
      store(sums + C + c, v, squares[v]);
    }
  });
}

// ---- gradient ----

// Adds dz to the first sums, dz * (x - mean) to the second ones.
template <bool is_masked>
void add_gradient_block(const float* dy, const float* x, const float* y, std::int64_t rows, std::int64_t C, const float* means, float* sums) {
  for_strips(C, [=]<class V, int count>(std::int64_t c) {
    V mean[count], sum_dz[count], sum_dz_x[count];
    for (int v = 0; v < count; ++v) {
      mean[v] = load<V>(means + c, v);
      sum_dz[v] = load<V>(sums + c, v);
      sum_dz_x[v] = load<V>(sums + C + c, v);
    }
    for (std::int64_t m = 0; m < rows; ++m) {
      const std::int64_t row = m * C + c;
      for (int v = 0; v < count; ++v) {
        V dz = load<V>(dy + row, v);
        if constexpr (is_masked) dz = load<V>(y + row, v) > 0 ? dz : V{};
        sum_dz[v] += dz;
        sum_dz_x[v] += dz * (load<V>(x + row, v) - mean[v]);
      }
    }
    for (int v = 0; v < count; ++v) {
      store(sums + c, v, sum_dz[v]);
      store(sums + C + c, v, sum_dz_x[v]);
    }
  });
}

}  // namespace

void run(Cpu, const Context& context, const BatchNormStatistics& op) {
  check_cpu(op.name, op.x);
  const Split split(op.x);
  const std::int64_t C = split.channels;
  Scratch scratch = context.scratch();
  auto* pilots = scratch.take<float>(split.tasks * C);
  auto* totals = scratch.take<double>(split.tasks * 2 * C);
  auto* run_sums = scratch.take<float>(context.threads() * 2 * C);
  const float* x = op.x.as<float>();
  // Each task: the sums of x - pilot and of its square.
  parallel_for(context, split.tasks, [=](std::int64_t task, int thread) {
    float* pilot = pilots + task * C;
    take_pilot(x + split.begin(task) * C, split.end(task) - split.begin(task), C, pilot);
    add_task(split, task, run_sums + thread * 2 * C, totals + task * 2 * C,
             [=](std::int64_t row, std::int64_t rows, float* sums) { add_block(x + row * C, rows, C, pilot, sums); });
  });
  // Merge the tasks, in order.
  auto* moments = scratch.take<Moments<double>>(C);
  std::fill_n(moments, C, Moments<double>{});
  for (std::int64_t task = 0; task < split.tasks; ++task) {
    const double count = static_cast<double>(split.end(task) - split.begin(task));
    const float* pilot = pilots + task * C;
    const double* sum = totals + task * 2 * C;
    for (std::int64_t c = 0; c < C; ++c) {
      const double offset = sum[c] / count;
      const double m2 = sum[C + c] - offset * offset * count;
      moments[c].merge({.count = count, .mean = static_cast<double>(pilot[c]) + offset, .m2 = m2 < 0 ? 0 : m2});
    }
  }
  for (std::int64_t c = 0; c < C; ++c) {
    op.mean.as<float>()[c] = static_cast<float>(moments[c].mean);
    op.variance.as<float>()[c] = static_cast<float>(moments[c].variance());
  }
}

void run(Cpu, const Context& context, const BatchNormBackwardReduce& op) {
  check_cpu(op.name, op.x);
  const Split split(op.x);
  const std::int64_t C = split.channels;
  Scratch scratch = context.scratch();
  auto* totals = scratch.take<double>(split.tasks * 2 * C);
  auto* run_sums = scratch.take<float>(context.threads() * 2 * C);
  const float *dy = op.dy.as<float>(), *x = op.x.as<float>(), *y = op.y.as<float>(), *mean = op.mean.as<float>();
  // Each task: the sums of dz and of dz * (x - mean).
  parallel_for(context, split.tasks, [=](std::int64_t task, int thread) {
    add_task(split, task, run_sums + thread * 2 * C, totals + task * 2 * C, [=](std::int64_t row, std::int64_t rows, float* sums) {
      const std::int64_t at = row * C;
      if (y)
        add_gradient_block<true>(dy + at, x + at, y + at, rows, C, mean, sums);
      else
        add_gradient_block<false>(dy + at, x + at, nullptr, rows, C, mean, sums);
    });
  });
  // Add the tasks, in order.
  for (std::int64_t task = 1; task < split.tasks; ++task) {
    for (std::int64_t i = 0; i < 2 * C; ++i) totals[i] += totals[task * 2 * C + i];
  }
  for (std::int64_t c = 0; c < C; ++c) {
    op.sum_dz.as<float>()[c] = static_cast<float>(totals[c]);
    op.sum_dz_x.as<float>()[c] = static_cast<float>(totals[C + c]);
  }
}

}  // namespace isda::kernels
