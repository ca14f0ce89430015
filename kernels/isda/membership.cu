// SPDX-License-Identifier: Apache-2.0
// A sort of the samples by class in one block, without atomics: every thread takes a class.
//
//   1  A warp looks at 32 labels at a time. One ballot for each bit of a label gives every lane that bit of all 32 labels, as one word; a lane takes the
//      words of the bits that its class has, the complements of the others, and their conjunction marks the samples of its class. It counts them.
//   2  A prefix sum over the threads, that is over the classes, of (is present, samples): the slot of a class, and where its samples begin.
//   3  Again as 1; now the samples are written down.
//
//   class 5 = 101 among the labels   5 1 4 5:   bit 2: 1011   bit 1: 0000, complement 1111   bit 0: 1101   all of them: 1001, samples 0 and 3
//
// 1024 threads; more classes than that go by turns. N / 32 * (2 + bits of a label) instructions a warp and pass: bound by latency, as small as batches are.
#include "kernels/isda/membership.cuh"

#include <algorithm>
#include <bit>

namespace isda::kernels {

namespace {

constexpr int kThreads = 1024, kWarps = kThreads / kWarp;

// Of some classes: how many are present, and how many samples they have.
struct Tally {
  int classes, samples;
};
__device__ __forceinline__ Tally operator+(const Tally& a, const Tally& b) { return {a.classes + b.classes, a.samples + b.samples}; }

// The sum over the threads before this one, and over all of them.
struct Prefix {
  Tally before, all;
};
__device__ __forceinline__ Prefix prefix_of(const Tally& mine, Tally* of_warps) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  // Up to this lane.
  Tally sum = mine;
  for (unsigned distance = 1; distance < kWarp; distance *= 2) {
    const Tally lower{__shfl_up_sync(kAllLanes, sum.classes, distance), __shfl_up_sync(kAllLanes, sum.samples, distance)};
    if (lane >= static_cast<int>(distance)) sum = sum + lower;
  }
  if (lane == kWarp - 1) of_warps[warp] = sum;
  __syncthreads();
  // Add the warps before; NOTE: so few that each thread does it.
  Prefix prefix{{sum.classes - mine.classes, sum.samples - mine.samples}, {0, 0}};
  for (int other = 0; other < kWarps; ++other) {
    if (other == warp) prefix.before = prefix.before + prefix.all;
    prefix.all = prefix.all + of_warps[other];
  }
  // of_warps may be written again.
  __syncthreads();
  return prefix;
}

struct Labels {
  const std::int32_t* of_samples;
  int N, C;
  int bits;  // of the largest label
};

// Which of the 32 samples from `first` on belong to class c, a class of this lane's own; bit i for sample first + i. The whole warp comes here.
__device__ __forceinline__ unsigned samples_of_class(const Labels& labels, int first, int c) {
  const int i = first + static_cast<int>(threadIdx.x) % kWarp;
  const int label = i < labels.N ? labels.of_samples[i] : -1;
  unsigned found = __ballot_sync(kAllLanes, label >= 0 && label < labels.C);
  for (int bit = 0; bit < labels.bits; ++bit) {
    const unsigned has_bit = __ballot_sync(kAllLanes, label >> bit & 1);
    found &= c >> bit & 1 ? has_bit : ~has_bit;
  }
  return c < labels.C ? found : 0;
}

__global__ void __launch_bounds__(kThreads) membership_kernel(const __grid_constant__ Labels labels, const __grid_constant__ Membership members, int* slots) {
  SIMT_SHARED(of_warps, Tally[kWarps]);
  Tally before{0, 0};  // the classes of the turns before
  for (int first_class = 0; first_class < labels.C; first_class += kThreads) {
    const int c = first_class + static_cast<int>(threadIdx.x);
    const bool has_warp_classes = c / kWarp * kWarp < labels.C;
    // Count the samples of this thread's class.
    int count = 0;
    for (int first = 0; first < labels.N && has_warp_classes; first += kWarp) count += __popc(samples_of_class(labels, first, c));
    // Number the present classes; a class's samples begin where those of the class before it end.
    const bool is_present = count > 0;
    const Prefix prefix = prefix_of({is_present ? 1 : 0, count}, of_warps);
    const Tally mine = before + prefix.before;
    if (is_present) {
      members.classes[mine.classes] = c;
      members.begin[mine.classes] = mine.samples;
    }
    if (slots && c < labels.C) slots[c] = is_present ? mine.classes : -1;
    // Write the samples down.
    int next = mine.samples;
    for (int first = 0; first < labels.N && has_warp_classes; first += kWarp) {
      for (unsigned found = samples_of_class(labels, first, c); found != 0; found &= found - 1)
        members.samples[next++] = first + __ffs(static_cast<int>(found)) - 1;
    }
    before = before + prefix.all;
  }
  if (threadIdx.x == 0) {
    *members.present = before.classes;
    members.begin[before.classes] = before.samples;
  }
}

}  // namespace

void sort_by_class(const Context& context, const ConstView& labels, std::int64_t classes, const Membership& members, int* slots) {
  const int C = static_cast<int>(classes), bits = static_cast<int>(std::bit_width(static_cast<unsigned>(C - 1)));
  launch(context, LaunchShape{.name = "isda_membership", .grid = 1, .block = kThreads}, membership_kernel,
         Labels{labels.as<std::int32_t>(), static_cast<int>(labels.size()), C, bits}, members, slots);
}

Membership membership_of(const Context& context, Scratch& scratch, const ConstView& labels, std::int64_t classes, int* slots) {
  const std::int64_t N = labels.size(), most = std::min(N, classes);
  const Membership members{.most = static_cast<int>(most),
                           .present = scratch.take<int>(1),
                           .classes = scratch.take<int>(most),
                           .begin = scratch.take<int>(most + 1),
                           .samples = scratch.take<int>(N)};
  sort_by_class(context, labels, classes, members, slots);
  return members;
}

}  // namespace isda::kernels
