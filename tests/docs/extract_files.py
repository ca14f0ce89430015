#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does to a copy of the tree what a page tells one to do by hand.

    tests/docs/extract_files.py docs/adding_a_network.md DIR     prints the paths, one a line
    tests/docs/extract_files.py --self-test

A ```cpp block whose first line is `// file: PATH` is written, without that line, to DIR/PATH. One that begins with `// in: PATH, below: TEXT` has its lines put
below the one line of the tree's PATH that holds TEXT, in a copy at DIR/PATH. A file that would not change is not touched, so that nothing is compiled again.
"""
import os
import re
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BLOCK = re.compile(r"^```cpp\n// (file|in): (\S+?)(?:, below: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def put_below(text, place, lines, path):
    """`text` with `lines` below its one line that holds `place`. Raises ValueError where there is none, or more than one."""
    rows = text.splitlines(keepends=True)
    found = [number for number, row in enumerate(rows) if place in row]
    if len(found) != 1:
        raise ValueError(f"{path}: {len(found)} lines hold '{place}', not one")
    return "".join(rows[: found[0] + 1]) + lines + "".join(rows[found[0] + 1 :])


def files_of(text, read):
    """path -> contents; read(path) gives a file of the tree."""
    files = {}
    for kind, path, place, contents in (match.groups() for match in BLOCK.finditer(text)):
        if kind == "file":
            files[path] = contents
        else:
            files[path] = put_below(files.get(path) or read(path), place, contents, path)
    return files


def read_of_tree(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def main(page, folder):
    with open(page, encoding="utf-8") as file:
        files = files_of(file.read(), read_of_tree)
    for path, contents in files.items():
        target = os.path.join(folder, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target) or open(target, encoding="utf-8").read() != contents:
            with open(target, "w", encoding="utf-8") as file:
                file.write(contents)
        print(path)
    if not files:
        sys.exit(f"{page}: no ```cpp block begins with '// file: PATH' or '// in: PATH, below: TEXT'")


class SelfTest(unittest.TestCase):
    TREE = {"list.cpp": "begin {\n  one,\n  two,\n};\n"}

    def files(self, text):
        return files_of(text, self.TREE.__getitem__)

    def test_a_file(self):
        self.assertEqual(self.files("words\n```cpp\n// file: a/b.h\nint x;\n```\n```cpp\nint y;\n```\n"), {"a/b.h": "int x;\n"})

    def test_lines_below_others(self):
        block = "```cpp\n// in: list.cpp, below: {place}\n  new,\n```\n"
        self.assertEqual(self.files(block.format(place="one,")), {"list.cpp": "begin {\n  one,\n  new,\n  two,\n};\n"})
        twice = block.format(place="begin {") + block.format(place="two,")
        self.assertEqual(self.files(twice), {"list.cpp": "begin {\n  new,\n  one,\n  two,\n  new,\n};\n"})
        for place in ["three,", ","]:
            with self.assertRaisesRegex(ValueError, "list.cpp: [02] lines hold"):
                self.files(block.format(place=place))


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        unittest.main(argv=[sys.argv[0]])
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
