#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the files that a page holds: every ```cpp block whose first line is `// file: PATH`, without that line, to DIR/PATH.

    tests/docs/extract_files.py docs/adding_an_operation.md DIR

Prints the paths, one a line. A file that would not change is not touched, so that nothing is compiled again.
"""
import os
import re
import sys


def files_of(text):
    """path -> contents"""
    return {match.group(1): match.group(2) for match in re.finditer(r"^```cpp\n// file: (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)}


def main(page, folder):
    with open(page, encoding="utf-8") as file:
        files = files_of(file.read())
    for path, contents in files.items():
        target = os.path.join(folder, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target) or open(target, encoding="utf-8").read() != contents:
            with open(target, "w", encoding="utf-8") as file:
                file.write(contents)
        print(path)
    if not files:
        sys.exit(f"{page}: no ```cpp block begins with '// file: PATH'")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
