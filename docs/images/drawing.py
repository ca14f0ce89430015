# SPDX-License-Identifier: Apache-2.0
"""Pictures as SVG text, legible on white and on dark pages: every word stands on a panel that has a ground of its own.

Formulas are written like TeX's: `z_{ij} = w_j^T a_i`. A picture says the same on every machine: coordinates are rounded to a tenth.
"""
import html
import re

# NOTE: colours first, those of dark pages behind them, and what has no fill or no line last: of rules that name one class the last one holds.
STYLE = """
    text { font-family: Helvetica, Arial, "DejaVu Sans", sans-serif; font-size: 14px; fill: #24292f; }
    .quiet { fill: #57606a; } .panel { fill: #f6f8fa; } .box { fill: #ffffff; } .ink { stroke: #24292f; } .ink.head { fill: #24292f; }
    .first { fill: #1f77d0; stroke: #1f77d0; } .second { fill: #c2410c; stroke: #c2410c; } .third { fill: #1a7f37; stroke: #1a7f37; } .plain { fill: #57606a; stroke: #57606a; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; } .quiet { fill: #9da7b3; } .panel { fill: #161b22; } .box { fill: #0d1117; } .ink { stroke: #e6edf3; } .ink.head { fill: #e6edf3; }
      .first { fill: #58a6ff; stroke: #58a6ff; } .second { fill: #f0883e; stroke: #f0883e; } .third { fill: #56d364; stroke: #56d364; } .plain { fill: #9da7b3; stroke: #9da7b3; }
    }
    .step { font-size: 16px; font-weight: bold; } .quiet { font-size: 12.5px; } .name { font-weight: bold; } .sub { font-size: 0.7em; }
    .formula { font-family: Georgia, "Times New Roman", "DejaVu Serif", serif; font-style: italic; font-size: 16px; }
    .panel { stroke: #808a96; stroke-opacity: 0.6; } .box { stroke: #808a96; } .soft { fill-opacity: 0.13; stroke-width: 1.6; } .faint { fill-opacity: 0.45; }
    .ink, .line { fill: none; stroke-width: 1.7; } .thin { fill: none; stroke-width: 1; stroke-opacity: 0.55; } .axis { fill: none; stroke: #808a96; stroke-width: 1; }
    .bold { stroke-width: 2.6; } .dashed { stroke-dasharray: 6 4; } .faint, .dot, .head, text.first, text.second, text.third, text.plain { stroke: none; }
"""
COLOURS = ("first", "second", "third", "plain")


def number(value):
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def formula_spans(formula):
    """`a_i^T` as tspans that go down and up, and come back to the line."""
    spans, at = [], 0
    for sign, group, letter, plain in re.findall(r"([_^])(?:\{([^}]*)\}|(.))|([^_^]+)", formula):
        level = {"_": 4, "^": -6, "": 0}[sign]
        move = f' dy="{level - at}"' if level != at else ""
        small = ' class="sub"' if sign else ""
        spans.append(f"<tspan{small}{move}>{html.escape(plain or group or letter)}</tspan>")
        at = level
    return "".join(spans)


class Picture:
    """What is drawn stands in `parts`, in order. Coordinates are pixels, y downwards."""

    def __init__(self, width, height, title, description):
        self.width, self.height, self.title, self.description, self.parts = width, height, title, description, []

    def add(self, element, kind, **attributes):
        words = "".join(f' {name.replace("_", "-")}="{number(value) if isinstance(value, (int, float)) else value}"' for name, value in attributes.items())
        self.parts.append(f'<{element} class="{kind}"{words}/>')

    def text(self, x, y, words, kind="", anchor="start"):
        """Words, among which a letter may have an index."""
        where = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.parts.append(f'<text class="{kind}" x="{number(x)}" y="{number(y)}"{where}>{formula_spans(words)}</text>')

    def formula(self, x, y, formula, kind="", anchor="start"):
        where = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.parts.append(f'<text class="formula {kind}" x="{number(x)}" y="{number(y)}"{where}>{formula_spans(formula)}</text>')

    def lines(self, x, y, words, kind="quiet", step=19):
        for i, line in enumerate(words.split("\n")):
            self.text(x, y + i * step, line, kind)

    def panel(self, x, y, width, height, step="", quiet=""):
        self.add("rect", "panel", x=x, y=y, width=width, height=height, rx=10)
        if step:
            self.text(x + 18, y + 30, step, "step")
        if quiet:
            self.text(x + 18, y + 53, quiet, "quiet")

    def box(self, x, y, width, height, name="", quiet="", kind="box"):
        self.add("rect", kind, x=x, y=y, width=width, height=height, rx=6)
        middle = x + width / 2
        if name:
            self.formula(middle, y + height / 2 + (5 if not quiet else -4), name, anchor="middle")
        if quiet:
            self.text(middle, y + height / 2 + (5 if not name else 16), quiet, "quiet", "middle")

    def path(self, points, kind, close=False):
        self.add("path", kind, d="M" + "L".join(f"{number(x)} {number(y)}" for x, y in points) + ("Z" if close else ""))

    def arrow(self, begin, end, kind="ink", dashed=False):
        # NOTE: a marker takes the colour of its own class, so there is one for each.
        colour = next((word for word in kind.split() if word in COLOURS), "ink")
        self.add("path", f"{kind} line{' dashed' if dashed else ''}", d="M{} {}L{} {}".format(*map(number, (*begin, *end))), marker_end=f"url(#{colour})")

    def dot(self, x, y, kind, radius=3.0):
        self.add("circle", f"{kind} dot", cx=x, cy=y, r=radius)

    def svg(self):
        heads = "".join(f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
                        f'<path class="{name} head" d="M0 0L10 5L0 10z"/></marker>' for name in (*COLOURS, "ink"))
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" role="img" aria-labelledby="title description">\n'
                f'  <title id="title">{html.escape(self.title)}</title>\n  <desc id="description">{html.escape(self.description)}</desc>\n'
                f"  <style>{STYLE}  </style>\n  <defs>{heads}</defs>\n  " + "\n  ".join(self.parts) + "\n</svg>\n")


class Plot:
    """Data coordinates in a rectangle of a picture, y upwards; of `picture`, at (x,y), `width` by `height`, over the ranges (from, to)."""

    def __init__(self, picture, x, y, width, height, x_range, y_range):
        self.picture, self.x, self.y, self.width, self.height, self.x_range, self.y_range = picture, x, y, width, height, x_range, y_range

    def at(self, x, y):
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        return self.x + (x - x0) / (x1 - x0) * self.width, self.y + (y1 - y) / (y1 - y0) * self.height

    def axes(self, x_ticks, y_ticks, x_name, y_name):
        """Ticks: (value, label)."""
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        self.picture.path([self.at(x0, y1), self.at(x0, y0), self.at(x1, y0)], "axis")
        for value, label in x_ticks:
            x, y = self.at(value, y0)
            self.picture.path([(x, y), (x, y + 4)], "axis")
            self.picture.text(x, y + 18, label, "quiet", "middle")
        for value, label in y_ticks:
            x, y = self.at(x0, value)
            self.picture.path([(x - 4, y), (x, y)], "axis")
            self.picture.text(x - 8, y + 4, label, "quiet", "end")
        self.picture.text(self.x + self.width / 2, self.y + self.height + 36, x_name, "quiet", "middle")
        self.picture.text(self.x - 30, self.y - 10, y_name, "quiet")

    def curve(self, xs, ys, kind):
        self.picture.path([self.at(x, y) for x, y in zip(xs, ys)], kind)

    def dots(self, points, kind, radius=3.0):
        for x, y in points:
            self.picture.dot(*self.at(x, y), kind, radius)

    def arrow(self, begin, end, kind="ink", dashed=False):
        self.picture.arrow(self.at(*begin), self.at(*end), kind, dashed)
