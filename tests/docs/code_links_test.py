#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do the pages' links to lines of code lead where they say? README.md and docs/**/*.md.

    tests/docs/code_links_test.py                 every page
    tests/docs/code_links_test.py docs/isda.md    these pages
    tests/docs/code_links_test.py --fix           writes the new number into links whose line has moved within its file
    tests/docs/code_links_test.py --self-test     checks this check

A link to a line names, as its title, a piece of what stands there:

    [`U_c = D_c S_c`](../kernels/isda/reference.cpp#L113 "times_covariance(d, op.covariance, c)")

The file must exist, and the line must hold the piece, runs of blanks counting as one. #L10-L20 is a range, whose first line holds it. Of several lines
that hold a moved piece, the nearest is taken. Exit status: 0 all well, 1 a link leads elsewhere, 2 wrong usage.
"""
import argparse
import glob
import os
import re
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LINK = re.compile(r'\]\((?P<path>[^()\s#]+)#L(?P<first>\d+)(?:-L(?P<last>\d+))?(?:\s+"(?P<piece>[^"]*)")?\s*\)')


def one_blank(text):
    return re.sub(r"\s+", " ", text).strip()


class Page:
    """The lines of a page, and what is wrong with its links. Findings are (place, words, the line where the piece stands now, or nothing)."""

    def __init__(self, root, path):
        self.root, self.path, self.files = root, path, {}
        with open(os.path.join(root, path), encoding="utf-8") as file:
            self.lines = file.read().splitlines(keepends=True)

    def code(self, target):
        """The lines of a file of the tree, or nothing."""
        if target not in self.files:
            full = os.path.join(self.root, target)
            self.files[target] = None
            if os.path.isfile(full):
                with open(full, encoding="utf-8", errors="replace") as file:
                    self.files[target] = [one_blank(line) for line in file.read().splitlines()]
        return self.files[target]

    def judge(self, link):
        """(words, line): what is wrong with a link, and the line it should name; or nothing."""
        target = os.path.normpath(os.path.join(os.path.dirname(self.path), link["path"]))
        first, last, piece = int(link["first"]), int(link["last"] or link["first"]), one_blank(link["piece"] or "")
        lines = self.code(target)
        if lines is None:
            return f"{target} does not exist", None
        if not piece:
            return f'{target}#L{first}: write what stands on that line behind it: (...#L{first} "a piece of the line")', None
        if last < first:
            return f"{target}#L{first}-L{last}: ends before it begins", None
        if first <= len(lines) and piece in lines[first - 1]:
            return (f"{target}#L{first}-L{last}: there are {len(lines)} lines", None) if last > len(lines) else None
        places = [number for number, line in enumerate(lines, 1) if piece in line]
        if not places:
            return f'no line of {target} holds "{piece}"; link to what took its place', None
        now = min(places, key=lambda number: abs(number - first))
        return f'{target}#L{first} does not hold "{piece}", line {now} does; tests/docs/code_links_test.py --fix writes it', now

    def check(self, fix=False):
        """(number of links, findings); with `fix`, links whose line moved are rewritten, and are no findings."""
        count, findings, is_code, is_changed = 0, [], False, False
        for number, line in enumerate(self.lines):
            if line.startswith("```"):
                is_code = not is_code
            if is_code:
                continue

            def follow(link, number=number):
                nonlocal count, is_changed
                if re.match(r"[a-z]+:", link["path"]):
                    return link[0]
                count += 1
                wrong = self.judge(link)
                if wrong and wrong[1] and fix:
                    is_changed = True
                    moved = f"#L{wrong[1]}" + (f"-L{int(link['last']) + wrong[1] - int(link['first'])}" if link["last"] else "")
                    return link[0].replace(re.match(r"#L\d+(-L\d+)?", link[0][link[0].index("#L") :])[0], moved, 1)
                if wrong:
                    findings.append(f"{self.path}:{number + 1}: {wrong[0]}")
                return link[0]

            self.lines[number] = LINK.sub(follow, line)
        if is_changed:
            with open(os.path.join(self.root, self.path), "w", encoding="utf-8") as file:
                file.write("".join(self.lines))
        return count, findings


class SelfTest(unittest.TestCase):
    """A link that is right passes, each way of being wrong is found, and what moved is mended."""

    CODE = "one\n  two = f(a,  b);\nthree\n  two = f(a, b);\nfive\n"

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        os.makedirs(os.path.join(self.folder.name, "docs"))
        with open(os.path.join(self.folder.name, "code.cpp"), "w", encoding="utf-8") as file:
            file.write(self.CODE)

    def tearDown(self):
        self.folder.cleanup()

    def page(self, text):
        with open(os.path.join(self.folder.name, "docs", "page.md"), "w", encoding="utf-8") as file:
            file.write(text)
        return Page(self.folder.name, "docs/page.md")

    def findings(self, text, fix=False):
        return self.page(text).check(fix)[1]

    def text(self):
        with open(os.path.join(self.folder.name, "docs", "page.md"), encoding="utf-8") as file:
            return file.read()

    def test_right_links(self):
        for link in ['[a](../code.cpp#L1 "one")', '[`f(a)`](../code.cpp#L2 "two = f(a, b)")', '[a](../code.cpp#L2-L4 "two")', '[a](../code.cpp#L4 "f(a, b);"), [b](../code.cpp#L5 "five").']:
            with self.subTest(link):
                self.assertEqual(self.page(link).check()[0], link.count("#L"))
                self.assertEqual(self.findings(link), [])

    def test_other_links_are_no_business_of_this(self):
        for text in ["[a](../code.cpp)", "[a](page.md#part)", "[a](https://example.org/x.cpp#L3)", "```markdown\n[a](../gone.cpp#L3)\n```\n"]:
            with self.subTest(text):
                self.assertEqual(self.page(text).check(), (0, []))

    def test_wrong_links(self):
        for link, words in [('[a](../gone.cpp#L1 "one")', "gone.cpp does not exist"), ("[a](../code.cpp#L1)", "write what stands"), ('[a](../code.cpp#L1 " ")', "write what stands"),
                            ('[a](../code.cpp#L1 "six")', 'holds "six"; link to'), ('[a](../code.cpp#L3 "one")', "line 1 does"), ('[a](../code.cpp#L99 "five")', "line 5 does"),
                            ('[a](../code.cpp#L5 "f(a, b)")', "line 4 does"), ('[a](../code.cpp#L4-L9 "two")', "there are 5 lines"), ('[a](../code.cpp#L4-L2 "two")', "ends before"),
                            ('[a](../code.cpp#L1 "one"), [b](../code.cpp#L2 "three")', "line 3 does"), ('```sh\n```\n[a](../code.cpp#L0 "one")', "line 1 does")]:
            with self.subTest(link):
                found = self.findings(link)
                self.assertEqual(len(found), 1, found)
                self.assertIn(words, found[0])
                self.assertTrue(found[0].startswith(f"docs/page.md:{1 + link.count(chr(10))}: "), found[0])

    def test_fix(self):
        before = 'L3 [a#L3](../code.cpp#L3 "one") and [b](../code.cpp#L1-L3 "two"),\n[c](../code.cpp#L5 "six")\n'
        found = self.findings(before, fix=True)
        self.assertEqual(len(found), 1)
        self.assertIn('"six"', found[0])
        self.assertEqual(self.text(), before.replace("cpp#L3", "cpp#L1", 1).replace("#L1-L3", "#L2-L4"))
        self.assertEqual(len(self.findings(self.text())), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fix", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("pages", nargs="*")
    arguments = parser.parse_args()
    if arguments.self_test:
        return 0 if unittest.main(argv=[sys.argv[0]], exit=False).result.wasSuccessful() else 1
    pages = arguments.pages or ["README.md", *sorted(os.path.relpath(path, ROOT) for path in glob.glob(os.path.join(ROOT, "docs/**/*.md"), recursive=True))]
    links, findings = 0, []
    for page in pages:
        count, wrong = Page(ROOT, page).check(arguments.fix)
        links += count
        findings += wrong
    print("\n".join([*findings, f"code_links: {links} links to lines, {len(findings)} lead elsewhere"]))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
