// SPDX-License-Identifier: Apache-2.0
// The inner loops of the cpu convolution, on raw f32 pointers, once per instruction set.
//
// One source (microkernels.inc) is compiled with different flags into one table each; microkernels() picks the best table this
// machine can run. Everything outside is ordinary code and knows the instruction set only by `lanes`, the floats of a vector:
// 4 baseline (SSE2, NEON, ...), 8 AVX2+FMA, 16 AVX-512.
//
// Registers of the two multiply kernels (AVX2: 16, a fused multiply-add has latency 4 and throughput 2, so 8 sums or more must be
// in flight):
//   correlate           6 pixels x 2 vectors of outputs = 12 sums, 2 weights, 1 broadcast pixel;  8 loads for 12 multiply-adds
//   accumulate_weights  4 outputs x 3 vectors of inputs = 12 sums, 3 inputs,  1 broadcast output; 7 loads for 12 multiply-adds
#pragma once
#include <cstddef>

#if defined(__x86_64__)
#define ISDA_HAS_X86_KERNELS
#endif

namespace isda::kernels::conv2d {

// Where the epilogue behind a multiplication will write and read, to be fetched meanwhile; not needed for the result.
struct Touched {
  const std::ptrdiff_t* offsets = nullptr;  // of each pixel in the arrays
  int pixels = 0;
  const float* out = nullptr;
  const float* read[3] = {};  // null where not wanted
};

// Memory that the work after this will read, to be fetched into the L2 cache meanwhile; not needed for the result.
struct Ahead {
  const float* from = nullptr;  // null: nothing
  std::ptrdiff_t lines = 0;     // cache lines for every step of the loop
};

// tile[pixel][v] = sum over row, j of  source[offsets[pixel] + row*pitch + j] * weights[row*run + j][v]
struct Correlate {
  const float* source;
  const std::ptrdiff_t* offsets;  // one per pixel
  int pixels;
  std::ptrdiff_t rows, pitch, run;
  const float* weights;  // [rows*run][vectors*lanes]
  int vectors;           // 1 or 2
  float* tile;           // [pixels][vectors*lanes]
  bool is_continued;     // add to tile instead of overwriting it
  Touched touched;
  Ahead ahead[2];  // for every 6 pixels
};

// Takes a finished tile through the epilogue into the output: residual, mask, store, sums, statistics.
struct Finish {
  float* tile;                    // [pixels][step]
  int step;                       // vectors*lanes
  int channels;                   // of them valid
  const std::ptrdiff_t* offsets;  // of each pixel in out, residual, mask_x and sums_x
  int pixels;
  float* out;
  // Null where not wanted. Pointers to channels start at the tile's first channel.
  const float* residual;
  const float *mask_x, *mask_scale, *mask_shift;
  const float *sums_x, *sums_mean;
  float *sum, *sum_centred;  // added to
  float *mean, *m2;          // merged with the moments of `count` earlier pixels
  float count;
};

// One row of an image into a packed row: f(x) by channel.
struct PackRow {
  const float* source;  // [pixels][source_step]
  std::ptrdiff_t source_step;
  std::ptrdiff_t pixels;
  std::ptrdiff_t channels;
  const float *scale, *shift;          // null: f(x) = x
  const float *second, *second_scale;  // null, or f = x*scale + second*second_scale + shift
  bool relu;
  float* packed;
  // The packed row is [pixels][channels], or [channels/4][quad_step floats apart][pixels][4] with zeros behind the last channel.
  std::ptrdiff_t quad_step;
};

// sums[quad][4][v] (+)= sum over row, column of  dy[quad*quad_step + pixel*dy_step + 0..3] * x[row_offsets[row] + column*x_step + v]
// with pixel = row*columns + column.
struct AccumulateWeights {
  const float* x;
  const std::ptrdiff_t* row_offsets;
  int rows, columns;
  std::ptrdiff_t x_step;
  const float* dy;
  std::ptrdiff_t dy_step, quad_step;
  int quads;
  int vectors;        // 1, 2 or 3
  float* sums;        // [quads][4][vectors*lanes]
  bool is_continued;  // add to sums instead of overwriting them
  Ahead ahead[3];     // for every quad
};

// The transforms of winograd.h: points[16][tile][channel], point_step floats apart, of tiles that lie in one row of a window.
//   winograd_input     B' d B of 4x4 pixels     winograd_gradient  A dY A' of 2x2 pixels
struct WinogradInput {
  const float* source;
  std::ptrdiff_t tile_step;  // between tiles; pixels lie `channels` apart
  int tiles;
  std::ptrdiff_t pitch, channels;  // channels: whole vectors
  float* points;
  std::ptrdiff_t point_step;
};

// products[point][tile][v] = sum over c of  points[point][tile][c] * weights[point][c][v] for all 16 points.
struct WinogradMultiply {
  const float* points;  // point_step floats apart
  std::ptrdiff_t point_step, channels;
  int tiles;
  const float* weights;  // [16][channels][vectors*lanes]
  int vectors;           // 1 or 2
  float* products;       // product_step floats apart
  std::ptrdiff_t product_step;
  Touched touched;
  Ahead ahead[2];  // for every point
};

// pixels[slots[tile][corner]] = A' m A of points[16][tile][vectors*lanes].
struct WinogradOutput {
  const float* points;
  std::ptrdiff_t point_step;
  int tiles;
  int vectors;
  const int (*slots)[4];
  float* pixels;  // [slot][vectors*lanes]
};

struct Microkernels {
  const char* name;
  int lanes;
  void (*correlate)(const Correlate&);
  void (*finish)(const Finish&);
  void (*pack_row)(const PackRow&);
  void (*pack_quads)(const PackRow&);
  void (*accumulate_weights)(const AccumulateWeights&);
  void (*winograd_input)(const WinogradInput&);
  void (*winograd_multiply)(const WinogradMultiply&);
  void (*winograd_output)(const WinogradOutput&);
  void (*winograd_gradient)(const WinogradInput&);
};

extern const Microkernels kBaseline;
#if defined(ISDA_HAS_X86_KERNELS)
extern const Microkernels kAvx2;
extern const Microkernels kAvx512;
#endif

// The best table for this machine.
const Microkernels& microkernels();

// Everything runs with another table while this lives. For tests: no convolution may be running when it begins or ends.
class UseMicrokernels {
 public:
  explicit UseMicrokernels(const Microkernels& table);
  ~UseMicrokernels();
  UseMicrokernels(const UseMicrokernels&) = delete;
  UseMicrokernels& operator=(const UseMicrokernels&) = delete;

 private:
  const Microkernels& before_;
};

}  // namespace isda::kernels::conv2d
