#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`isda data`: make-shapes writes what info reads, the same seed the same bytes.   data_test.py PROGRAM"""
import os
import struct
import zlib

import program


def philox(seed, stream, a, b):
    """kernels/common/philox.h: four words of 32 bits."""
    most = 0xFFFFFFFF
    words = [b & most, b >> 32, a & most, a >> 32]
    key = [seed & most, seed >> 32 ^ stream * 0x85EBCA6B & most]
    for _ in range(10):
        first, second = 0xD2511F53 * words[0], 0xCD9E8D57 * words[2]
        words = [second >> 32 ^ words[1] ^ key[0], second & most, first >> 32 ^ words[3] ^ key[1], first & most]
        key = [key[0] + 0x9E3779B9 & most, key[1] + 0xBB67AE85 & most]
    return words


def cropped(pixels, seed, epoch, index):
    """What training makes of a 32x32 image in an epoch, counted from 0: a crop of the image with 4 pixels reflected around it, perhaps flipped."""
    words = philox(seed, 3, epoch, index)
    top, left, is_flipped = words[0] * 9 >> 32, words[1] * 9 >> 32, words[2] >> 31
    at = [abs(i) if i < 32 else 62 - i for i in range(-4, 36)]
    columns = range(31, -1, -1) if is_flipped else range(32)
    return [pixels[32 * at[h + top] + at[w + left]] for h in range(32) for w in columns]


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

    def picture(self, name):
        """Height, width and the rows of a PNG file of 8 bits red, green, blue, read with zlib alone."""
        with open(os.path.join(self.folder, name), "rb") as file:
            content = file.read()
        self.assertEqual(content[:8], b"\x89PNG\r\n\x1a\n")
        place, chunks = 8, {}
        while place < len(content):
            length, kind = struct.unpack(">I4s", content[place:place + 8])
            data = content[place + 8:place + 8 + length]
            self.assertEqual(struct.unpack(">I", content[place + 8 + length:place + 12 + length])[0], zlib.crc32(kind + data))
            chunks[kind] = chunks.get(kind, b"") + data
            place += 12 + length
        width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
        self.assertEqual((depth, colour, interlaced), (8, 2, 0))
        raw, rows, before = zlib.decompress(chunks[b"IDAT"]), [], bytearray(3 * width)
        for h in range(height):
            begin = h * (3 * width + 1)
            kind, row = raw[begin], bytearray(raw[begin + 1:begin + 1 + 3 * width])
            for i in range(3 * width):
                left, up, corner = (row[i - 3] if i >= 3 else 0), before[i], (before[i - 3] if i >= 3 else 0)
                nearest = min((left, up, corner), key=lambda value: abs(left + up - corner - value))
                row[i] = row[i] + (0, left, up, (left + up) // 2, nearest)[kind] & 255
            rows.append(bytes(row))
            before = row
        return height, width, rows

    def tile(self, rows, row, column):
        """The 32x32 image of a sheet, which shows it twice as large with gaps of 4 pixels."""
        pixels = []
        for h in range(32):
            line = rows[4 + row * 68 + 2 * h]
            self.assertEqual(line, rows[5 + row * 68 + 2 * h])
            for w in range(32):
                begin = 3 * (4 + column * 68 + 2 * w)
                self.assertEqual(line[begin:begin + 3], line[begin + 3:begin + 6])
                pixels.append(line[begin:begin + 3])
        return pixels

    def test_preview(self):
        self.make("a")
        words = ["data", "preview", "--dataset", "shapes", "--data-dir", "a", "--images", "3", "--draws", "2"]
        printed = self.succeeds(*words, "--output", "sheet.png", "--seed", "4")
        self.assertIn("sheet.png: 3 images of shapes, each as it is and in 2 epochs from epoch 1 on, seed 4; 208x208 pixels", printed)
        height, width, rows = self.picture("sheet.png")
        self.assertEqual((height, width), (208, 208))
        self.assertEqual(set(rows[0]), {255})
        # The first column is the images of the file, the others crops of them.
        with open(os.path.join(self.folder, "a", "data_batch_1.bin"), "rb") as file:
            record = file.read(3073)
        planes = [record[1 + 1024 * c:1025 + 1024 * c] for c in range(3)]
        self.assertEqual(self.tile(rows, 0, 0), [bytes(pixel) for pixel in zip(*planes)])
        self.assertNotEqual(self.tile(rows, 0, 1), self.tile(rows, 0, 2))
        for row in range(3):
            for draw in range(2):
                self.assertEqual(self.tile(rows, row, 1 + draw), cropped(self.tile(rows, row, 0), 4, draw, row), (row, draw))
        # The second epoch is the first of a sheet that begins there; other seeds and policies make other images; a hole is of one colour.
        self.succeeds(*words, "--output", "later.png", "--seed", "4", "--epoch", "2")
        self.assertEqual(self.tile(self.picture("later.png")[2], 2, 1), self.tile(rows, 2, 2))
        self.succeeds(*words, "--output", "other.png", "--seed", "5", "--policy", "randaugment:2:9", "--color-jitter", "0.4")
        self.assertNotEqual(self.tile(self.picture("other.png")[2], 0, 1), self.tile(rows, 0, 1))
        self.succeeds(*words, "--output", "hole.png", "--seed", "4", "--no-augment", "--cutout", "32")
        hole = self.picture("hole.png")[2]
        changed = {b for a, b in zip(self.tile(hole, 0, 0), self.tile(hole, 0, 1)) if a != b}
        self.assertEqual(len(changed), 1)
        self.fails(2, "no policy is called 'randaugment'", *words, "--output", "x.png", "--policy", "randaugment")
        self.fails(1, "x.png", *words, "--output", "nowhere/x.png")
        self.assertFalse(os.path.exists(os.path.join(self.folder, "x.png")))

    def test_wrong_usage(self):
        self.fails(2, ["isda data info: --dataset: 'cifar11' is none of", "did you mean cifar10?"], "data", "info", "--dataset", "cifar11")
        self.fails(2, "isda data make-shapes: --output is required", "data", "make-shapes")
        self.fails(2, "isda data make-shapes: --train", "data", "make-shapes", "--output", "a", "--train", "0")

    def test_missing_files(self):
        self.fails(1, "isda data info: [cifar10]", "data", "info", "--dataset", "cifar10", "--data-dir", "nowhere")


if __name__ == "__main__":
    program.main()
