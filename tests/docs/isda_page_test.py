#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does docs/isda.md say what comes out? Its tables are what its programs print, and its pictures what docs/images/draw_isda.py draws.

    tests/docs/isda_page_test.py [test]      needs numpy
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IMAGES = os.path.join(ROOT, "docs", "images")
with open(os.path.join(ROOT, "docs", "isda.md"), encoding="utf-8") as page:
    PAGE = page.read()
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?")
SVG = "{http://www.w3.org/2000/svg}"
FONT_SIZES = {"step": 16, "quiet": 12.5, "formula": 16}


def printed_by(beginning):
    """The lines that the page's program with this in it prints."""
    program = next(text for text in re.findall(r"^python3 - <<'END'\n(.*?)^END$", PAGE, re.MULTILINE | re.DOTALL) if beginning in text)
    return subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, check=True).stdout.splitlines()


def row(beginning):
    """The numbers of the page's table row that begins so."""
    line = next(line for line in PAGE.splitlines() if line.startswith("| " + beginning))
    return numbers(line.removeprefix("| " + beginning))


def numbers(text):
    return [float(number) for number in NUMBER.findall(text)]


def picture(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def differences(one, other):
    """How two pictures differ, where coordinates may do so by the last of their digits; or nothing."""
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return "other shapes or words"
    furthest = max(abs(a - b) for a, b in zip(numbers(one), numbers(other)))
    return f"a number differs by {furthest:.1f}" if furthest > 0.15 else None


def words_outside(svg):
    """Words of a picture that do not lie within one of its panels, taking a letter for half as wide as high."""
    tree = xml.etree.ElementTree.fromstring(svg)
    panels = [[float(rect.get(name)) for name in ("x", "y", "width", "height")] for rect in tree.iter(SVG + "rect") if rect.get("class") == "panel"]
    found = []
    for text in tree.iter(SVG + "text"):
        words, x, y = "".join(text.itertext()), float(text.get("x")), float(text.get("y"))
        width = len(words) * 0.5 * next((size for name, size in FONT_SIZES.items() if name in text.get("class").split()), 14)
        left = x - width * {None: 0, "middle": 0.5, "end": 1}[text.get("text-anchor")]
        if not any(x0 < left and left + width < x0 + w and y0 < y - 8 and y + 4 < y0 + h for x0, y0, w, h in panels):
            found.append(words)
    return found


class IsdaPage(unittest.TestCase):
    def says(self, words):
        # NOTE: not assertIn, which would print the page.
        self.assertTrue(words in PAGE, f"docs/isda.md does not say: {words}")

    def test_table_of_the_two_variances(self):
        for line, beginning in zip(printed_by("by_squares"), ("exact, in f64 |", "merged, in f32 |", r"$\mathbb E[x^2] - \mathbb E[x]^2$, in f32 |")):
            with self.subTest(line):
                self.assertEqual(numbers(line[16:]), row(beginning))

    def test_table_of_counts(self):
        lines = printed_by("for N, C, A in")
        self.assertEqual(len(lines), 5)
        for line in lines:
            with self.subTest(line):
                shape = line.split()[:3]
                self.assertEqual(numbers(line)[3:], row(", ".join(shape) + " |"))

    def test_ratios_of_counts(self):
        ratios = []
        for shape in ("128, 100, 64 |", "256, 1000, 2048 |"):
            N, C, A = map(int, shape[:-2].split(", "))
            K = C * (1 - (1 - 1 / C) ** N)
            ratios.append(f"{(2 * N * C * A**2 + N * C**2 * A) / (K * C * A**2 + (N + K) * A**2):.1f}")
        self.says(f"are {ratios[1]} (last row) to {ratios[0]} times (first row) fewer")

    def test_table_of_errors(self):
        # NOTE: a library's products may round otherwise.
        printed = list(zip(*(numbers(line)[1:] for line in printed_by("expanded ="))))
        for values, beginning in zip(printed, ("difference first |", "expanded |")):
            for value, said in zip(values, row(beginning)):
                self.assertTrue(said / 3 < value < said * 3, f"{value}, the page says {said}")

    def test_pictures(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-B", os.path.join(IMAGES, "draw_isda.py"), folder], check=True)
            self.assertEqual(sorted(os.listdir(folder)), sorted(re.findall(r"images/(isda_\d_\w+\.svg)", PAGE)))
            for name in os.listdir(folder):
                with self.subTest(name):
                    drawn = picture(os.path.join(folder, name))
                    self.assertIsNone(differences(drawn, picture(os.path.join(IMAGES, name))), "run docs/images/draw_isda.py")
                    self.assertEqual(words_outside(drawn), [])

    def test_numbers_of_the_example(self):
        sys.path.insert(0, IMAGES)
        import isda_example as example

        losses = example.bound(0), example.expected(0.5), example.bound(0.5)
        self.says("$" + r" \le ".join(f"{loss:.3f}" for loss in losses) + "$")
        self.says(f"{losses[2]:.3f} for an expected loss of {losses[1]:.3f}")
        self.says(f"{example.bound(2):.3f} for {example.expected(2):.3f}")
        self.assertTrue(example.expected(0.5) - 0.01 < example.losses(example.draws(example.numpy.random.default_rng(1), 200000, 0.5)).mean() < example.expected(0.5) + 0.01)

    def test_this_test_can_fail(self):
        svg = picture(os.path.join(IMAGES, "isda_3_margin.svg"))
        self.assertEqual(differences(svg, svg.replace(">cats<", ">dogs<")), "other shapes or words")
        first = re.search(r'cx="(\d+)', svg)[1]
        self.assertIsNotNone(differences(svg, svg.replace(f'cx="{first}', f'cx="{int(first) + 1}', 1)))
        self.assertEqual(words_outside(svg.replace(">cats<", f">{'cats' * 60}<")), ["cats" * 60])


if __name__ == "__main__":
    unittest.main()
