// SPDX-License-Identifier: Apache-2.0
// Mean and centred sum of squares that can be merged: how every variance of the project is computed.
//
// Welford 1962 for one more value; Chan, Golub, LeVeque 1983 for two groups:
//   n = na + nb    mean = mean_a + d nb/n    m2 = m2_a + m2_b + d^2 na nb/n    with d = mean_b - mean_a
// Never E[x^2] - E[x]^2, which cancels where the mean is large against the deviation.
#pragma once

namespace isda {

template <class T>
struct Moments {
  T count = 0;
  T mean = 0;
  T m2 = 0;  // sum of (x - mean)^2

  void add(T value) {
    count += 1;
    const T delta = value - mean;
    mean += delta / count;
    m2 += delta * (value - mean);
  }

  void merge(const Moments& other) {
    if (other.count == 0) return;
    const T total = count + other.count;
    const T delta = other.mean - mean;
    const T weight = other.count / total;
    mean += delta * weight;
    m2 += other.m2 + delta * delta * count * weight;
    count = total;
  }

  T variance() const { return m2 / count; }  // biased: over count
  T unbiased_variance() const { return m2 / (count - 1); }
};

}  // namespace isda
