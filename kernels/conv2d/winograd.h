// SPDX-License-Identifier: Apache-2.0
// Winograd's minimal filtering F(2x2,3x3): 2x2 outputs of a 3x3 convolution from 16 products instead of 36.
// Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016, section 4.1.
//
//   Y = A' [ (G g G') . (B' d B) ] A      d: 4x4 inputs   g: 3x3 weights   Y: 2x2 outputs   . : element by element
//
//        | 1  0 -1  0 |        | 1    0    0  |         | 1  1  1  0 |
//   B' = | 0  1  1  0 |    G = | 1/2  1/2 1/2 |    A' = | 0  1 -1 -1 |
//        | 0 -1  1  0 |        | 1/2 -1/2 1/2 |
//        | 0  1  0 -1 |        | 0    0    1  |
//
// Each of the 16 points is a matrix product over the channels (tiles x channels by channels x outputs); only the transforms see
// the geometry, and they add and subtract. The gradient of g is the transpose of the same formula: dg = G' [ (A dY A') . (B' d B) ] G
// with the middle summed over all tiles. In f32 the error is about twice that of the direct sum, of the order of 1e-7.
#pragma once
#include <cstdint>

namespace isda::kernels::conv2d {

constexpr int kWinogradPoints = 16;

// The part of a shape that decides: channels are those of a group, source for the one that is transformed and summed over.
struct WinogradShape {
  std::int64_t taps_rows, taps_columns, stride, out_rows, out_columns, source_channels, out_channels;
};
bool winograd_suits(const WinogradShape& shape);

// G g G' of `lanes` kernels at once, at most kMostTransformLanes: taps [3][3][lanes] to points [16][lanes], point_step floats apart.
constexpr std::int64_t kMostTransformLanes = 48;  // three vectors of the widest table
void winograd_weights(const float* taps, std::int64_t lanes, float* points, std::int64_t point_step);

// G' m G, the way back for gradients: points [16][lanes] to taps [3][3][lanes].
void winograd_taps(const float* points, std::int64_t lanes, float* taps);

}  // namespace isda::kernels::conv2d
