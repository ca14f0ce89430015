#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`isda loss` on inputs that are wrong, unusual or damaged (isda_loss_check.py checks its numbers).   loss_test.py PROGRAM"""
import os
import sys

import numpy
import program

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import safetensors_numpy

N, C, A = 5, 3, 4


def tensors(**changes):
    """A valid input with some tensors changed, or left out where None."""
    random = numpy.random.default_rng(1)
    result = {
        "features": random.normal(size=(N, A)),
        "labels": numpy.array([0, 2, 0, 1, 2]),
        "weight": random.normal(size=(C, A)),
        "bias": random.normal(size=C),
        "ratio": numpy.array(0.5),
    }
    result.update(changes)
    return {name: value for name, value in result.items() if value is not None}


class LossTest(program.ProgramTest):
    def write(self, **changes):
        safetensors_numpy.write(os.path.join(self.folder, "in"), tensors(**changes))

    def outputs(self, *words, **changes):
        self.write(**changes)
        self.printed = self.succeeds("loss", "in", "out", *words)
        return safetensors_numpy.read(os.path.join(self.folder, "out"))

    def refused(self, expected, *words, **changes):
        self.write(**changes)
        if os.path.exists(os.path.join(self.folder, "out")):
            os.remove(os.path.join(self.folder, "out"))
        self.fails(1, ["isda loss: ", *([expected] if isinstance(expected, str) else expected)], "loss", "in", "out", *words)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "out")))

    def test_devices_and_types(self):
        single = {name: value.astype(numpy.float32) for name, value in tensors().items() if value.dtype == numpy.float64}
        double = self.outputs()
        self.assertIn("f64 on reference (auto: only it computes in f64)", self.printed)
        self.assertEqual({value.dtype for value in double.values()}, {numpy.dtype("float64")})
        on_cpu = self.outputs("--device", "cpu", **single)
        self.assertIn("f32 on cpu (as asked for)", self.printed)
        on_reference = self.outputs("--device", "reference", **single)
        self.assertIn("f32 on reference", self.printed)
        for name, value in double.items():
            for other in (on_cpu, on_reference):
                self.assertEqual(other[name].dtype, numpy.float32)
                self.assertEqual(other[name].shape, value.shape)
                numpy.testing.assert_allclose(other[name], value, rtol=1e-4, atol=1e-5)
        self.refused("features is f64, which --device cpu does not compute; use --device reference", "--device", "cpu")

    def test_auto_takes_the_card_or_says_why_not(self):
        single = {name: value.astype(numpy.float32) for name, value in tensors().items() if value.dtype == numpy.float64}
        self.outputs(**single)
        reason = self.why_no_card(self.printed)
        if reason is not None:
            self.assertIn("f32 on cpu (auto: ", self.printed)
            self.refused(["[cuda] ", reason, "run with --device cpu"], "--device", "cuda", **single)

    def test_covariance_kind_comes_from_the_flag_or_the_input(self):
        self.assertEqual(self.outputs()["covariance"].shape, (C, A, A))
        self.assertEqual(self.outputs("--covariance", "diagonal")["covariance"].shape, (C, A))
        state = {name: numpy.ones(shape) for name, shape in (("covariance", (C, A)), ("mean", (C, A)), ("count", (C,)))}
        self.assertEqual(self.outputs(**state)["covariance"].shape, (C, A))
        self.refused(["covariance is (3,4)", "expected (3,4,4)"], "--covariance", "full", **state)

    def test_a_covariance_of_low_rank(self):
        got = self.outputs("--covariance", "lowrank:2")
        self.assertIn("lowrank:2 covariance", self.printed)
        self.assertEqual(got["covariance"].shape, (C, 3, A))
        full, diagonal = self.outputs(), self.outputs("--covariance", "diagonal")
        rows = got["covariance"]
        numpy.testing.assert_allclose(rows[:, 0] + (rows[:, 1:] ** 2).sum(1), diagonal["covariance"], rtol=1e-12, atol=1e-15)
        # Each class has three samples at most, so two directions hold all of it.
        numpy.testing.assert_allclose(numpy.einsum("cra,crb->cab", rows[:, 1:], rows[:, 1:]), full["covariance"], rtol=1e-12, atol=1e-14)
        for name in ("loss", "augmented_logits", "grad_features", "grad_weight", "grad_bias", "mean", "count"):
            numpy.testing.assert_allclose(got[name], full[name], rtol=1e-11, atol=1e-13, err_msg=name)
        # Its shape tells the kind.
        self.assertEqual(self.outputs(**got)["covariance"].shape, (C, 3, A))
        self.refused(["covariance is (3,3,4), expected (3,4,4)"], "--covariance", "full", **got)
        self.refused(["lowrank:3 of 4 features", "use --covariance full, or at most lowrank:2"], "--covariance", "lowrank:3")
        for value in ("lowrank", "lowrank:", "lowrank:0", "lowrank:x", "lowrank:2x", "lowrank:-1"):
            self.fails(2, [f"isda loss: --covariance: '{value}', expected full, diagonal or lowrank:R"], "loss", "a", "b", "--covariance", value)
        self.fails(2, ["did you mean lowrank:R?"], "loss", "a", "b", "--covariance", "lowrnk:4")

    def test_an_output_is_a_good_input(self):
        first = self.outputs()
        second = self.outputs(**first)
        self.assertEqual(second["count"].tolist(), [4, 2, 4])
        numpy.testing.assert_allclose(second["mean"], first["mean"], rtol=1e-12)

    def test_input_and_output_may_be_one_file(self):
        expected = self.outputs()
        self.succeeds("loss", "in", "in")
        got = safetensors_numpy.read(os.path.join(self.folder, "in"))
        self.assertTrue(all((got[name] == expected[name]).all() for name in expected))

    def test_other_types_of_integers_and_counts(self):
        expected = self.outputs(count=numpy.array([1.0, 0.0, 2.0]), covariance=numpy.ones((C, A, A)), mean=numpy.ones((C, A)))
        changes = {"labels": tensors()["labels"].astype(numpy.int32), "ratio": numpy.array([0.5], dtype=numpy.float32)}
        for dtype in (numpy.int64, numpy.int32, numpy.float32):
            state = {"count": numpy.array([1, 0, 2], dtype=dtype), "covariance": numpy.ones((C, A, A)), "mean": numpy.ones((C, A))}
            got = self.outputs(**changes, **state)
            self.assertTrue(all((got[name] == expected[name]).all() for name in expected))

    def test_wrong_shapes_are_named(self):
        self.refused('in has no tensor "features"', features=None)
        self.refused('in has no tensor "bias"', bias=None)
        self.refused(["features is (20)", "(N,A)"], features=numpy.ones(20))
        self.refused(["features is (0,4)", "none of them 0"], features=numpy.ones((0, A)))
        self.refused(["weight is (3,5), expected (3,4)", "features (5,4)"], weight=numpy.ones((C, 5)))
        self.refused(["labels is (4), expected (5)"], labels=numpy.zeros(4, dtype=numpy.int64))
        self.refused(["bias is (4), expected (3)"], bias=numpy.ones(4))
        self.refused(["ratio is (2), expected one number"], ratio=numpy.ones(2))
        self.refused(["mean is (3,5), expected (3,4)"], mean=numpy.ones((C, 5)))
        self.refused(["count is (5), expected (3)"], count=numpy.ones(5))
        self.refused(["covariance is (3,4), expected (3,4,4)"], "--covariance", "full", covariance=numpy.ones((C, A)))
        self.refused(["covariance is (3,4,5), expected (3,4,4)"], covariance=numpy.ones((C, A, 5)))

    def test_wrong_types_are_named(self):
        self.refused("features is i64, expected f32 or f64", features=numpy.ones((N, A), dtype=numpy.int64))
        self.refused('tensor "features" is I16', features=numpy.ones((N, A), dtype=numpy.int16))
        self.refused("weight is f32, expected f64 like the features", weight=numpy.ones((C, A), dtype=numpy.float32))
        self.refused("labels is f64, expected i64 or i32", labels=numpy.zeros(N))

    def test_wrong_values_are_named(self):
        self.refused("labels[1] is 3, expected 0 to 2", labels=numpy.array([0, 3, 0, 0, 0]))
        self.refused("labels[4] is -1, expected 0 to 2", labels=numpy.array([0, 0, 0, 0, -1]))
        self.refused("ratio is -1, expected 0 or more", ratio=numpy.array(-1.0))
        self.refused("ratio is nan", ratio=numpy.array(numpy.nan))
        self.refused("count[2] is -1", count=numpy.array([0.0, 1, -1]))

    def test_unknown_tensors_are_named(self):
        self.refused(["unknown tensor covarianc", "did you mean covariance?"], covarianc=numpy.ones((C, A)))

    def test_a_nan_stays_in_its_class_and_is_reported(self):
        features = tensors()["features"]
        clean = self.outputs()
        features[1, 2] = numpy.nan  # of class 2
        self.write(features=features)
        done = self.run_isda("loss", "in", "out")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 of the features are NaN or infinite, the first of them features[1,2]", done.stderr)
        got = safetensors_numpy.read(os.path.join(self.folder, "out"))
        for name in ("mean", "covariance"):
            self.assertTrue((got[name][:2] == clean[name][:2]).all())
            self.assertTrue(numpy.isnan(got[name][2]).any())

    def test_statistics_without_count_are_warned_of(self):
        self.write(mean=numpy.ones((C, A)))
        done = self.run_isda("loss", "in", "out")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("in has no count", done.stderr)

    def test_a_damaged_file_is_refused(self):
        self.write()
        path = os.path.join(self.folder, "in")
        with open(path, "rb") as file:
            content = file.read()
        with open(path, "wb") as file:
            file.write(content[:-1])
        self.fails(1, ["isda loss: [safetensors] in: tensor ", "cut off"], "loss", "in", "out")

    def test_an_output_that_cannot_be_written(self):
        self.write()
        self.fails(1, "[file] cannot create no/out.tmp: No such file", "loss", "in", "no/out")
        self.fails(1, "is a folder", "loss", "in", ".")


if __name__ == "__main__":
    program.main()
