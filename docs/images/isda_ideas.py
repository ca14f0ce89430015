# SPDX-License-Identifier: Apache-2.0
"""The pictures of docs/isda.md that show mathematics, drawn from the example (isda_example.py). A function a picture."""
import isda_example as example
import numpy
from drawing import Picture, Plot
from isda_example import CAR, CAT, DOG, FEATURE, KINDS, MEAN, NAMES, WEIGHT


def cloud(plot, label, random, count=26):
    """A class: its ellipse of two standard deviations, and some features."""
    picture = plot.picture
    picture.path([plot.at(*point) for point in example.ellipse(MEAN[label], example.COVARIANCE[label])], f"{KINDS[label]} soft", close=True)
    plot.dots(MEAN[label] + random.normal(size=(count, 2)) @ numpy.linalg.cholesky(example.COVARIANCE[label]).T, f"{KINDS[label]} faint")


def boundary(plot, rival, kind, shift=0.0):
    """Where the logits of cat and a rival, raised by `shift`, are the same."""
    v = WEIGHT[rival] - WEIGHT[CAT]
    along, across = -shift * v / (v @ v), numpy.array([-v[1], v[0]]) / numpy.sqrt(v @ v)
    (x0, x1), (y0, y1) = plot.x_range, plot.y_range
    inside = [along + t * across for t in numpy.linspace(-9, 9, 1801)]
    inside = [(x, y) for x, y in inside if x0 <= x <= x1 and y0 <= y <= y1]
    plot.curve(*zip(inside[0], inside[-1]), kind)


def idea():
    random = numpy.random.default_rng(3)
    picture = Picture(960, 430, "Translating a feature along the directions of its class", "Left: features of cats, dogs and cars as three clouds with the ellipses of "
                      "their covariances, and the three weight vectors of the last layer. Right: one cat's feature, moved by draws from the covariance of cats; "
                      "some of the draws lie where a dog's logit is higher, hardly one where a car's is.")
    picture.panel(8, 8, 466, 414, "Features of three classes", "clouds, ellipses of two deviations, and the rows of W")
    left = Plot(picture, 26, 76, 430, 330, (-5.2, 4.4), (-3.7, 3.7))
    for label in (CAT, DOG, CAR):
        cloud(left, label, random)
    for label, (dx, dy) in ((CAT, (-4, 28)), (DOG, (-52, 0)), (CAR, (-44, -14))):
        tip = 1.35 * WEIGHT[label]
        left.arrow((0, 0), tip, f"{KINDS[label]} bold")
        x, y = left.at(*tip)
        picture.formula(x + dx, y + dy, f"w_{{{NAMES[label]}}}", KINDS[label])
    for label, place in ((CAT, (-4.7, 1.9)), (DOG, (2.4, 3.25)), (CAR, (2.5, -2.9))):
        picture.text(*left.at(*place), NAMES[label] + "s", f"name {KINDS[label]}")
    picture.panel(486, 8, 466, 414, "One cat, moved the way cats vary", "40 draws from Normal(a, ratio Σ of cats), ratio 0.5")
    right = Plot(picture, 504, 76, 430, 330, (-4.2, 2.6), (-2.0, 3.2))
    cloud_of_draws = example.ellipse(FEATURE, 0.5 * example.COVARIANCE[CAT])
    picture.path([right.at(*point) for point in cloud_of_draws], "first soft", close=True)
    for rival in (DOG, CAR):
        boundary(right, rival, f"{KINDS[rival]} line dashed")
    points = example.draws(random, 40, 0.5)
    right.dots(points, "first faint", 3.5)
    order = numpy.argsort((points - FEATURE) @ example.LONG)
    for point in points[order[[0, 3, -1, -3]]]:
        right.arrow(FEATURE, point, "first")
    right.dots([FEATURE], "first", 6)
    x, y = right.at(*FEATURE)
    picture.formula(x - 6, y + 38, "a")
    picture.text(*right.at(-0.6, 2.75), "a dog's logit is higher here", f"quiet {KINDS[DOG]}")
    picture.text(*right.at(-2.0, -1.8), "a car's logit is higher here", f"quiet {KINDS[CAR]}")
    return picture


def bound():
    ratio, runs, most = 0.5, 12, 100000
    random = numpy.random.default_rng(5)
    counts = numpy.unique(numpy.round(numpy.logspace(0, numpy.log10(most), 90)).astype(int))
    plain, exact, closed = example.bound(0), example.expected(ratio), example.bound(ratio)
    picture = Picture(960, 410, "The sampled loss against the closed form", f"Left: the mean loss of M draws for M from 1 to {most}, twelve times; it settles at the expected loss {exact:.3f}, "
                      f"which lies below the bound {closed:.3f} and above the loss without augmentation {plain:.3f}. Right: the logarithm is concave, so the mean of logarithms lies below the logarithm of the mean.")
    picture.panel(8, 8, 606, 394, "The loss of M draws settles below the closed form", f"the cat of the picture above, ratio {ratio}; {runs} sequences of draws, numpy's seed 5")
    plot = Plot(picture, 64, 92, 372, 250, (0, 5), (0, 1.25))
    plot.axes([(e, label) for e, label in enumerate(("1", "10", "100", "1000", "10⁴", "10⁵"))], [(v, f"{v:g}") for v in (0, 0.25, 0.5, 0.75, 1)], "M, the number of draws", "loss")
    for _ in range(runs):
        values = example.losses(example.draws(random, most, ratio))
        means = numpy.cumsum(values)[counts - 1] / counts
        plot.curve(numpy.log10(counts), numpy.minimum(means, 1.25), "first thin")
    for value, kind, name in ((closed, "second", "closed form"), (exact, "first", "expected loss"), (plain, "plain", "without draws")):
        plot.curve((0, 5), (value, value), f"{kind} line bold")
        x, y = plot.at(5, value)
        picture.text(x + 10, y + 5, f"{value:.3f}  {name}", kind)
    picture.panel(626, 8, 326, 394, "Where the inequality enters", "log is concave: E log X ≤ log E X")
    curve = Plot(picture, 664, 92, 262, 250, (0, 8), (0, 2.3))
    xs = numpy.linspace(1, 8, 80)
    curve.axes([(1, "1")], [], "X = Σ exp of differences of logits, at least 1", "log X")
    curve.curve(xs, numpy.log(xs), "ink")
    low, high = 1.3, 7.1
    middle = (low + high) / 2
    curve.curve((low, high), (numpy.log(low), numpy.log(high)), "first line")
    curve.dots([(low, numpy.log(low)), (high, numpy.log(high)), (middle, (numpy.log(low) + numpy.log(high)) / 2)], "first", 4)
    curve.dots([(middle, numpy.log(middle))], "second", 4)
    x, y = curve.at(middle, numpy.log(middle))
    picture.text(x - 8, y - 8, "log E X", "second", "end")
    x, y = curve.at(middle, (numpy.log(low) + numpy.log(high)) / 2)
    picture.text(x + 8, y + 18, "E log X", "first")
    return picture


def margin():
    ratio = 0.5
    corrections = example.correction(ratio)
    picture = Picture(960, 420, "The correction as a margin", "Left: the cloud of cats with the directions from cat to dog, along which cats vary much, and from cat to car, along which they vary little; the boundaries without and with "
                      "the correction: the one to the dogs has moved towards the cats by 0.58, the one to the cars by 0.08. Right: the same as a table of bars.")
    picture.panel(8, 8, 556, 404, "Where cats vary, the boundary keeps its distance", "dashed: equal logits; solid: equal logits with the correction, ratio 0.5")
    plot = Plot(picture, 26, 72, 520, 330, (-5.2, 2.9), (-2.2, 2.94))
    random = numpy.random.default_rng(3)
    cloud(plot, CAT, random)
    for rival in (DOG, CAR):
        boundary(plot, rival, f"{KINDS[rival]} line dashed")
        boundary(plot, rival, f"{KINDS[rival]} line bold", corrections[rival])
        plot.arrow(MEAN[CAT], MEAN[CAT] + (WEIGHT[rival] - WEIGHT[CAT]), KINDS[rival])
    picture.formula(*plot.at(-0.6, 1.25), "w_{dog} − w_{cat}", KINDS[DOG])
    picture.formula(*plot.at(-2.0, -0.75), "w_{car} − w_{cat}", KINDS[CAR], "end")
    picture.text(*plot.at(-4.9, 1.35), "cats", "name first")
    picture.panel(576, 8, 376, 404, "Both rivals are equally far", "|w_{dog} − w_{cat}| = |w_{car} − w_{cat}| = 1.6")
    rows = [("variance of cats that way", lambda j: (WEIGHT[j] - WEIGHT[CAT]) @ example.COVARIANCE[CAT] @ (WEIGHT[j] - WEIGHT[CAT]) / 1.6**2),
            ("(ratio/2) Q: added to the logit", lambda j: corrections[j]),
            ("shift of the boundary", lambda j: corrections[j] / 1.6)]
    for i, (name, value) in enumerate(rows):
        top = 92 + 104 * i
        picture.text(594, top, name)
        for k, rival in enumerate((DOG, CAR)):
            y = top + 14 + 30 * k
            picture.text(594, y + 15, NAMES[rival], f"quiet {KINDS[rival]}")
            picture.add("rect", f"{KINDS[rival]} soft", x=630, y=y, width=150 * value(rival), height=20)
            picture.text(638 + 150 * value(rival), y + 15, f"{value(rival):.2f}")
    return picture


def merge(n, mean, covariance, samples):
    """The update of kernels/isda/isda.h."""
    m, nu = len(samples), samples.mean(axis=0)
    w, centred = m / (n + m), samples - nu
    shift = mean - nu
    return n + m, mean - w * shift, (1 - w) * covariance + w * centred.T @ centred / m + w * (1 - w) * numpy.outer(shift, shift)


def statistics():
    random = numpy.random.default_rng(11)
    root = numpy.linalg.cholesky(example.covariance_of(25, 1.15, 0.5))
    seen = numpy.array([-1.2, -0.5]) + random.normal(size=(24, 2)) @ root.T
    batch = numpy.array([1.1, 0.8]) + random.normal(size=(8, 2)) @ root.T * 0.8
    n, mean, covariance = merge(0, numpy.zeros(2), numpy.zeros((2, 2)), seen)
    nu, V = batch.mean(axis=0), numpy.cov(batch.T, bias=True)
    total, merged_mean, merged = merge(n, mean, covariance, batch)
    together = numpy.concatenate([seen, batch])
    assert numpy.allclose(merged, numpy.cov(together.T, bias=True)) and numpy.allclose(merged_mean, together.mean(axis=0)) and total == 32
    within = 0.75 * covariance + 0.25 * V
    picture = Picture(960, 300, "A batch is merged into a class", "Left: 24 samples seen, with their mean and ellipse, and a batch of 8 with its own. Middle: the ellipse of the two covariances' weighted mean alone is too small. "
                      "Right: with the term of the shift between the means it is the ellipse of all 32 samples.")
    panels = ((8, "Before, and a batch", "n = 24 seen; m = 8, so w = 1/4"), (326, "The mean of both is too small", "(1−w) S + w V"),
              (644, "With the shift it is exact", "+ w (1−w) (μ−ν)(μ−ν)ᵀ"))
    for i, (x, step, quiet) in enumerate(panels):
        picture.panel(x, 8, 308, 284, step, quiet)
        plot = Plot(picture, x + 14, 70, 280, 212, (-3.6, 3.0), (-2.3, 2.7))
        plot.dots(seen, "first faint")
        plot.dots(batch, "second faint")
        if i == 0:
            for centre, matrix, kind in ((mean, covariance, "first"), (nu, V, "second")):
                picture.path([plot.at(*p) for p in example.ellipse(centre, matrix)], f"{kind} soft", close=True)
                plot.dots([centre], kind, 5)
            picture.formula(*plot.at(mean[0] - 0.9, mean[1] + 0.8), "μ, S", "first", "end")
            picture.formula(*plot.at(nu[0] + 0.5, nu[1] + 0.9), "ν, V", "second")
            plot.arrow(nu, mean)
        else:
            shown = within if i == 1 else merged
            picture.path([plot.at(*p) for p in example.ellipse(merged_mean, shown)], f"{'plain' if i == 1 else 'third'} soft", close=True)
            plot.dots([merged_mean], "plain" if i == 1 else "third", 5)
        if i == 2:
            picture.path([plot.at(*p) for p in example.ellipse(merged_mean, within)], "plain line dashed", close=True)
    return picture


def diagonal():
    full = example.COVARIANCE[CAT]
    axis_aligned = numpy.diag(numpy.diag(full))
    angles = numpy.linspace(0, 180, 181)
    directions = numpy.stack([numpy.cos(numpy.radians(angles)), numpy.sin(numpy.radians(angles))], axis=1)
    variance = lambda S: ((directions @ S) * directions).sum(axis=1)  # pylint: disable=unnecessary-lambda-assignment
    picture = Picture(960, 400, "What a diagonal covariance loses", "Left: the ellipse of cats, and the one with the same variances and no correlation, whose axes are those of the features. Right: the quadratic form for a difference "
                      "of length one over its direction: the diagonal form is below at 35 degrees, where cats vary most, and above at 125 degrees, where they vary least.")
    picture.panel(8, 8, 420, 384, "The same variances, no correlations", "ellipses of two deviations")
    plot = Plot(picture, 30, 74, 376, 300, (-5.1, 1.4), (-2.2, 3.0))
    for matrix, kind in ((full, "first soft"), (axis_aligned, "second line dashed")):
        picture.path([plot.at(*p) for p in example.ellipse(MEAN[CAT], matrix)], kind, close=True)
    for rival in (DOG, CAR):
        plot.arrow(MEAN[CAT], MEAN[CAT] + 1.2 * (WEIGHT[rival] - WEIGHT[CAT]) / 1.6, "plain")
    picture.text(*plot.at(-1.75, 1.05), "to dogs", "quiet", "end")
    picture.text(*plot.at(-2.1, -0.4), "to cars", "quiet", "end")
    picture.text(*plot.at(-4.9, -1.85), "full", "name first")
    picture.text(*plot.at(-4.1, -1.85), "diagonal", "name second")
    picture.panel(440, 8, 512, 384, "Q of a difference of length 1, over its direction", "the bars of section 3 are at 35° and 125°")
    chart = Plot(picture, 500, 92, 420, 232, (0, 180), (0, 1.6))
    chart.axes([(v, f"{v}°") for v in (0, 35, 90, 125, 180)], [(v, f"{v:g}") for v in (0, 0.5, 1, 1.5)], "direction of w_j − w_c", "Q")
    chart.curve(angles, variance(full), "first line bold")
    chart.curve(angles, variance(axis_aligned), "second line bold")
    for angle in (35, 125):
        values = [variance(S)[angle] for S in (full, axis_aligned)]
        for value, kind in zip(values, ("first", "second")):
            chart.dots([(angle, value)], kind, 4)
            x, y = chart.at(angle, value)
            picture.text(x, y + (22 if kind == "first" and angle == 125 else -10), f"{value:.2f}", kind, "middle")
    return picture


def strength():
    ratios = numpy.linspace(0, 2, 41)
    exact, closed = [example.expected(r) for r in ratios], [example.bound(r) for r in ratios]
    random = numpy.random.default_rng(7)
    cats = MEAN[CAT] + random.normal(size=(2000, 2)) @ numpy.linalg.cholesky(example.COVARIANCE[CAT]).T
    logit = numpy.abs(cats @ WEIGHT.T).mean()
    share = lambda r: example.correction(r)[[DOG, CAR]].mean() / logit  # pylint: disable=unnecessary-lambda-assignment
    picture = Picture(960, 400, "How strong", "Left: the ratio over 16 epochs for lambda_0 0.5 and 0.25, a staircase from 0. Right: the expected loss and its bound over the ratio, and below the ratio the mean correction as a share of the mean "
                      "size of a logit: the bound leaves the expectation as the share grows.")
    picture.panel(8, 8, 376, 384, "ratio = λ₀ · epoch / epochs", "a step an epoch, from 0; here 16 epochs")
    left = Plot(picture, 62, 92, 296, 232, (0, 16), (0, 0.6))
    left.axes([(v, str(v)) for v in (0, 4, 8, 12, 16)], [(v, f"{v:g}") for v in (0, 0.25, 0.5)], "epochs finished", "ratio")
    for lambda_0, kind in ((0.5, "second"), (0.25, "first")):
        steps = [(e + end, lambda_0 * e / 16) for e in range(16) for end in (0, 1)]
        left.curve(*zip(*steps), f"{kind} line")
        picture.formula(*left.at(*((8.6, 0.36) if lambda_0 == 0.5 else (14.6, 0.13))), f"λ_0 = {lambda_0}", kind, "end")
    picture.panel(396, 8, 556, 384, "The bound over the ratio", "the example's cat; share = mean correction / mean |logit|, over 2000 cats")
    right = Plot(picture, 446, 92, 380, 210, (0, 2), (0, 2.75))
    right.axes([(v, f"{v:g}") for v in (0, 0.5, 1, 1.5, 2)], [(v, f"{v:g}") for v in (0, 1, 2)], "", "loss")
    picture.text(846, right.y + 228, "ratio", "quiet")
    picture.text(846, right.y + 252, "share", "quiet")
    for ratio in (0, 0.5, 1, 1.5, 2):
        x, _ = right.at(ratio, 0)
        picture.text(x, right.y + 252, f"{share(ratio):.2f}", "quiet", "middle")
    right.curve(ratios, closed, "second line bold")
    right.curve(ratios, exact, "first line bold")
    for values, kind, name in ((closed, "second", "closed form"), (exact, "first", "expected loss")):
        x, y = right.at(2, values[-1])
        picture.text(x + 8, y + 5, name, kind)
    return picture


PICTURES = {"isda_1_idea": idea, "isda_2_bound": bound, "isda_3_margin": margin, "isda_4_statistics": statistics, "isda_8_diagonal": diagonal, "isda_9_strength": strength}
