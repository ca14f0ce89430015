#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks `isda loss` against an independent implementation of the ISDA loss, over several steps.

    python3 tests/isda_loss_check.py --program build/isda                 float64 on reference to 1e-12, float32 on cpu to 5e-6
    python3 tests/isda_loss_check.py --program build/isda --run f32:cuda:5e-6
    python3 tests/isda_loss_check.py --self-test                          checks this check: needs no program

Each case is a sequence of batches. The first step gives the program no statistics; every later step feeds back the covariance, mean and
count that the program itself wrote, so its errors may add up. The expected statistics are computed afresh from all samples so far, and
the expected loss and gradients from those (golden/isda_reference.py, float64, from the same inputs).

The error of an output tensor is  max |got - expected| / max |expected|  over all its entries; where expected is zero everywhere it is
max |got|. count must be equal. A NaN or infinity, a missing tensor, another shape, or another type than the features' fails. A loss may
be of shape () or (1). Exit status: 0 all agree, 1 a tensor disagrees or the program failed, 2 wrong usage. Needs python3 and numpy.
"""
import argparse
import os
import shlex
import subprocess
import sys
import tempfile

import numpy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden"))
import isda_loss_stand_in
import isda_reference
import safetensors_numpy

DTYPES = {"f64": numpy.float64, "f32": numpy.float32}
DEFAULT_RUNS = ["f64:reference:1e-12", "f32:cpu:5e-6"]
OUTPUTS = ["loss", "logits", "augmented_logits", "grad_features", "grad_weight", "grad_bias", "covariance", "mean", "count"]


class Case:
    """A named sequence of batches: `labels` holds one list a step, `ratios` one number a step, `offset` is the mean of the features."""

    def __init__(self, name, classes, width, labels, ratios, offset=0.0):
        self.name, self.classes, self.width, self.labels, self.ratios, self.offset = name, classes, width, labels, ratios, offset

    def steps(self, dtype):
        """Yields the input tensors of each step, without statistics; the same numbers on every call."""
        random = numpy.random.default_rng(numpy.frombuffer(self.name.encode(), dtype=numpy.uint8))
        C, A = self.classes, self.width
        centres = random.normal(size=(C, A))
        weight = random.normal(size=(C, A)) / numpy.sqrt(A)
        # NOTE: with a large offset the rows of the weight sum to zero: logits of a hundred would measure softmax, not the statistics.
        weight -= weight.mean(axis=1, keepdims=True) * (self.offset != 0)
        for labels, ratio in zip(self.labels, self.ratios):
            labels = numpy.array(labels, dtype=numpy.int64)
            noise = random.normal(size=(len(labels), A)) @ (numpy.eye(A) + random.normal(size=(A, A)) / (2 * numpy.sqrt(A)))
            yield {
                "features": (self.offset + 0.5 * centres[labels] + noise).astype(dtype),
                "labels": labels,
                "weight": (weight + 0.1 * random.normal(size=(C, A)) / numpy.sqrt(A) * (self.offset == 0)).astype(dtype),
                "bias": (0.5 * random.normal(size=C)).astype(dtype),
                "ratio": numpy.array(ratio, dtype=numpy.float64),
            }


def cases():
    def random_labels(seed, steps, batch, classes):
        return numpy.random.default_rng(seed).integers(0, classes, (steps, batch)).tolist()

    late = [[0, 1, 1, 2], [2, 2, 0, 0, 1], [4, 1, 0], [5, 4, 4, 2, 1, 0, 5], [4, 4, 4]]  # 3 and 6 never come; 4 and 5 come late
    return [
        Case("classes absent and late", 7, 5, late, [0.0, 0.1, 0.25, 0.5, 1.0]),
        Case("single samples", 6, 3, [[3, 0, 5, 1], [1, 2, 3, 4], [5, 4, 3, 2], [0, 1, 2, 5]], [0.5, 0.5, 0.5, 0.5]),
        Case("one image", 3, 4, [[1], [1], [0], [1], [2]], [0.5, 0.5, 1.0, 0.0, 2.0]),
        Case("all samples of one class", 5, 8, [[2] * 9, [2] * 4, [4] * 9, [2] * 2], [0.3, 0.6, 0.9, 1.2]),
        Case("ratio 0", 4, 6, random_labels(11, 3, 10, 4), [0.0, 0.0, 0.0]),
        Case("one feature, two classes", 2, 1, [[0, 1, 1], [0], [1, 0]], [0.5, 1.0, 1.5]),
        Case("ragged, falling ratio", 13, 17, random_labels(12, 4, 19, 13), [1.5, 1.0, 0.5, 0.25]),
        Case("mean far from zero", 5, 24, random_labels(13, 4, 20, 5), [0.25, 0.5, 0.75, 1.0], offset=16.0),
        Case("CIFAR-10 ResNet", 10, 64, random_labels(14, 4, 128, 10), [0.0, 0.125, 0.25, 0.375]),
        Case("CIFAR-100 ResNet", 100, 64, random_labels(15, 3, 128, 100), [0.25, 0.25, 0.5]),
        Case("more classes than samples, wide", 30, 130, random_labels(16, 3, 12, 30), [0.25, 0.25, 0.5]),
    ]


def error_of(name, got, expected, dtype):
    """(error, explanation): the scaled error of one output tensor and where it is worst; infinite if it cannot be compared."""
    if got is None:
        return numpy.inf, "not written"
    shape_agrees = got.shape == expected.shape or (name == "loss" and got.shape == (1,))
    if not shape_agrees:
        return numpy.inf, f"shape {got.shape}, expected {expected.shape}"
    if name != "count" and got.dtype != dtype:
        return numpy.inf, f"type {got.dtype}, expected {numpy.dtype(dtype)} like the features"
    got = numpy.asarray(got, dtype=numpy.float64).reshape(expected.shape)
    if not numpy.isfinite(got).all():
        index = tuple(int(i) for i in numpy.argwhere(~numpy.isfinite(got))[0])
        return numpy.inf, f"{got[index]} at {index}, expected {float(expected[index])!r}"
    difference = numpy.abs(got - expected)
    index = tuple(int(i) for i in numpy.unravel_index(difference.argmax(), difference.shape))
    explanation = f"worst at {index}: got {float(got[index])!r}, expected {float(expected[index])!r}"
    if name == "count":
        return (0.0 if difference.max() == 0 else numpy.inf), explanation
    return isda_reference.scaled_error(got, expected), explanation


def check_case(case, covariance, dtype, program):
    """Runs the case; returns [(error, step, tensor, explanation)] of every output of every step."""
    history = isda_reference.SampleHistory(case.classes, case.width)
    fed_back, results = {}, []
    for step, tensors in enumerate(case.steps(dtype)):
        got = program({**tensors, **fed_back}, covariance)
        features, weight, bias = (tensors[name].astype(numpy.float64) for name in ("features", "weight", "bias"))
        history.append(features, tensors["labels"])
        count, mean, spread = history.statistics(covariance)
        expected = isda_reference.loss_and_gradients(features, tensors["labels"], weight, bias, spread, float(tensors["ratio"]))
        expected.update(covariance=spread, mean=mean, count=count)
        for name in OUTPUTS:
            error, explanation = error_of(name, got.get(name), expected[name], dtype)
            results.append((error, step, name, explanation))
        fed_back = {name: got[name] for name in ("covariance", "mean", "count") if name in got}
        if len(fed_back) < 3:
            break
    return results


class ProgramFailed(Exception):
    pass


def program_on(command, device):
    """A function (tensors, covariance) -> tensors that runs `COMMAND loss IN OUT --covariance ... --device DEVICE`."""

    def run(tensors, covariance):
        with tempfile.TemporaryDirectory() as folder:
            source, target = os.path.join(folder, "in.safetensors"), os.path.join(folder, "out.safetensors")
            safetensors_numpy.write(source, tensors)
            arguments = [*command, "loss", source, target, "--covariance", covariance, "--device", device]
            done = subprocess.run(arguments, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                message = (done.stderr or done.stdout).strip()
                raise ProgramFailed(f"exit status {done.returncode} of {shlex.join(arguments)}: {message}")
            try:
                return safetensors_numpy.read(target)
            except (OSError, ValueError) as error:
                raise ProgramFailed(f"{shlex.join(arguments)} wrote no readable output: {error}") from error

    return run


def check_all(program, dtype_name, tolerance, title, report=print, stop_at_failure=False):
    """Every case in both covariances; returns True if all agree. Reports each failing case by its worst tensor, then the worst of all."""
    worst, failures = {}, 0
    for covariance in ("full", "diagonal"):
        for case in cases():
            where = f"{title}, {covariance}, case '{case.name}'"
            try:
                results = check_case(case, covariance, DTYPES[dtype_name], program)
            except ProgramFailed as failure:
                report(f"FAIL {where}: {failure}")
                return False
            for error, step, name, explanation in results:
                worst.setdefault(name, (-1.0, ""))
                if error > worst[name][0]:
                    worst[name] = (error, f"{where}, step {step}: {explanation}")
            error, step, name, explanation = max(results, key=lambda result: result[0])
            if not error <= tolerance:
                failures += 1
                report(f"FAIL {where}, step {step}, tensor {name}: error {error:.2e} > {tolerance:.0e}; {explanation}")
                if stop_at_failure:
                    return False
    report(f"{title}: largest error of each tensor (tolerance {tolerance:.0e}): " + ", ".join(f"{name} {worst[name][0]:.1e}" for name in OUTPUTS))
    if failures:
        worst_name = max(worst, key=lambda name: worst[name][0])
        report(f"{title}: {failures} of {2 * len(cases())} cases disagree. Worst tensor: {worst_name}; {worst[worst_name][1]}")
    return failures == 0


def self_test():
    """The honest stand-in must agree, in both types, as a function and as a program; every fault must be noticed."""
    stand_in = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "isda_loss_stand_in.py")

    def function(fault):
        return lambda tensors, covariance: isda_loss_stand_in.isda_loss(tensors, covariance, fault)

    good = isda_reference.self_test()
    good &= check_all(function(None), "f64", 1e-12, "honest stand-in f64")
    good &= check_all(function(None), "f32", 5e-6, "honest stand-in f32")
    as_program = program_on([sys.executable, stand_in], "reference")
    good &= all(error <= 1e-12 for error, *_ in check_case(cases()[0], "full", numpy.float64, as_program))
    for fault, meaning in isda_loss_stand_in.FAULTS.items():
        lines = []
        noticed = [
            not check_all(function(fault), dtype_name, tolerance, dtype_name, lines.append, stop_at_failure=True)
            for dtype_name, tolerance in (("f64", 1e-12), ("f32", 5e-6))
            if isda_loss_stand_in.ONLY_VISIBLE_IN.get(fault, dtype_name) == dtype_name
        ]
        print(f"{'noticed' if all(noticed) else 'NOT NOTICED'}: {meaning} ({lines[-1][:130]})")
        good &= all(noticed)
    print("self-test passed" if good else "self-test FAILED")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", help="the isda program (a path, or a command line in one string)")
    parser.add_argument("--run", action="append", metavar="TYPE:DEVICE:TOLERANCE", help=f"may be repeated; default {' '.join(DEFAULT_RUNS)}")
    parser.add_argument("--self-test", action="store_true", help="check this check against a stand-in of the program")
    options = parser.parse_args()
    if options.self_test:
        return 0 if self_test() else 1
    if not options.program:
        parser.error("--program PATH is needed (or --self-test)")
    good = True
    for run in options.run or DEFAULT_RUNS:
        try:
            dtype_name, device, tolerance = run.split(":")
            tolerance = float(tolerance)
            DTYPES[dtype_name]
        except (ValueError, KeyError):
            parser.error(f"--run {run}: expected TYPE:DEVICE:TOLERANCE, for instance f32:cpu:5e-6; TYPE is {' or '.join(DTYPES)}")
        try:
            good &= check_all(program_on(shlex.split(options.program), device), dtype_name, tolerance, f"{dtype_name} on {device}")
        except OSError as error:
            parser.error(f"--program {options.program}: {error}")
    print("isda loss agrees" if good else "isda loss DISAGREES")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
