#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of docs/isda.md, isda_1_idea.svg to isda_9_strength.svg. Needs numpy; every random number has a seed.

    docs/images/draw_isda.py [FOLDER]      into FOLDER, or where this script lies
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import isda_ideas
import isda_machine

PICTURES = {**isda_ideas.PICTURES, **isda_machine.PICTURES}


def main(arguments):
    if len(arguments) > 1 or arguments[:1] == ["--help"]:
        print(__doc__)
        return 0 if arguments[:1] == ["--help"] else 2
    for name, draw in sorted(PICTURES.items()):
        with open(os.path.join(*(arguments or [HERE]), name + ".svg"), "w", encoding="utf-8") as file:
            file.write(draw().svg())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
