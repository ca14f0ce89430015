# SPDX-License-Identifier: Apache-2.0
"""The example of docs/isda.md: two features, three classes, so that everything can be drawn. Seeded numpy; the formulas of kernels/isda/isda.h.

Cats vary mostly towards dogs: their long axis is the direction of w_dog - w_cat, the short one that of w_car - w_cat, and both differences are 1.6 long.
"""
import numpy

CAT, DOG, CAR = range(3)
NAMES, KINDS = ("cat", "dog", "car"), ("first", "second", "third")


def axes(degrees):
    """Unit vectors along and across a direction, as columns."""
    c, s = numpy.cos(numpy.radians(degrees)), numpy.sin(numpy.radians(degrees))
    return numpy.array([[c, -s], [s, c]])


def covariance_of(degrees, along, across):
    """The covariance whose standard deviations are `along` a direction and `across` it."""
    return axes(degrees) @ numpy.diag([along**2, across**2]) @ axes(degrees).T


LONG, SHORT = axes(35).T
OF_CAT = -1.6 / 3 * (LONG - SHORT)
WEIGHT = numpy.array([OF_CAT, OF_CAT + 1.6 * LONG, OF_CAT - 1.6 * SHORT])
MEAN = numpy.array([[-2.2, 0.4], [1.4, 2.1], [0.6, -2.3]])
COVARIANCE = numpy.array([covariance_of(35, 1.2, 0.45), covariance_of(120, 0.75, 0.4), covariance_of(10, 0.9, 0.35)])
FEATURE = numpy.array([-1.3, 0.55])  # of one cat


def log_sum(z):
    top = z.max(axis=-1, keepdims=True)
    return numpy.log(numpy.exp(z - top).sum(axis=-1)) + top[..., 0]


def losses(features, label=CAT):
    """Cross-entropy of each row of features."""
    z = features @ WEIGHT.T
    return log_sum(z) - z[..., label]


def correction(ratio, label=CAT):
    """(ratio/2) Q[label,j] of every class j."""
    D = WEIGHT - WEIGHT[label]
    return ratio / 2 * ((D @ COVARIANCE[label]) * D).sum(axis=1)


def bound(ratio, feature=FEATURE, label=CAT):
    """The loss in closed form."""
    z = WEIGHT @ feature + correction(ratio, label)
    return log_sum(z) - z[label]


def draws(random, count, ratio, feature=FEATURE, label=CAT):
    """(count,2) from Normal(feature, ratio S)."""
    return feature + numpy.sqrt(ratio) * random.normal(size=(count, 2)) @ numpy.linalg.cholesky(COVARIANCE[label]).T


def expected(ratio, feature=FEATURE, label=CAT):
    """The expected cross-entropy, by Gauss and Hermite's 80 x 80 points: right to all digits shown."""
    nodes, weights = numpy.polynomial.hermite_e.hermegauss(80)
    grid = numpy.stack(numpy.meshgrid(nodes, nodes, indexing="ij"), axis=-1) @ numpy.linalg.cholesky(COVARIANCE[label]).T
    return (losses(feature + numpy.sqrt(ratio) * grid, label) * numpy.outer(weights, weights)).sum() / (2 * numpy.pi)


def ellipse(centre, covariance, deviations=2.0, points=72):
    """Points where a class is so many standard deviations from its mean."""
    angles = numpy.linspace(0, 2 * numpy.pi, points, endpoint=False)
    values, vectors = numpy.linalg.eigh(covariance)
    # NOTE: the symmetric root, which does not depend on the eigenvectors' signs.
    return centre + deviations * numpy.stack([numpy.cos(angles), numpy.sin(angles)], axis=1) @ (vectors * numpy.sqrt(values) @ vectors.T)
