// SPDX-License-Identifier: Apache-2.0
// The kernels of the conformance test, one per instruction or function (conformance.h).
#include "tests/emulator/conformance.h"

#include "kernels/common/ptx.cuh"
#include "kernels/common/simt.cuh"
#include "tests/emulator/on_card.h"

namespace isda::conformance {

namespace {

// What a grid writes into `count` elements of the kernel's first argument.
template <class Out, class... Parameters, class... Arguments>
std::vector<Out> written(std::size_t count, const LaunchShape& shape, void (*kernel)(Out*, Parameters...), const Arguments&... arguments) {
  const Context context(Device::cuda);
  const OnCard<Out> out(count);
  launch(context, shape, kernel, out, arguments...);
  context.synchronise();
  return out.read();
}

LaunchShape one_block(const char* name, std::size_t threads) { return {.name = name, .grid = 1, .block = static_cast<unsigned>(threads)}; }

// ---- PTX ----

template <int matrices, bool is_transposed>
__global__ void ldmatrix_kernel(std::uint32_t* result, const std::uint16_t* from, int count, const int* row_begins) {
  SIMT_SHARED(tile, Packed<std::uint16_t, 8>[256]);
  auto* elements = reinterpret_cast<std::uint16_t*>(tile);
  const auto lane = threadIdx.x;
  for (int i = static_cast<int>(lane); i < count; i += 32) elements[i] = from[i];
  __syncthreads();
  const void* row = elements + row_begins[lane];
  std::uint32_t registers[matrices];
  if constexpr (matrices == 1 && !is_transposed) ptx::ldmatrix_x1(registers, row);
  if constexpr (matrices == 2 && !is_transposed) ptx::ldmatrix_x2(registers, row);
  if constexpr (matrices == 4 && !is_transposed) ptx::ldmatrix_x4(registers, row);
  if constexpr (matrices == 1 && is_transposed) ptx::ldmatrix_x1_trans(registers, row);
  if constexpr (matrices == 2 && is_transposed) ptx::ldmatrix_x2_trans(registers, row);
  if constexpr (matrices == 4 && is_transposed) ptx::ldmatrix_x4_trans(registers, row);
  for (int i = 0; i < matrices; ++i) result[lane * matrices + i] = registers[i];
}

template <bool is_bf16>
__global__ void mma_kernel(float* result, const std::uint32_t* a, const std::uint32_t* b, const float* d) {
  const auto lane = threadIdx.x;
  std::uint32_t a_registers[4], b_registers[2];
  float d_registers[4];
  for (unsigned i = 0; i < 4; ++i) a_registers[i] = a[lane * 4 + i];
  for (unsigned i = 0; i < 2; ++i) b_registers[i] = b[lane * 2 + i];
  for (unsigned i = 0; i < 4; ++i) d_registers[i] = d[lane * 4 + i];
  if constexpr (is_bf16)
    ptx::mma_m16n8k16_bf16(d_registers, a_registers, b_registers);
  else
    ptx::mma_m16n8k8_tf32(d_registers, a_registers, b_registers);
  for (unsigned i = 0; i < 4; ++i) result[lane * 4 + i] = d_registers[i];
}

__global__ void to_tf32_kernel(std::uint32_t* result, const float* values) { result[threadIdx.x] = ptx::to_tf32(values[threadIdx.x]); }

template <int bytes>
__global__ void cp_async_kernel(unsigned char* result, const unsigned char* from, const int* is_valid) {
  SIMT_SHARED(tile, Packed<std::uint32_t, 4>[64]);
  auto* shared = reinterpret_cast<unsigned char*>(tile);
  const auto begin = threadIdx.x * bytes;
  ptx::cp_async<bytes>(shared + begin, from + begin, is_valid[threadIdx.x] != 0);
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
  __syncthreads();
  // NOTE: read by another thread than the one that copied.
  const auto other = (blockDim.x - 1 - threadIdx.x) * bytes;
  for (unsigned i = 0; i < bytes; ++i) result[other + i] = shared[other + i];
}

__global__ void cp_async_groups_kernel(std::uint32_t* result, const std::uint32_t* from) {
  SIMT_SHARED(shared, std::uint32_t[3][32]);
  const auto lane = threadIdx.x;
  for (unsigned group = 0; group < 3; ++group) {
    ptx::cp_async<4>(&shared[group][lane], from + group * 32 + lane, true);
    ptx::cp_async_commit();
  }
  ptx::cp_async_wait<2>();
  result[lane] = shared[0][lane];
  ptx::cp_async_wait<1>();
  result[32 + lane] = shared[1][lane];
  ptx::cp_async_wait<0>();
  result[64 + lane] = shared[2][lane];
}

// ---- warps ----

template <Shuffle kind>
__global__ void shuffle_kernel(std::uint32_t* result, unsigned mask, int width, const std::uint32_t* values, const int* arguments) {
  const auto lane = threadIdx.x;
  if (!(mask >> lane & 1)) return;
  const std::uint32_t value = values[lane];
  const int argument = arguments[lane];
  if constexpr (kind == Shuffle::index) result[lane] = __shfl_sync(mask, value, argument, width);
  if constexpr (kind == Shuffle::exclusive_or) result[lane] = __shfl_xor_sync(mask, value, argument, width);
  if constexpr (kind == Shuffle::down) result[lane] = __shfl_down_sync(mask, value, static_cast<unsigned>(argument), width);
  if constexpr (kind == Shuffle::up) result[lane] = __shfl_up_sync(mask, value, static_cast<unsigned>(argument), width);
}

__global__ void shuffle_wide_kernel(std::int64_t* result, const std::int64_t* values, int lane_mask) {
  const auto value = static_cast<long long>(values[threadIdx.x]);
  result[threadIdx.x] = __shfl_xor_sync(kAllLanes, value, lane_mask);
}

__global__ void vote_kernel(Votes* result, unsigned mask, const int* predicates, const std::uint32_t* values) {
  const auto lane = threadIdx.x;
  if (!(mask >> lane & 1)) return;
  Votes votes;
  votes.ballot = __ballot_sync(mask, predicates[lane]);
  votes.any = static_cast<unsigned>(__any_sync(mask, predicates[lane]));
  votes.all = static_cast<unsigned>(__all_sync(mask, predicates[lane]));
  votes.sum = __reduce_add_sync(mask, values[lane]);
  votes.largest = __reduce_max_sync(mask, values[lane]);
  __syncwarp(mask);
  votes.active = __activemask();
  result[lane] = votes;
}

__global__ void exchange_pairs_kernel(std::uint32_t* result, const std::uint32_t* values) {
  SIMT_SHARED(shared, std::uint32_t[32]);
  const auto lane = threadIdx.x;
  shared[lane] = values[lane];
  __syncwarp();
  result[lane] = shared[lane ^ 1];
}

// ---- blocks ----

__global__ void block_vote_kernel(BlockVotes* result, const int* predicates) {
  const int predicate = predicates[threadIdx.x];
  BlockVotes votes;
  votes.count = __syncthreads_count(predicate);
  votes.all = __syncthreads_and(predicate);
  votes.any = __syncthreads_or(predicate);
  result[threadIdx.x] = votes;
}

__global__ void places_kernel(Place* result) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  result[block * blockDim.x * blockDim.y * blockDim.z + thread] = {
      {threadIdx.x, threadIdx.y, threadIdx.z}, {blockIdx.x, blockIdx.y, blockIdx.z}, {blockDim.x, blockDim.y, blockDim.z}, {gridDim.x, gridDim.y, gridDim.z}};
}

__global__ void two_shared_arrays_kernel(std::uint32_t* result) {
  SIMT_SHARED(a, std::uint32_t[256]);
  SIMT_SHARED(b, std::uint32_t[256]);
  a[threadIdx.x] = threadIdx.x;
  b[threadIdx.x] = 2 * threadIdx.x;
  __syncthreads();
  const unsigned neighbour = (threadIdx.x + 1) % blockDim.x;
  result[threadIdx.x] = a[neighbour] * 1000 + b[neighbour];
}

__global__ void carved_kernel(std::int64_t* result, unsigned bytes, unsigned words, unsigned doubles) {
  SharedCarver carver;
  auto* byte = carver.take<unsigned char>(bytes);
  auto* word = carver.take<std::uint32_t>(words);
  auto* wide = carver.take<double>(doubles, 128);
  for (unsigned i = threadIdx.x; i < bytes; i += blockDim.x) byte[i] = 1;
  for (unsigned i = threadIdx.x; i < words; i += blockDim.x) word[i] = 100;
  for (unsigned i = threadIdx.x; i < doubles; i += blockDim.x) wide[i] = 10000;
  __syncthreads();
  if (threadIdx.x > 0) return;
  result[0] = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(byte) % 16);
  result[1] = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(word) % 16);
  result[2] = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(wide) % 128);
  for (unsigned i = 3; i < 6; ++i) result[i] = 0;
  for (unsigned i = 0; i < bytes; ++i) result[3] += byte[i];
  for (unsigned i = 0; i < words; ++i) result[4] += word[i];
  for (unsigned i = 0; i < doubles; ++i) result[5] += static_cast<std::int64_t>(wide[i]);
}

// ---- atomics, fences, caches ----

__global__ void atomics_kernel(std::uint32_t* results, Atomics* cells) {
  const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x, threads = gridDim.x * blockDim.x;
  results[thread] = atomicAdd(&cells->sum, 1u);
  atomicAdd(&cells->signed_sum, -2);
  atomicAdd(&cells->wide_sum, 1ull << 33);
  atomicAdd(&cells->float_sum, 0.5f);
  atomicMax(&cells->largest, thread * 7 % threads);
  unsigned expected = 0, seen = atomicCAS(&cells->by_compare_and_swap, expected, expected + 3);
  while (seen != expected) {
    expected = seen;
    seen = atomicCAS(&cells->by_compare_and_swap, expected, expected + 3);
  }
  results[threads + thread] = atomicExch(&cells->last_exchanged, thread);
}

__global__ void sum_by_last_block_kernel(std::uint32_t* result, const std::uint32_t* values, std::uint32_t* partial, unsigned* finished) {
  SIMT_SHARED(is_last, bool);
  SIMT_SHARED(sums, std::uint32_t[32]);
  const std::uint32_t sum = isda::block_sum(values[blockIdx.x * blockDim.x + threadIdx.x], sums);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = sum;
    __threadfence();
    is_last = atomicAdd(finished, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!is_last || threadIdx.x > 0) return;
  __threadfence();
  std::uint32_t total = 0;
  for (unsigned block = 0; block < gridDim.x; ++block) total += __ldcg(partial + block);
  *result = total;
}

__global__ void copy_past_caches_kernel(std::uint32_t* result, const std::uint32_t* values) {
  const auto i = threadIdx.x;
  __stcs(result + i, i % 2 ? __ldcs(values + i) : __ldg(values + i));
}

// ---- bits and mathematics ----

__global__ void bits_kernel(Bits* result, const std::uint32_t* a, const std::uint32_t* b) {
  const auto i = threadIdx.x;
  const float value = __uint_as_float(a[i] & 0x7f7fffffu);
  result[i] = {__popc(a[i]), __clz(static_cast<int>(a[i])), __ffs(static_cast<int>(a[i])), __umulhi(a[i], b[i]), a[i] & 0x7f7fffffu, __float_as_uint(value)};
}

__global__ void functions_kernel(Functions* result, const float* x, const float* y) {
  const auto i = threadIdx.x;
  result[i] = {rsqrtf(x[i]), __expf(y[i]), __logf(x[i]), __fdividef(y[i], x[i]), __frcp_rn(x[i]), __fsqrt_rn(x[i]), sinpif(y[i]), cospif(y[i])};
}

__global__ void to_bf16_kernel(std::uint16_t* result, const float* values, unsigned count) {
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    reinterpret_cast<__nv_bfloat16*>(result)[i] = from_float<__nv_bfloat16>(values[i]);
  }
}

__global__ void from_bf16_kernel(float* result, const std::uint16_t* values, unsigned count) {
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    result[i] = to_float(reinterpret_cast<const __nv_bfloat16*>(values)[i]);
  }
}

__global__ void philox_kernel(PhiloxCounter* result, std::uint64_t seed, RandomStream stream, std::uint64_t a, const std::uint64_t* b) {
  result[threadIdx.x] = philox(seed, stream, a, b[threadIdx.x]);
}

__global__ void uniform_kernel(Uniform* result, const std::uint32_t* words, std::uint32_t count) {
  result[threadIdx.x] = {uniform_float(words[threadIdx.x]), uniform_below(words[threadIdx.x], count)};
}

// ---- packed.cuh, warp.cuh ----

template <class T>
__global__ void doubled_kernel(T* y, const T* x) {
  constexpr int count = kPacked<T>;
  float values[count];
  load_packed(x + threadIdx.x * count, values);
  for (float& value : values) value *= 2;
  store_packed(y + threadIdx.x * count, values);
}

template <int width>
__global__ void warp_sum_kernel(float* result, const float* values) {
  result[threadIdx.x] = isda::warp_sum<width>(values[threadIdx.x]);
}
template <int width>
__global__ void warp_max_kernel(float* result, const float* values) {
  result[threadIdx.x] = isda::warp_max<width>(values[threadIdx.x]);
}
template <int width>
__global__ void warp_moments_kernel(Moments<float>* result, const Moments<float>* values) {
  result[threadIdx.x] = isda::warp_moments<width>(values[threadIdx.x]);
}

__global__ void block_sum_kernel(float* result, const float* values) {
  SIMT_SHARED(partial, float[32]);
  result[threadIdx.x] = isda::block_sum(values[threadIdx.x], partial);
}

// Calls body<width>() for the width asked for.
template <class Body>
auto with_width(int width, Body&& body) {
  switch (width) {
    case 2: return body.template operator()<2>();
    case 4: return body.template operator()<4>();
    case 8: return body.template operator()<8>();
    case 16: return body.template operator()<16>();
    default: return body.template operator()<32>();
  }
}

}  // namespace

Words ldmatrix(int matrices, bool is_transposed, const std::vector<std::uint16_t>& shared, const std::vector<int>& row_begins) {
  const auto run = [&]<int count, bool transposed>() {
    return written(32 * count, one_block("ldmatrix", 32), ldmatrix_kernel<count, transposed>, OnCard(shared), static_cast<int>(shared.size()),
                   OnCard(row_begins));
  };
  switch (matrices) {
    case 1: return is_transposed ? run.template operator()<1, true>() : run.template operator()<1, false>();
    case 2: return is_transposed ? run.template operator()<2, true>() : run.template operator()<2, false>();
    default: return is_transposed ? run.template operator()<4, true>() : run.template operator()<4, false>();
  }
}

Floats mma_bf16(const Words& a, const Words& b, const Floats& d) {
  return written(d.size(), one_block("mma_bf16", 32), mma_kernel<true>, OnCard(a), OnCard(b), OnCard(d));
}
Floats mma_tf32(const Words& a, const Words& b, const Floats& d) {
  return written(d.size(), one_block("mma_tf32", 32), mma_kernel<false>, OnCard(a), OnCard(b), OnCard(d));
}
Words to_tf32(const Floats& values) { return written(values.size(), one_block("to_tf32", values.size()), to_tf32_kernel, OnCard(values)); }

std::vector<unsigned char> cp_async(int bytes, const std::vector<unsigned char>& from, const std::vector<int>& is_valid) {
  auto* kernel = bytes == 4 ? cp_async_kernel<4> : bytes == 8 ? cp_async_kernel<8> : cp_async_kernel<16>;
  return written(from.size(), one_block("cp_async", is_valid.size()), kernel, OnCard(from), OnCard(is_valid));
}
Words cp_async_groups(const Words& from) { return written(96, one_block("cp_async_groups", 32), cp_async_groups_kernel, OnCard(from)); }

Words shuffle(Shuffle kind, unsigned mask, int width, const Words& values, const std::vector<int>& arguments) {
  auto* kernel = kind == Shuffle::index          ? shuffle_kernel<Shuffle::index>
                 : kind == Shuffle::exclusive_or ? shuffle_kernel<Shuffle::exclusive_or>
                 : kind == Shuffle::down         ? shuffle_kernel<Shuffle::down>
                                                 : shuffle_kernel<Shuffle::up>;
  return written(32, one_block("shuffle", 32), kernel, mask, width, OnCard(values), OnCard(arguments));
}
std::vector<std::int64_t> shuffle_wide(const std::vector<std::int64_t>& values, int lane_mask) {
  return written(32, one_block("shuffle_wide", 32), shuffle_wide_kernel, OnCard(values), lane_mask);
}
std::vector<Votes> vote(unsigned mask, const std::vector<int>& predicates, const Words& values) {
  return written(32, one_block("vote", 32), vote_kernel, mask, OnCard(predicates), OnCard(values));
}
Words exchange_pairs(const Words& values) { return written(32, one_block("exchange_pairs", 32), exchange_pairs_kernel, OnCard(values)); }

std::vector<BlockVotes> block_vote(const std::vector<int>& predicates) {
  return written(predicates.size(), one_block("block_vote", predicates.size()), block_vote_kernel, OnCard(predicates));
}
std::vector<Place> places(const std::array<unsigned, 3>& grid, const std::array<unsigned, 3>& block) {
  const std::size_t threads = std::size_t{grid[0]} * grid[1] * grid[2] * block[0] * block[1] * block[2];
  return written(threads, {.name = "places", .grid = {grid[0], grid[1], grid[2]}, .block = {block[0], block[1], block[2]}}, places_kernel);
}
Words two_shared_arrays(unsigned threads) { return written(threads, one_block("two_shared_arrays", threads), two_shared_arrays_kernel); }
std::vector<std::int64_t> carved(unsigned bytes, unsigned words, unsigned doubles) {
  // NOTE: room for the gaps that the alignments leave.
  const std::size_t shared_bytes = bytes + words * 4 + doubles * 8 + 16 + 128;
  return written(6, {.name = "carved", .grid = 1, .block = 64, .shared_bytes = shared_bytes}, carved_kernel, bytes, words, doubles);
}

AtomicResults atomics(unsigned blocks, unsigned threads) {
  const OnCard cells(std::vector<Atomics>{{.last_exchanged = 0xffffffffu}});
  const std::size_t all = std::size_t{blocks} * threads;
  const Words results = written(2 * all, {.name = "atomics", .grid = blocks, .block = threads}, atomics_kernel, cells);
  const auto half = results.begin() + static_cast<std::ptrdiff_t>(all);
  return {cells.read()[0], Words(results.begin(), half), Words(half, results.end())};
}
Words sum_by_last_block(const Words& values, unsigned blocks) {
  const auto threads = static_cast<unsigned>(values.size()) / blocks;
  return written(1, {.name = "sum_by_last_block", .grid = blocks, .block = threads}, sum_by_last_block_kernel, OnCard(values), OnCard<std::uint32_t>(blocks),
                 OnCard(Words{0}));
}
Words copy_past_caches(const Words& values) {
  return written(values.size(), one_block("copy_past_caches", values.size()), copy_past_caches_kernel, OnCard(values));
}

std::vector<Bits> bits(const Words& a, const Words& b) { return written(a.size(), one_block("bits", a.size()), bits_kernel, OnCard(a), OnCard(b)); }
std::vector<Functions> functions(const Floats& x, const Floats& y) {
  return written(x.size(), one_block("functions", x.size()), functions_kernel, OnCard(x), OnCard(y));
}
std::vector<std::uint16_t> to_bf16(const Floats& values) {
  const auto count = static_cast<unsigned>(values.size());
  return written(count, {.name = "to_bf16", .grid = 4, .block = 256}, to_bf16_kernel, OnCard(values), count);
}
Floats from_bf16(const std::vector<std::uint16_t>& values) {
  const auto count = static_cast<unsigned>(values.size());
  return written(count, {.name = "from_bf16", .grid = 4, .block = 256}, from_bf16_kernel, OnCard(values), count);
}
std::vector<PhiloxCounter> philox_words(std::uint64_t seed, RandomStream stream, std::uint64_t a, const std::vector<std::uint64_t>& b) {
  return written(b.size(), one_block("philox", b.size()), philox_kernel, seed, stream, a, OnCard(b));
}
std::vector<Uniform> uniform_numbers(const Words& words, std::uint32_t count) {
  return written(words.size(), one_block("uniform", words.size()), uniform_kernel, OnCard(words), count);
}

Floats doubled(const Floats& values) { return written(values.size(), one_block("doubled", values.size() / 4), doubled_kernel<float>, OnCard(values)); }
std::vector<bf16> doubled(const std::vector<bf16>& values) {
  const OnCard<bf16> x(values), y(values.size());
  const Context context(Device::cuda);
  launch(context, one_block("doubled", values.size() / 8), doubled_kernel<__nv_bfloat16>, reinterpret_cast<__nv_bfloat16*>(static_cast<bf16*>(y)),
         reinterpret_cast<const __nv_bfloat16*>(static_cast<bf16*>(x)));
  context.synchronise();
  return y.read();
}
Floats warp_sum(int width, const Floats& values) {
  return with_width(width, [&]<int w>() { return written(32, one_block("warp_sum", 32), warp_sum_kernel<w>, OnCard(values)); });
}
Floats warp_max(int width, const Floats& values) {
  return with_width(width, [&]<int w>() { return written(32, one_block("warp_max", 32), warp_max_kernel<w>, OnCard(values)); });
}
std::vector<Moments<float>> warp_moments(int width, const std::vector<Moments<float>>& values) {
  return with_width(width, [&]<int w>() { return written(32, one_block("warp_moments", 32), warp_moments_kernel<w>, OnCard(values)); });
}
Floats block_sum(const Floats& values) { return written(values.size(), one_block("block_sum", values.size()), block_sum_kernel, OnCard(values)); }

}  // namespace isda::conformance
