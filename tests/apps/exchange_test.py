#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`isda export`, `logits`, and weights of others in `train` and `eval`: a file that PyTorch wrote.   exchange_test.py PROGRAM"""
import json
import os
import sys

import numpy

import program

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden")
sys.path.insert(0, GOLDEN)
import formula  # noqa: E402
import safetensors_numpy  # noqa: E402

NAME = "densenet_bc10_4"
WEIGHTS = os.path.join(GOLDEN, "weights", NAME + ".safetensors")


class ExchangeTest(program.ProgramTest):
    def path(self, *names):
        return os.path.join(self.folder, *names)

    def read(self, *names):
        return safetensors_numpy.read(self.path(*names))

    def shapes(self):
        self.succeeds("data", "make-shapes", "--output", "shapes", "--train", "64", "--test", "32", "--seed", "1")

    def write_images(self):
        with open(os.path.join(GOLDEN, "networks", NAME + ".json"), encoding="utf-8") as file:
            golden = json.load(file)
        images = formula.network_images(2, golden["extent"]).transpose(0, 3, 1, 2)
        safetensors_numpy.write(self.path("images.safetensors"), {"images": images})
        return golden

    def test_logits_are_those_of_pytorch(self):
        golden = self.write_images()
        printed = self.succeeds("logits", "images.safetensors", "out.safetensors", "--weights", WEIGHTS, "--model", NAME, "--device", "cpu", "--batch-size", "1")
        self.assertIn("2 images, 10 classes, 9 features on cpu", printed)
        out = self.read("out.safetensors")
        self.assertEqual((out["logits"].shape, out["features"].shape), ((2, 10), (2, 9)))
        error = numpy.abs(out["logits"][:, golden["shown"]] - numpy.array(golden["logits"])).max()
        self.assertTrue(error <= 1e-5 * golden["largest"], error)
        weights = safetensors_numpy.read(WEIGHTS)
        by_hand = out["features"] @ weights["model.classifier.weight"].T + weights["model.classifier.bias"]
        self.assertTrue(numpy.abs(by_hand - out["logits"]).max() <= 1e-6)

    def test_export_gives_back_every_bit(self):
        self.succeeds("export", WEIGHTS, "ours.safetensors", "--model", NAME)
        theirs, ours = safetensors_numpy.read(WEIGHTS), self.read("ours.safetensors")
        expected = {name.removeprefix("model."): value for name, value in theirs.items() if not name.endswith("num_batches_tracked")}
        self.assertEqual(sorted(ours), sorted(expected))
        for name, value in expected.items():
            self.assertEqual(ours[name].dtype, numpy.float32, name)
            self.assertTrue(numpy.array_equal(ours[name], value), name)
        # What was exported names its model, and goes on from scheme to scheme.
        self.assertIn("torchvision-2017 names", self.succeeds("export", "ours.safetensors", "old.safetensors", "--scheme", "torchvision-2017"))
        self.assertIn("features.denseblock1.denselayer1.norm.1.weight", self.read("old.safetensors"))
        self.succeeds("export", "old.safetensors", "again.safetensors")
        with open(self.path("ours.safetensors"), "rb") as a, open(self.path("again.safetensors"), "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_a_run_begins_with_them_and_is_exported(self):
        self.shapes()
        train = ["train", "--dataset", "shapes", "--data-dir", "shapes", "--model", NAME, "--epochs", "1", "--max-steps", "1", "--batch-size", "16"]
        printed = self.succeeds(*train, "--weights", WEIGHTS, "--lr", "0", "--momentum", "0", "--no-nesterov", "--output", "run")
        self.assertIn("weights    of " + WEIGHTS + ": 47 tensors, under 'model.'\n", printed)
        printed = self.succeeds("export", "run/state.safetensors", "run.safetensors")
        self.assertIn("densenet_bc10_4 for 10 classes, 2666 parameters, torchvision names", printed)
        theirs, ours = safetensors_numpy.read(WEIGHTS), self.read("run.safetensors")
        self.assertEqual(len(ours), 47)
        for name, value in ours.items():
            self.assertEqual(numpy.array_equal(value, theirs["model." + name]), "running" not in name, name)

    def test_evaluation_of_weights_that_name_no_model(self):
        self.shapes()
        words = ["eval", "--weights", WEIGHTS, "--data-dir", "shapes", "--dataset", "shapes"]
        self.assertIn("densenet_bc10_4 on shapes: 32 images", self.succeeds(*words, "--model", NAME))
        self.fails(1, "does not say which model it is for: give --model", *words)
        self.fails(1, ["does not hold the weights of this network", "give the --model"], *words, "--model", "densenet_bc16_4")

    def test_other_classes(self):
        self.shapes()
        weights = safetensors_numpy.read(WEIGHTS)
        for part in ("weight", "bias"):
            weights["model.classifier." + part] = weights["model.classifier." + part][:7]
        safetensors_numpy.write(self.path("seven.safetensors"), weights)
        train = ["train", "--dataset", "shapes", "--data-dir", "shapes", "--model", NAME, "--epochs", "1", "--max-steps", "1", "--weights", "seven.safetensors"]
        done = self.run_isda(*train, "--output", "run")
        self.assertEqual(done.returncode, 1)
        self.assertIn("tells 7 classes apart and 10 are asked for", done.stderr)
        self.assertIn("--weights-without-classifier", done.stderr)
        self.assertIn("all but the last layer", self.succeeds(*train, "--weights-without-classifier", "--output", "other"))
        self.fails(1, "tells 7 classes apart", "eval", "--weights", "seven.safetensors", "--data-dir", "shapes", "--dataset", "shapes", "--model", NAME)
        self.fails(2, "--no-init-classifier goes with --init", *train[:-2], "--weights-without-classifier")
        self.assertIn("7 classes", self.succeeds("export", "seven.safetensors", "out.safetensors", "--model", NAME))

    def test_what_cannot_be_is_told(self):
        self.write_images()
        self.fails(1, "there is no model 'densenet'", "logits", "images.safetensors", "out.safetensors", "--weights", WEIGHTS, "--model", "densenet")
        safetensors_numpy.write(self.path("channels_last.safetensors"), {"images": numpy.zeros((2, 16, 16, 3), numpy.float32)})
        self.fails(1, "images is (2,16,16,3), expected (N,3,H,W)", "logits", "channels_last.safetensors", "out.safetensors", "--weights", WEIGHTS, "--model", NAME)
        self.fails(1, "has no tensor \"images\"", "logits", WEIGHTS, "out.safetensors", "--weights", WEIGHTS, "--model", NAME)
        self.fails(2, "'tim' is none of torchvision, timm", "export", WEIGHTS, "out.safetensors", "--model", NAME, "--scheme", "tim")


if __name__ == "__main__":
    program.main()
