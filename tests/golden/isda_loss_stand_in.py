#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for `isda loss IN OUT [--covariance full|diagonal] [--device D]` in numpy, with faults to choose from.

It lets tests/isda_loss_check.py test itself: the honest stand-in must pass and every fault must be noticed. It computes what the
program computes, in the type of the features, by the running update and the per-class form, so it shares no formula with
isda_reference.py.
"""
import argparse
import os
import sys

import numpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_numpy

# Each is a mistake that an implementation of the loss could make.
FAULTS = {
    "statistics_after_loss": "the loss uses the statistics of before this batch",
    "unbiased_covariance": "the batch covariance is divided by m - 1",
    "no_between_term": "the update leaves out w(1-w)(mu-nu)(mu-nu)^T",
    "raw_moments": "the covariance is computed as E[x^2] - E[x]^2",
    "weight_from_count_before": "w = m / n, of the count before this batch",
    "absent_class_fades": "a class that is absent from the batch changes",
    "mean_before_covariance": "the mean is moved before the covariance uses it",
    "ratio_not_halved": "the correction is ratio Q instead of ratio/2 Q",
    "no_label_term": "dW[c] misses its term",
    "gradient_halved": "the quadratic form's factor 2 is forgotten",
    "features_get_correction": "the features receive a gradient of the correction",
    "sum_not_mean": "the loss is summed over the batch",
    "wrong_label_row": "the correction is that of the neighbouring class",
    "plain_logits_as_augmented": "augmented_logits lacks the correction",
    "float32_inside": "float64 is computed in float32",
    "nan_in_bias": "one entry of grad_bias is NaN",
    "missing_mean": "mean is not written",
    "transposed_logits": "logits are written (C,N)",
    "count_of_batch": "count is that of this batch alone",
}

# Faults of rounding show in one type alone.
ONLY_VISIBLE_IN = {"float32_inside": "f64", "raw_moments": "f32"}


def update(state, features, labels, fault):
    """The running update of ISDA.md: count, mean and covariance in place, in the type they have."""
    count, mean, covariance = state["count"], state["mean"], state["covariance"]
    full = covariance.ndim == 3
    product = (lambda v, u: numpy.outer(v, u)) if full else (lambda v, u: v * u)
    if fault == "absent_class_fades":
        covariance *= features.dtype.type(0.999)
    for c in numpy.unique(labels):
        batch = features[labels == c]
        m, n = len(batch), count[c]
        w = features.dtype.type(m / (n + m))
        if fault == "weight_from_count_before":
            w = features.dtype.type(m / max(n, m))
        nu = batch.mean(axis=0)
        centred = batch - nu
        batch_covariance = (centred.T @ centred if full else (centred**2).sum(axis=0)) / features.dtype.type(m)
        if fault == "unbiased_covariance" and m > 1:
            batch_covariance *= features.dtype.type(m / (m - 1))
        if fault == "mean_before_covariance":
            mean[c] = (1 - w) * mean[c] + w * nu
        difference = mean[c] - nu
        between = w * (1 - w) * product(difference, difference)
        if fault == "no_between_term":
            between *= 0
        if fault == "raw_moments":
            old = covariance[c] + product(mean[c], mean[c])
            new = (batch.T @ batch if full else (batch**2).sum(axis=0)) / features.dtype.type(m)
            mean[c] = (1 - w) * mean[c] + w * nu
            covariance[c] = (1 - w) * old + w * new - product(mean[c], mean[c])
        else:
            covariance[c] = (1 - w) * covariance[c] + w * batch_covariance + between
            if fault != "mean_before_covariance":
                mean[c] = (1 - w) * mean[c] + w * nu
        count[c] = m if fault == "count_of_batch" else n + m


def isda_loss(tensors, covariance="full", fault=None):
    """The output tensors for the input tensors of one step."""
    asked = tensors["features"].dtype
    inside = numpy.dtype(numpy.float32) if fault == "float32_inside" else asked
    F, W, b = (tensors[name].astype(inside) for name in ("features", "weight", "bias"))
    labels, ratio = tensors["labels"], inside.type(tensors["ratio"])
    (N, A), C = F.shape, W.shape[0]
    state = {
        "count": tensors.get("count", numpy.zeros(C, dtype=numpy.int64)).copy(),
        "mean": tensors.get("mean", numpy.zeros((C, A))).astype(inside),
        "covariance": tensors.get("covariance", numpy.zeros((C, A, A) if covariance == "full" else (C, A))).astype(inside),
    }
    before = state["covariance"].copy()
    update(state, F, labels, fault)
    S = before if fault == "statistics_after_loss" else state["covariance"]
    half = ratio if fault == "ratio_not_halved" else ratio / 2
    logits = F @ W.T + b
    z = logits.copy()
    U = {}
    for c in numpy.unique(labels):
        D = W - W[c]
        row = S[(c + 1) % C] if fault == "wrong_label_row" else S[c]
        U[c] = D @ row if row.ndim == 2 else D * row
        z[labels == c] += half * (U[c] * D).sum(axis=1)
    shifted = z - z.max(axis=1, keepdims=True)
    exponential = numpy.exp(shifted)
    total = exponential.sum(axis=1, keepdims=True)
    losses = numpy.log(total[:, 0]) - shifted[numpy.arange(N), labels]
    one_hot = numpy.eye(C, dtype=inside)[labels]
    divisor = inside.type(1 if fault == "sum_not_mean" else N)
    G = (exponential / total - one_hot) / divisor
    dW = G.T @ F
    dF = G @ W
    for c, Uc in U.items():
        Gc = G[labels == c].sum(axis=0)
        slope = ratio / 2 if fault == "gradient_halved" else ratio
        dW += slope * Gc[:, None] * Uc
        if fault != "no_label_term":
            dW[c] -= slope * (Gc[:, None] * Uc).sum(axis=0)
        if fault == "features_get_correction":
            dF[labels == c] += ratio * Gc @ Uc
    db = G.sum(axis=0)
    if fault == "nan_in_bias":
        db[-1] = numpy.nan
    out = {
        "loss": numpy.array(losses.sum() / divisor),
        "logits": logits.T.copy() if fault == "transposed_logits" else logits,
        "augmented_logits": logits if fault == "plain_logits_as_augmented" else z,
        "grad_features": dF,
        "grad_weight": dW,
        "grad_bias": db,
        **state,
    }
    if fault == "missing_mean":
        del out["mean"]
    return {name: value if name == "count" else value.astype(asked) for name, value in out.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["loss"])
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--covariance", choices=["full", "diagonal"], default="full")
    parser.add_argument("--device", default="auto", help="taken and ignored")
    parser.add_argument("--fault", choices=sorted(FAULTS))
    options = parser.parse_args()
    safetensors_numpy.write(options.output, isda_loss(safetensors_numpy.read(options.input), options.covariance, options.fault))


if __name__ == "__main__":
    main()
