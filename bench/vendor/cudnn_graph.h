// SPDX-License-Identifier: Apache-2.0
// A convolution as an operation graph of cuDNN 9 (its backend API: "Graph API", descriptors with attributes), and the search for its fastest engine.
//
// cuDNN ranks configurations of its engines for a graph (heuristics of mode A, then those of last resort); the first kCandidates that hold what Math
// promises are run and timed, as PyTorch's cudnn.benchmark does, and the fastest is kept. Workspace is allowed.
#pragma once
#include "bench/vendor/cudnn.h"

namespace isda::vendor {

enum class Direction : std::uint8_t { forward, backward_data, backward_weights };

struct Geometry {
  std::int64_t stride, padding;
};

// The arrays of y = conv(x, weight), whichever of them is computed; all of one type. NHWC and KRSC; groups are x's channels over weight's.
struct ConvolutionArrays {
  ConstView x, weight, y;
};

class Convolution {
 public:
  static constexpr int kCandidates = 16;

  // Searches. Throws Error where no engine takes it.
  Convolution(const Context& context, Direction direction, const ConvolutionArrays& arrays, const Geometry& geometry, Math math);
  ~Convolution();
  Convolution(const Convolution&) = delete;
  Convolution& operator=(const Convolution&) = delete;

  void run() const;
  // "engine 22, best of 16"
  const std::string& words() const { return words_; }

 private:
  struct Graph;
  struct Plan;

  cudnnHandle_t handle_;
  std::unique_ptr<Graph> graph_;
  std::unique_ptr<Plan> plan_;
  std::string words_;
};

}  // namespace isda::vendor
