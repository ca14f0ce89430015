// SPDX-License-Identifier: Apache-2.0
// Networks once more, from nothing but loops over their named weights: what the models compute, with their fusions, is held against it. It shares no code
// with layers or operations.
//
//   const PlainNetwork plain(network, /*is_training=*/true);
//   Maps x = relu(plain.norm("bn1", plain.convolution("conv1", plain.maps_of(images), 1, 1)));
#pragma once
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "models/network.h"

namespace isda {

// (N,H,W,C)
struct Maps {
  std::int64_t N, H, W, C;
  std::vector<double> values;

  Maps(std::int64_t images, std::int64_t rows, std::int64_t columns, std::int64_t channels)
      : N(images), H(rows), W(columns), C(channels), values(static_cast<std::size_t>(images * rows * columns * channels)) {}
  double& at(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) { return values[static_cast<std::size_t>(((n * H + h) * W + w) * C + c)]; }
  double at(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) const { return const_cast<Maps&>(*this).at(n, h, w, c); }
};

inline Maps relu(Maps x) {
  for (double& value : x.values) value = value > 0 ? value : 0;
  return x;
}

inline Maps sum(Maps a, const Maps& b) {
  for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] += b.values[i];
  return a;
}

// The means over all pixels, (N,1,1,C).
inline Maps means(const Maps& x) {
  Maps y(x.N, 1, 1, x.C);
  for (std::int64_t n = 0; n < x.N; ++n)
    for (std::int64_t h = 0; h < x.H; ++h)
      for (std::int64_t w = 0; w < x.W; ++w)
        for (std::int64_t c = 0; c < x.C; ++c) y.at(n, 0, 0, c) += x.at(n, h, w, c) / static_cast<double>(x.H * x.W);
  return y;
}

// The maximum of each window.
inline Maps maxima(const Maps& x, std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  Maps y(x.N, (x.H + 2 * padding - kernel) / stride + 1, (x.W + 2 * padding - kernel) / stride + 1, x.C);
  for (std::int64_t n = 0; n < y.N; ++n)
    for (std::int64_t p = 0; p < y.H; ++p)
      for (std::int64_t q = 0; q < y.W; ++q)
        for (std::int64_t c = 0; c < y.C; ++c) {
          double largest = -HUGE_VAL;
          for (std::int64_t h = p * stride - padding; h < p * stride - padding + kernel; ++h)
            for (std::int64_t w = q * stride - padding; w < q * stride - padding + kernel; ++w)
              if (h >= 0 && h < x.H && w >= 0 && w < x.W) largest = std::fmax(largest, x.at(n, h, w, c));
          y.at(n, p, q, c) = largest;
        }
  return y;
}

// The means of 2x2 pixels; what is left over on the right and below is not looked at.
inline Maps halved(const Maps& x) {
  Maps y(x.N, x.H / 2, x.W / 2, x.C);
  for (std::int64_t n = 0; n < y.N; ++n)
    for (std::int64_t p = 0; p < y.H; ++p)
      for (std::int64_t q = 0; q < y.W; ++q)
        for (std::int64_t c = 0; c < y.C; ++c)
          y.at(n, p, q, c) = (x.at(n, 2 * p, 2 * q, c) + x.at(n, 2 * p, 2 * q + 1, c) + x.at(n, 2 * p + 1, 2 * q, c) + x.at(n, 2 * p + 1, 2 * q + 1, c)) / 4;
  return y;
}

// The channels of a, then those of b.
inline Maps joined(const Maps& a, const Maps& b) {
  Maps y(a.N, a.H, a.W, a.C + b.C);
  for (std::int64_t n = 0; n < y.N; ++n)
    for (std::int64_t h = 0; h < y.H; ++h)
      for (std::int64_t w = 0; w < y.W; ++w)
        for (std::int64_t c = 0; c < y.C; ++c) y.at(n, h, w, c) = c < a.C ? a.at(n, h, w, c) : b.at(n, h, w, c - a.C);
  return y;
}

class PlainNetwork {
 public:
  PlainNetwork(const Module& network, bool is_training) : is_training_(is_training) {
    for (const auto& [name, tensor] : network.parameters()) weights_[name] = tensor;
    for (const auto& [name, tensor] : network.buffers()) weights_[name] = tensor.clone();
  }

  static Maps maps_of(const Tensor& images) {
    const auto [N, H, W, C] = images.shape().extents<4>();
    Maps result(N, H, W, C);
    for (std::int64_t i = 0; i < images.size(); ++i) result.values[static_cast<std::size_t>(i)] = images.view().at_offset(i);
    return result;
  }

  bool is_training() const { return is_training_; }
  bool has(const std::string& name) const { return weights_.contains(name); }

  Maps convolution(const std::string& name, const Maps& x, std::int64_t stride, std::int64_t padding, std::int64_t groups = 1) const {
    const ConstView weight = weights_.at(name + ".weight");
    const auto [K, R, S, G] = weight.shape().extents<4>();
    Maps y(x.N, (x.H + 2 * padding - R) / stride + 1, (x.W + 2 * padding - S) / stride + 1, K);
    for (std::int64_t n = 0; n < y.N; ++n)
      for (std::int64_t p = 0; p < y.H; ++p)
        for (std::int64_t q = 0; q < y.W; ++q)
          for (std::int64_t k = 0; k < K; ++k)
            for (std::int64_t r = 0; r < R; ++r)
              for (std::int64_t s = 0; s < S; ++s) {
                const std::int64_t h = p * stride + r - padding, w = q * stride + s - padding, first = k / (K / groups) * G;
                if (h < 0 || h >= x.H || w < 0 || w >= x.W) continue;
                for (std::int64_t c = 0; c < G; ++c) y.at(n, p, q, k) += x.at(n, h, w, first + c) * weight.at(k, r, s, c);
              }
    return y;
  }

  // By the batch's mean and variance in training, otherwise by the running ones.
  Maps norm(const std::string& name, Maps x) const {
    const auto channel = [&](const char* what, std::int64_t c) { return weights_.at(name + what).view().at(c); };
    const double count = static_cast<double>(x.values.size()) / static_cast<double>(x.C);
    for (std::int64_t c = 0; c < x.C; ++c) {
      double mean = 0, variance = 0;
      for (std::size_t i = static_cast<std::size_t>(c); i < x.values.size(); i += static_cast<std::size_t>(x.C)) mean += x.values[i] / count;
      for (std::size_t i = static_cast<std::size_t>(c); i < x.values.size(); i += static_cast<std::size_t>(x.C))
        variance += std::pow(x.values[i] - mean, 2) / count;
      if (!is_training_) mean = channel(".running_mean", c), variance = channel(".running_var", c);
      for (std::size_t i = static_cast<std::size_t>(c); i < x.values.size(); i += static_cast<std::size_t>(x.C))
        x.values[i] = channel(".weight", c) * (x.values[i] - mean) / std::sqrt(variance + 1e-5) + channel(".bias", c);
    }
    return x;
  }

  // Each channel of an image times its gate.
  Maps squeeze_excitation(const std::string& name, Maps x) const {
    const Maps gate = convolution(name + ".fc2", relu(convolution(name + ".fc1", means(x), 1, 0)), 1, 0);
    for (std::int64_t n = 0; n < x.N; ++n)
      for (std::int64_t h = 0; h < x.H; ++h)
        for (std::int64_t w = 0; w < x.W; ++w)
          for (std::int64_t c = 0; c < x.C; ++c) x.at(n, h, w, c) /= 1 + std::exp(-gate.at(n, 0, 0, c));
    return x;
  }

  // The logits (N,C) of the last maps.
  Tensor classifier(const std::string& name, const Maps& x) const {
    const ConstView weight = weights_.at(name + ".weight"), bias = weights_.at(name + ".bias");
    const Maps features = means(x);
    const Tensor logits({x.N, weight.extent(0)}, DType::f64, Device::reference);
    for (std::int64_t n = 0; n < x.N; ++n)
      for (std::int64_t k = 0; k < weight.extent(0); ++k) {
        double value = bias.at(k);
        for (std::int64_t c = 0; c < x.C; ++c) value += features.at(n, 0, 0, c) * weight.at(k, c);
        logits.view().set(value, n, k);
      }
    return logits;
  }

 private:
  bool is_training_;
  std::map<std::string, Tensor> weights_;
};

}  // namespace isda
