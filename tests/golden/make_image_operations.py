#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Pillow makes of two small images by each operation of the augmentation policies, and torchvision's policies: tests/golden/image_operations.txt.

    python3 tests/golden/make_image_operations.py > tests/golden/image_operations.txt

Needs Pillow and torchvision; the tests need neither. Lines:
    image NAME HEIGHT WIDTH BYTES           (H,W,3) in hexadecimal
    operation OPERATION MAGNITUDE NAME BYTES    the image NAME after the operation; the unit of the magnitude is that of kernels/image_policy/policy.h
    policy NAME SUB_POLICY STEP OPERATION PROBABILITY MAGNITUDE SIGNED     for images of 32x32; translations in pixels
"""
import random
import re

from PIL import Image, ImageEnhance, ImageOps
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, RandAugment

FILL = (128, 128, 128)


def smooth_image(height, width):
    """Gradients with a little noise, few very dark or light bytes: autocontrast has something to stretch."""
    draw = random.Random(7)
    image = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            image.putpixel((x, y), (40 + 9 * x + draw.randrange(9), 200 - 11 * y - draw.randrange(13), 90 + 5 * (x + y) + draw.randrange(5)))
    return image


def wild_image(height, width):
    """Any bytes, and a channel that has one value only."""
    draw = random.Random(8)
    image = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            image.putpixel((x, y), (draw.randrange(256), 77, draw.randrange(256)))
    return image


def affine(image, *matrix):
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST, fillcolor=FILL)


OPERATIONS = {
    "shear_x": lambda image, m: affine(image, 1, m, 0, 0, 1, 0),
    "shear_y": lambda image, m: affine(image, 1, 0, 0, m, 1, 0),
    "translate_x": lambda image, m: affine(image, 1, 0, int(m * image.width), 0, 1, 0),
    "translate_y": lambda image, m: affine(image, 1, 0, 0, 0, 1, int(m * image.height)),
    "rotate": lambda image, m: image.rotate(m, Image.Resampling.NEAREST, fillcolor=FILL),
    "autocontrast": lambda image, m: ImageOps.autocontrast(image),
    "equalize": lambda image, m: ImageOps.equalize(image),
    "invert": lambda image, m: ImageOps.invert(image),
    "posterize": lambda image, m: ImageOps.posterize(image, int(m)),
    "solarize": lambda image, m: ImageOps.solarize(image, m),
    # RandAugment's own (Cubuk et al.'s code): add, where below 128.
    "solarize_add": lambda image, m: image.point([min(255, v + int(m)) if v < 128 else v for v in range(256)] * 3),
    "color": lambda image, m: ImageEnhance.Color(image).enhance(1 + m),
    "contrast": lambda image, m: ImageEnhance.Contrast(image).enhance(1 + m),
    "brightness": lambda image, m: ImageEnhance.Brightness(image).enhance(1 + m),
    "sharpness": lambda image, m: ImageEnhance.Sharpness(image).enhance(1 + m),
}


def both(values):
    return [sign * value for value in values for sign in (1, -1)]


FACTORS = both([0.9 * level / 9 for level in (4, 9)]) + [-1.0, 0.37]
MAGNITUDES = {
    "shear_x": both([0.3 * level / 9 for level in (2, 9)]),
    "shear_y": both([0.3 * level / 9 for level in (2, 9)]),
    "translate_x": both([150 / 331 * level / 9 for level in (3, 9)]),
    "translate_y": both([150 / 331 * level / 9 for level in (3, 9)]),
    "rotate": [0.0] + both([30 * level / 9 for level in (1, 3, 8, 9)]) + [90.0 + 1 / 3],
    "autocontrast": [0.0],
    "equalize": [0.0],
    "invert": [0.0],
    "posterize": [8, 6, 4, 1],
    "solarize": [255 * (1 - level / 9) for level in (0, 2, 9)] + [256],
    "solarize_add": [0, 40, 110],
    "color": FACTORS,
    "contrast": FACTORS,
    "brightness": FACTORS,
    "sharpness": FACTORS,
}


def snake(name):
    return {"AutoContrast": "autocontrast"}.get(name) or re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def print_step(policy, sub_policy, step, name, probability, meta, level):
    magnitudes, is_signed = meta[name]
    magnitude = float(magnitudes[level].item()) if level is not None and magnitudes.ndim > 0 else 0.0
    if name.startswith("Translate"):
        magnitude = int(magnitude)
    print("policy", policy, sub_policy, step, snake(name), probability, repr(magnitude), int(is_signed))


def main():
    images = {"smooth": smooth_image(12, 16), "wild": wild_image(7, 9), "large": smooth_image(32, 23)}
    for name, image in images.items():
        print("image", name, image.height, image.width, image.tobytes().hex())
    for operation, apply in OPERATIONS.items():
        for magnitude in MAGNITUDES[operation]:
            # NOTE: equalize does nothing to fewer than 256 pixels.
            for name in ("large",) if operation == "equalize" else ("smooth", "wild"):
                print("operation", operation, repr(magnitude), name, apply(images[name], magnitude).tobytes().hex())
    for name, which in (("autoaugment-cifar10", AutoAugmentPolicy.CIFAR10), ("autoaugment-imagenet", AutoAugmentPolicy.IMAGENET)):
        augment = AutoAugment(which)
        for sub_policy, steps in enumerate(augment.policies):
            for step, (operation, probability, level) in enumerate(steps):
                print_step(name, sub_policy, step, operation, probability, augment._augmentation_space(10, (32, 32)), level)
    for magnitude in (0, 9, 30):
        meta = RandAugment(2, magnitude)._augmentation_space(31, (32, 32))
        for sub_policy, operation in enumerate(meta):
            print_step(f"randaugment:2:{magnitude}", sub_policy, 0, operation, 1.0, meta, magnitude)


if __name__ == "__main__":
    main()
