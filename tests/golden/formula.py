# SPDX-License-Identifier: Apache-2.0
"""The weights, images and labels of the golden curves and logits, from an integer formula that any language repeats bit for bit (README.md)."""
import math

import numpy

STREAM_LABELS, STREAM_NOISE, STREAM_PATTERN, STREAM_DOT = 1001, 1002, 1003, 1004
PIXEL_MEAN, PIXEL_STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)
CLASSES = 10


def bits(stream, indices):
    """64 random bits for every (stream, index): the splitmix64 finaliser of a counter; all arithmetic modulo 2^64."""
    with numpy.errstate(over="ignore"):
        z = (numpy.uint64(stream << 40) + numpy.asarray(indices, dtype=numpy.uint64) + numpy.uint64(1)) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        return z ^ (z >> numpy.uint64(31))


def unit(stream, indices):
    """A multiple of 2^-23 in [-1, 1): the upper 24 bits; exact in float32."""
    return (bits(stream, indices) >> numpy.uint64(40)).astype(numpy.float64) / 2**23 - 1


def parameter_rule(name, shape):
    """(offset, scale) of a parameter: its element e is float32(offset + scale * unit(stream, e))."""
    if name == "fc.weight" or name == "fc.bias":
        return 0.0, 0.125
    if len(shape) == 4:  # (out, in, rows, columns): the variance 2 / (k k out) of He et al., uniform
        return 0.0, math.sqrt(6 / (shape[2] * shape[3] * shape[0]))
    return (1.0, 0.25) if name.endswith("weight") else (0.0, 0.25)


def parameter(stream, name, shape):
    """The float32 array of a parameter; element order is row-major over the shape, for a convolution (out, in, rows, columns)."""
    offset, scale = parameter_rule(name, shape)
    return (offset + scale * unit(stream, numpy.arange(math.prod(shape)))).astype(numpy.float32).reshape(shape)


def labels(first, count):
    """The labels of images first .. first+count-1."""
    return (bits(STREAM_LABELS, numpy.arange(first, first + count)) % numpy.uint64(CLASSES)).astype(numpy.int64)


def pixels(first, count):
    """Images as bytes, (count, 32, 32, 3): noise of 0..127 plus a pattern of 0..127 of the class, constant over 4x4 pixels."""
    index = numpy.arange(first * 3072, (first + count) * 3072).reshape(count, 32, 32, 3)
    n, h, w, c = numpy.indices(index.shape)
    block = ((labels(first, count)[n] * 8 + h // 4) * 8 + w // 4) * 3 + c
    return ((bits(STREAM_NOISE, index) >> numpy.uint64(57)) + (bits(STREAM_PATTERN, block) >> numpy.uint64(57))).astype(numpy.uint8)


def images(first, count):
    """Normalised images, float32, (count, 32, 32, 3): (pixel - mean) / std, computed in double and rounded once."""
    return ((pixels(first, count) - numpy.array(PIXEL_MEAN)) / numpy.array(PIXEL_STD)).astype(numpy.float32)


def checksum(values):
    """Count, sum, sum of squares, and the dot product with unit(STREAM_DOT, element), which notices exchanged elements."""
    flat = numpy.asarray(values, dtype=numpy.float64).ravel()
    return {
        "elements": int(flat.size),
        "sum": math.fsum(flat),
        "sum_of_squares": math.fsum(flat * flat),
        "dot": math.fsum(flat * unit(STREAM_DOT, numpy.arange(flat.size))),
    }


def fnv1a(text):
    """The FNV-1a hash of a text's bytes, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def stream_of(name):
    """The stream of a tensor of a network: the upper 24 bits of the hash of its name."""
    return fnv1a(name) >> 40


def network_rule(name, shape):
    """(offset, scale) of a tensor of a network, so that numbers neither grow nor vanish over a hundred layers, and no bias is lost among them."""
    if len(shape) > 1:  # (out, in) or (out, in, rows, columns): two thirds of what is summed go on
        return 0.0, math.sqrt(2 / math.prod(shape[1:]))
    return (1.0, 0.25) if name.endswith((".weight", ".running_var")) else (0.0, 0.25)


def network_tensor(name, shape):
    """The float32 array of a parameter or a running statistic of a network, by its name."""
    offset, scale = network_rule(name, shape)
    return (offset + scale * unit(stream_of(name), numpy.arange(math.prod(shape)))).astype(numpy.float32).reshape(shape)


def network_images(count, extent):
    """Images of noise on blocks of 8x8 pixels, float32, (count, extent, extent, 3): in [-3, 3)."""
    n, h, w, c = numpy.indices((count, extent, extent, 3))
    noise, block = ((n * extent + h) * extent + w) * 3 + c, ((n * extent + h // 8) * extent + w // 8) * 3 + c
    return (unit(stream_of("noise"), noise) + 2 * unit(stream_of("blocks"), block)).astype(numpy.float32)
