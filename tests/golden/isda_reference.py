#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An independent implementation of the ISDA loss in numpy, float64, written from the formulas and for nothing but being right.

Statistics are not merged: SampleHistory keeps every feature vector ever seen and computes, from all of them, the count, the mean and the
biased covariance of each class, which is what the running update of the framework must amount to:

    mu_c = mean of the samples of class c        S_c = mean of (a - mu_c)(a - mu_c)^T        diagonal: s_c = mean of (a - mu_c)^2

The loss is the dense per-sample form, with D_ij = w_j - w_{y_i}:

    z_ij = w_j.a_i + b_j + (ratio/2) D_ij^T S_{y_i} D_ij        loss = mean_i  -log softmax(z_i)[y_i]

and its gradients, sample by sample, with G = dloss/dz and S constant:

    da_i = sum_j G_ij w_j      db_j = sum_i G_ij      dw_j += G_ij (a_i + ratio S_{y_i} D_ij)      dw_{y_i} -= ratio G_ij S_{y_i} D_ij

Run as a program it tests itself: gradients against finite differences, the statistics against the running update, and that both
comparisons notice a wrong formula.
"""
import sys

import numpy


class SampleHistory:
    """Every sample seen so far, and the class statistics computed from all of them at once."""

    def __init__(self, classes, width):
        self.classes, self.width = classes, width
        self.features = numpy.zeros((0, width))
        self.labels = numpy.zeros(0, dtype=numpy.int64)

    def append(self, features, labels):
        self.features = numpy.concatenate([self.features, numpy.asarray(features, dtype=numpy.float64)])
        self.labels = numpy.concatenate([self.labels, numpy.asarray(labels, dtype=numpy.int64)])

    def statistics(self, covariance):
        """Returns count (C), mean (C,A) and covariance, (C,A,A) for "full" and (C,A) for "diagonal". A class never seen has zeros."""
        C, A = self.classes, self.width
        count, mean = numpy.zeros(C), numpy.zeros((C, A))
        spread = numpy.zeros((C, A, A) if covariance == "full" else (C, A))
        for c in range(C):
            samples = self.features[self.labels == c]
            if len(samples) == 0:
                continue
            count[c] = len(samples)
            mean[c] = samples.sum(axis=0) / len(samples)
            centred = samples - mean[c]
            if covariance == "full":
                spread[c] = centred.T @ centred / len(samples)
            else:
                spread[c] = (centred * centred).sum(axis=0) / len(samples)
        return count, mean, spread


def times_covariance(covariance_of_class, differences):
    """S_c D for the rows of D (C,A); S_c is (A,A), or (A) when diagonal."""
    return differences @ covariance_of_class if covariance_of_class.ndim == 2 else differences * covariance_of_class


def augmented_logits(features, labels, weight, bias, covariance, ratio):
    """z (N,C), one sample at a time."""
    z = features @ weight.T + bias
    for i, y in enumerate(labels):
        D = weight - weight[y]
        z[i] += ratio / 2 * (times_covariance(covariance[y], D) * D).sum(axis=1)
    return z


def mean_cross_entropy(z, labels):
    shifted = z - z.max(axis=1, keepdims=True)
    return (numpy.log(numpy.exp(shifted).sum(axis=1)) - shifted[numpy.arange(len(labels)), labels]).mean()


def loss(features, labels, weight, bias, covariance, ratio):
    return mean_cross_entropy(augmented_logits(features, labels, weight, bias, covariance, ratio), labels)


def loss_and_gradients(features, labels, weight, bias, covariance, ratio):
    """Returns {loss, logits, augmented_logits, grad_features, grad_weight, grad_bias}; the covariance is used as given."""
    N = len(labels)
    z = augmented_logits(features, labels, weight, bias, covariance, ratio)
    probability = numpy.exp(z - z.max(axis=1, keepdims=True))
    probability /= probability.sum(axis=1, keepdims=True)
    G = probability / N
    G[numpy.arange(N), labels] -= 1 / N
    grad_weight = numpy.zeros_like(weight)
    for i, y in enumerate(labels):
        correction = ratio * G[i][:, None] * times_covariance(covariance[y], weight - weight[y])
        grad_weight += numpy.outer(G[i], features[i]) + correction
        grad_weight[y] -= correction.sum(axis=0)
    return {
        "loss": numpy.array(mean_cross_entropy(z, labels)),
        "logits": features @ weight.T + bias,
        "augmented_logits": z,
        "grad_features": G @ weight,
        "grad_weight": grad_weight,
        "grad_bias": G.sum(axis=0),
    }


def finite_differences(function, at, step=1e-6):
    """The gradient of a scalar function by central differences, entry by entry."""
    gradient = numpy.zeros_like(at)
    for index in numpy.ndindex(at.shape):
        above, below = at.copy(), at.copy()
        above[index] += step
        below[index] -= step
        gradient[index] = (function(above) - function(below)) / (2 * step)
    return gradient


def scaled_error(got, expected):
    """max |got - expected| / max |expected| (the absolute error where expected is all zero); infinite if anything is not finite."""
    if not (numpy.isfinite(got).all() and numpy.isfinite(expected).all()):
        return numpy.inf
    scale = numpy.abs(expected).max(initial=0)
    return numpy.abs(got - expected).max(initial=0) / (scale if scale > 0 else 1)


def running_update(count, mean, spread, features, labels):
    """One step of the running update, used only to test that SampleHistory means the same. Changes its arguments."""
    outer = (lambda v: v[:, :, None] * v[:, None, :]) if spread.ndim == 3 else (lambda v: v * v)
    for c in numpy.unique(labels):
        batch = features[labels == c]
        nu = batch.mean(axis=0)
        w = len(batch) / (count[c] + len(batch))
        between = outer((mean[c] - nu)[None])[0]
        spread[c] = (1 - w) * spread[c] + w * outer(batch - nu).mean(axis=0) + w * (1 - w) * between
        mean[c] = (1 - w) * mean[c] + w * nu
        count[c] += len(batch)


def self_test():
    random = numpy.random.default_rng(5)
    worst_gradient = worst_statistics = 0.0
    for covariance in ("full", "diagonal"):
        for N, C, A in ((1, 1, 1), (1, 3, 2), (5, 4, 3), (8, 3, 6)):
            history = SampleHistory(C, A)
            count, mean, spread = history.statistics(covariance)
            weight, bias = random.normal(size=(C, A)), random.normal(size=C)
            for ratio in (0.0, 0.3, 1.5):
                features, labels = random.normal(size=(N, A)) + 1, random.integers(0, C, N)
                history.append(features, labels)
                running_update(count, mean, spread, features, labels)
                direct = history.statistics(covariance)
                for got, expected in zip((count, mean, spread), direct):
                    worst_statistics = max(worst_statistics, scaled_error(got, expected))
                S = direct[2]
                exact = loss_and_gradients(features, labels, weight, bias, S, ratio)
                numeric = {
                    "grad_features": finite_differences(lambda v: loss(v, labels, weight, bias, S, ratio), features),
                    "grad_weight": finite_differences(lambda v: loss(features, labels, v, bias, S, ratio), weight),
                    "grad_bias": finite_differences(lambda v: loss(features, labels, weight, v, S, ratio), bias),
                }
                for name, gradient in numeric.items():
                    worst_gradient = max(worst_gradient, numpy.abs(exact[name] - gradient).max())
    # The same comparison must notice a gradient that misses the term of w_y: G^T F + the terms of w_j alone.
    G = numpy.exp(exact["augmented_logits"] - exact["augmented_logits"].max(axis=1, keepdims=True))
    G = (G / G.sum(axis=1, keepdims=True) - numpy.eye(C)[labels]) / N
    incomplete = G.T @ features
    for i, y in enumerate(labels):
        incomplete += ratio * G[i][:, None] * times_covariance(S[y], weight - weight[y])
    noticed = numpy.abs(incomplete - numeric["grad_weight"]).max() > 1e-3
    print(f"gradients against finite differences: {worst_gradient:.1e} (at most 1e-8)")
    print(f"statistics against the running update: {worst_statistics:.1e} (at most 1e-13)")
    print(f"a gradient without the term of w_y is noticed: {noticed}")
    return worst_gradient <= 1e-8 and worst_statistics <= 1e-13 and noticed


if __name__ == "__main__":
    sys.exit(0 if self_test() else 1)
