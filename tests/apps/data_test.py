#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`isda data`: make-shapes writes what info reads, the same seed the same bytes.   data_test.py PROGRAM"""
import os

import program


class DataTest(program.ProgramTest):
    def files(self, folder):
        result = {}
        for name in sorted(os.listdir(os.path.join(self.folder, folder))):
            with open(os.path.join(self.folder, folder, name), "rb") as file:
                result[name] = file.read()
        return result

    def make(self, folder, *words):
        return self.succeeds("data", "make-shapes", "--output", folder, "--train", "60", "--test", "20", *words)

    def test_same_seed_same_bytes(self):
        self.assertIn("60 training and 20 test images of seed 3 are in a", self.make("a", "--seed", "3"))
        self.make("b", "--seed", "3")
        self.make("c", "--seed", "4")
        first = self.files("a")
        self.assertEqual(first, self.files("b"))
        self.assertNotEqual(first, self.files("c"))
        self.assertEqual(sum(len(content) for name, content in first.items() if name.startswith("data_batch")), 60 * 3073)
        self.assertEqual(len(first["test_batch.bin"]), 20 * 3073)
        self.assertIn("factors.csv", first)

    def test_info_counts_the_classes(self):
        self.make("a")
        text = self.succeeds("data", "info", "--dataset", "shapes", "--data_dir", "a")
        for word in ["60", "20", "circle", "hourglass"]:
            self.assertIn(word, text)

    def test_wrong_usage(self):
        self.fails(2, ["isda data info: --dataset: 'cifar11' is none of", "did you mean cifar10?"], "data", "info", "--dataset", "cifar11")
        self.fails(2, "isda data make-shapes: --output is required", "data", "make-shapes")
        self.fails(2, "isda data make-shapes: --train", "data", "make-shapes", "--output", "a", "--train", "0")

    def test_missing_files(self):
        self.fails(1, "isda data info: [cifar10]", "data", "info", "--dataset", "cifar10", "--data-dir", "nowhere")


if __name__ == "__main__":
    program.main()
