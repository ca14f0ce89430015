#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does what the pages tell one to type: README.md and docs/**/*.md.

    tests/docs/run_commands.py --program build/ci/isda            every page
    tests/docs/run_commands.py --program build/ci/isda README.md  these pages
    tests/docs/run_commands.py --program build/ci/isda --except docs/adding_a_network.md    every page but that, which makes a program of its own
    tests/docs/run_commands.py --list                             every block, and what becomes of it; runs nothing
    tests/docs/run_commands.py --self-test                        checks this check: needs no program

Every ```sh block is run by `bash -euo pipefail`, the blocks of a page in order, in a folder of the page's own that looks like the tree:
its files are links, build/release/isda is the program given, python3 the one that runs this, which has numpy, and runs/ and data/ are
empty. A block that cannot be run in a test stands under a line  <!-- not run: WHY -->  ; of such a block the syntax is checked, and
that every script, preset and flag it names exists.
Exit status: 0 all well, 1 a block failed, 2 wrong usage.
"""
import argparse
import glob
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NOT_RUN = re.compile(r"<!-- not run: (.+) -->$")
SECONDS_A_BLOCK = 300


class Block:
    """One fenced block: where its text begins, its language, its text, and why it is not run (or nothing)."""

    def __init__(self, page, number, language, reason):
        self.page, self.number, self.language, self.reason, self.text = page, number, language, reason, ""

    def place(self):
        return f"{self.page}:{self.number}"


def blocks_of(page, text):
    """The fenced blocks of a page. Raises ValueError for what could hide commands from the check."""
    found, block, reason = [], None, None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            if block:
                found.append(block)
                block, reason = None, None
            else:
                block = Block(page, number + 1, line[3:].strip(), reason)
                if block.language in ("bash", "shell", "console", "shell-session"):
                    raise ValueError(f"{page}:{number}: write ```sh, so that the block is run")
                if reason and block.language != "sh":
                    raise ValueError(f"{page}:{number}: only a ```sh block can be marked 'not run'")
        elif block:
            block.text += line + "\n"
        elif line.strip():
            match = NOT_RUN.match(line.strip())
            if reason:
                raise ValueError(f"{page}:{number}: no ```sh block follows <!-- not run: {reason} -->")
            reason = match.group(1) if match else None
            if not match and "not run:" in line and "<!--" in line:
                raise ValueError(f"{page}:{number}: write <!-- not run: WHY --> on a line of its own")
    if block:
        raise ValueError(f"{page}:{block.number}: the block has no end")
    return found


def simple_commands(text):
    """The simple commands of a script as lists of words, without assignments before them."""
    for line in text.replace("\\\n", " ").splitlines():
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
            lexer.whitespace_split = True
            tokens = list(lexer)
        except ValueError:
            continue  # a here-document's line; bash -n has judged the syntax
        command = []
        for token in tokens + [";"]:
            if re.fullmatch(r"[|&;()]+", token):
                while command and re.match(r"\w+=", command[0]):
                    command.pop(0)
                if command:
                    yield command
                command = []
            else:
                command.append(token)


class Tree:
    """What the words of a block may name: files of the tree, presets, and the flags of the program."""

    def __init__(self, root, program):
        self.root, self.program, self.helps = root, program, {}

    def help_of(self, subcommand):
        if subcommand not in self.helps:
            run = subprocess.run([self.program, *subcommand, "--help"], capture_output=True, text=True, check=False, timeout=60)
            self.helps[subcommand] = run.stdout if run.returncode == 0 else None
        return self.helps[subcommand]

    def unknown(self, command):
        """What a command names that does not exist, or nothing."""
        name = command[0].removeprefix("./")
        flags = [word.split("=")[0] for word in command[1:] if word.startswith("--") and len(word) > 2]
        if os.path.basename(name) == "isda":
            subcommand = tuple(command[1:3] if command[1:2] == ["data"] else command[1:2])
            if self.program:
                text = self.help_of(subcommand)
                if text is None:
                    return "isda " + " ".join(subcommand)
                for flag in flags:
                    if not re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text):
                        return f"{flag} of isda {' '.join(subcommand)}"
        elif re.match(r"(scripts|tests|bench|tools)/", name):
            path = os.path.join(self.root, name)
            if not os.path.isfile(path):
                return name
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read()
            for flag in flags:
                if flag not in text:
                    return f"{flag} of {name}"
        elif name == "cmake" and "--preset" in command:
            with open(os.path.join(self.root, "CMakePresets.json"), encoding="utf-8") as file:
                presets = [preset["name"] for preset in json.load(file)["configurePresets"]]
            preset = command[command.index("--preset") + 1]
            if preset not in presets:
                return f"preset {preset}"
        return None

    def look_alike(self, folder):
        """Fills `folder` with links to the tree, the program as build/release/isda, and this python3 as build/python/python3."""
        for entry in os.listdir(self.root):
            if entry not in ("build", "runs", "data", ".git"):
                os.symlink(os.path.join(self.root, entry), os.path.join(folder, entry))
        os.makedirs(os.path.join(folder, "build", "release"))
        if self.program:
            os.symlink(os.path.abspath(self.program), os.path.join(folder, "build", "release", "isda"))
        # NOTE: a script, since a link to the python of a virtual environment would not find its packages.
        python = os.path.join(folder, "build", "python", "python3")
        os.makedirs(os.path.dirname(python))
        with open(python, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
        os.chmod(python, 0o755)


def check_only(block, tree):
    """What is wrong with a block that is not run, or nothing."""
    run = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return run.stderr.strip()
    for command in simple_commands(block.text):
        unknown = tree.unknown(command)
        if unknown:
            return f"there is no {unknown}: {' '.join(command)}"
    return None


def run_block(block, folder):
    """What went wrong when the block was run, or nothing."""
    path = os.path.join(folder, "build", "python") + os.pathsep + os.environ.get("PATH", os.defpath)
    environment = {**os.environ, "PATH": path, "OMP_WAIT_POLICY": "passive", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        run = subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=SECONDS_A_BLOCK)
    except subprocess.TimeoutExpired:
        return f"took longer than {SECONDS_A_BLOCK} s:\n{block.text}"
    return f"exit status {run.returncode}\n{block.text}--- printed:\n{run.stdout[-4000:]}" if run.returncode != 0 else None


def check_page(page, text, tree, say=print):
    """Runs or checks the sh blocks of a page; returns how many failed."""
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        tree.look_alike(folder)
        for block in blocks_of(page, text):
            if block.language != "sh":
                continue
            begin = time.monotonic()
            wrong = check_only(block, tree) if block.reason else run_block(block, folder)
            if wrong:
                failures += 1
                say(f"{block.place()}: FAILED: {wrong}")
            elif block.reason:
                say(f"{block.place()}: not run ({block.reason}); checked")
            else:
                say(f"{block.place()}: ran, {time.monotonic() - begin:.1f} s")
    return failures


class SelfTest(unittest.TestCase):
    """A page that is right passes, and each way of being wrong is found."""

    SAID = []

    def failures(self, text, program=None):
        self.SAID.clear()
        return check_page("page.md", text, Tree(ROOT, program), self.SAID.append)

    def test_right_pages(self):
        self.assertEqual(self.failures("words\n```sh\nls LICENSE && mkdir -p runs\n```\n```sh\ntest -d runs\n```\n```cpp\nint x = ;\n```\n"), 0)
        self.assertEqual(self.failures("<!-- not run: long -->\n```sh\n./scripts/test.sh --sanitize thread && cmake --preset ci\nexit 1\n```\n"), 0)
        self.assertIn("not run (long)", self.SAID[0])

    def test_failing_commands(self):
        for script in ["false", "false | cat", "false; true", "echo $undefined_name", "build/release/isda train", "rm LICENSE; cat LICENSE"]:
            with self.subTest(script):
                self.assertEqual(self.failures(f"```sh\n{script}\n```\n"), 1)

    def test_what_is_not_run_is_still_checked(self):
        for script in ["scripts/gone.sh", "X=1 ./scripts/test.sh --gone", "cmake --preset gone", "if true", "true && scripts/gone.sh | cat"]:
            with self.subTest(script):
                self.assertEqual(self.failures(f"<!-- not run: long -->\n```sh\n{script}\n```\n"), 1)

    def test_flags_of_the_program(self):
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "isda")
            with open(program, "w", encoding="utf-8") as file:
                file.write('#!/bin/sh\n[ "$1" = train ] && echo "  --epochs N" || exit 2\n')
            os.chmod(program, 0o755)
            for command, expected in [("train --epochs 3", 0), ("train --epoch 3", 1), ("train --epochs-more 3", 1), ("tray --epochs 3", 1)]:
                with self.subTest(command):
                    self.assertEqual(self.failures(f"<!-- not run: long -->\n```sh\nbuild/release/isda {command}\n```\n", program), expected)

    def test_python3_is_this_one(self):
        with tempfile.TemporaryDirectory() as folder:
            other = os.path.join(folder, "python3")
            with open(other, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\nexit 1\n")
            os.chmod(other, 0o755)
            with unittest.mock.patch.dict(os.environ, {"PATH": folder + os.pathsep + os.environ["PATH"]}):
                self.assertEqual(self.failures(f"```sh\npython3 - <<'END'\nimport sys\nassert sys.executable == {sys.executable!r}\nEND\n```\n"), 0)

    def test_what_would_hide_commands(self):
        for text in ["```bash\ntrue\n```\n", "```sh\ntrue\n", "<!-- not run: why -->\nwords\n```sh\ntrue\n```\n", "see <!-- not run: x -->\n",
                     "<!-- not run: why -->\n```text\nx\n```\n"]:
            with self.subTest(text):
                self.assertRaises(ValueError, blocks_of, "page.md", text)

    def test_the_tree_itself_is_not_written_to(self):
        self.failures("```sh\nmkdir -p runs/only_here\n```\n")
        self.assertFalse(os.path.exists(os.path.join(ROOT, "runs", "only_here")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", help="the program isda")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--except", dest="left_out", action="append", default=[], metavar="PAGE")
    parser.add_argument("pages", nargs="*")
    arguments = parser.parse_args()
    if arguments.self_test:
        return 0 if unittest.main(argv=[sys.argv[0]], exit=False).result.wasSuccessful() else 1
    if not arguments.list and not (arguments.program and os.access(arguments.program, os.X_OK)):
        parser.error(f"--program {arguments.program}: no program there; build it with scripts/build.sh ci")

    pages = arguments.pages or ["README.md", *sorted(os.path.relpath(path, ROOT) for path in glob.glob(os.path.join(ROOT, "docs/**/*.md"), recursive=True))]
    unknown = set(arguments.left_out) - set(pages)
    if unknown:
        parser.error(f"--except {' '.join(sorted(unknown))}: no such page")
    failures = 0
    for page in [page for page in pages if page not in arguments.left_out]:
        with open(os.path.join(ROOT, page), encoding="utf-8") as file:
            text = file.read()
        try:
            if arguments.list:
                for block in blocks_of(page, text):
                    print(f"{block.place()}: {block.language or 'text'}{': not run: ' + block.reason if block.reason else ''}")
            else:
                failures += check_page(page, text, Tree(ROOT, arguments.program))
        except ValueError as error:
            failures += 1
            print(f"FAILED: {error}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
