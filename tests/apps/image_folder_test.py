#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`isda` on folders of JPEG files: info, training, corrupt files.   image_folder_test.py PROGRAM

The files are those of tests/golden/images.safetensors.
"""
import json
import os
import re
import sys

import program

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden"))
import safetensors_numpy  # noqa: E402

GOLDEN = safetensors_numpy.read(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden", "images.safetensors"))
KINDS = ["baseline", "sharp", "wide", "progressive", "gray", "cmyk"]


class ImageFolderTest(program.ProgramTest):
    def setUp(self):
        super().setUp()
        for split, count in [("train", 12), ("val", 4)]:
            for i in range(count):
                self.write(f"tree/{split}/{'ab'[i % 2]}/{i:02}.JPEG", GOLDEN[KINDS[i % 6] + ".jpg"].tobytes())

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, content):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(content)

    def words(self, *more, output="run"):
        return ["train", "--dataset", "imagefolder", "--data-dir", "tree", "--model", "resnet8", "--image-size", "16", "--resize", "20", "--batch-size", "5",
                "--epochs", "2", "--log-steps", "1", "--output", output, *more]

    def read(self, *names):
        with open(self.path(*names), "rb") as file:
            return file.read()

    def test_info(self):
        printed = self.succeeds("data", "info", "--dataset", "imagefolder", "--data-dir", "tree", "--limit", "3", "--image-size", "32", "--resize", "32")
        for text in ["imagefolder: 12 training and 4 test images, brought to a size of 32x32x3, 2 classes", "measured on 3 of the training images",
                     "they differ by at most", "    1  b            6        2"]:
            self.assertIn(text, printed)
        self.fails(1, ["isda data info: [imagenet]", "expected 1000"], "data", "info", "--dataset", "imagenet", "--data-dir", "tree")

    def test_a_run_is_the_same_with_any_workers_and_evaluated_as_it_was_trained(self):
        self.succeeds(*self.words("--validation", "4"))
        self.succeeds(*self.words("--validation", "4", "--workers", "3", output="again"))
        self.assertEqual(self.read("run", "steps.csv"), self.read("again", "steps.csv"))
        self.assertEqual(self.read("run", "last.safetensors"), self.read("again", "last.safetensors"))
        row = self.read("run", "metrics.csv").decode().splitlines()[2].split(",")
        evaluation = ["eval", "--checkpoint", "run/last.safetensors", "--data-dir", "tree"]
        said = re.search(r"4 held-out images, loss ([\d.]+),", self.succeeds(*evaluation, "--split", "validation"))
        self.assertAlmostEqual(float(said[1]), float(row[6]), delta=1e-5 * float(row[6]))
        self.assertNotEqual(self.succeeds(*evaluation), self.succeeds(*evaluation, "--image-size", "12"))
        self.fails(2, "--resize is 8, expected --image-size, which is 224, or more", "train", "--dataset", "imagefolder", "--resize", "8")

    def test_corrupt_images(self):
        self.write("tree/train/a/04.JPEG", self.read("tree/train/a/04.JPEG")[:-40])
        done = self.run_isda(*self.words())
        self.assertEqual(done.returncode, 1)
        for text in ["isda train: [tree/train/a/04.JPEG] is no whole JPEG: it is truncated", "replace or remove it, or train with --on-corrupt skip"]:
            self.assertIn(text, done.stderr)
        printed = self.succeeds(*self.words("--resume", "--on-corrupt", "skip"))
        self.assertEqual(printed.count("corrupt    1 images of epoch"), 2)
        self.assertIn("the first: [tree/train/a/04.JPEG] is no whole JPEG", printed)
        self.assertEqual(json.loads(self.read("run", "config.json"))["on_corrupt"], "skip")
        self.succeeds(*self.words("--on-corrupt", "skip", "--workers", "0", output="again"))
        self.assertEqual(self.read("run", "steps.csv"), self.read("again", "steps.csv"))
        # An image of evaluation that cannot be decoded is no figure.
        self.write("tree/val/b/01.JPEG", b"\x89PNG\r\n\x1a\n and so on")
        done = self.run_isda("eval", "--checkpoint", "run/last.safetensors", "--data-dir", "tree")
        self.assertEqual(done.returncode, 1)
        self.assertIn("[tree/val/b/01.JPEG] is a PNG image, expected a JPEG: convert it; replace or remove it\n", done.stderr)


if __name__ == "__main__":
    program.main()
