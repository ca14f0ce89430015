#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes images.safetensors: small JPEG files, what Pillow decodes them to, and what Pillow and torchvision resize to.   make_images.py [OUTPUT]

    NAME.jpg    the bytes of a file       NAME.rgb    (H,W,3) u8, Image.open(...).convert("RGB")
    picture     (H,W,3) u8                boxes (K,4) f32: left, top, right, bottom      resized_K (h,w,3) u8: picture.resize((w,h), BILINEAR, box)
    centred     (24,24,3) u8: Resize(30), CenterCrop(24) of baseline.rgb by torchvision
"""
import io
import os
import sys

import numpy as np
import PIL
import torchvision
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.functional import InterpolationMode

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_numpy  # noqa: E402


def picture(height, width, seed):
    """Smooth colours, an edge, and a little noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 90 * np.sin(x / (3 + c) + random.uniform(0, 6)) * np.cos(y / (4 - c) + random.uniform(0, 6)) for c in range(3)]
    image = np.stack(waves, axis=2) + random.normal(0, 6, (height, width, 3))
    image[(x + y) % 29 < 9] = [230, 20, 60]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def encoded(image, **options):
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def main():
    base = Image.fromarray(picture(37, 50, 1))
    cmyk = Image.fromarray(np.dstack([picture(16, 19, 2), picture(16, 19, 3)[:, :, 0] // 2]), mode="CMYK")
    files = {
        "baseline": encoded(base, quality=90),  # 4:2:0
        "sharp": encoded(base, quality=80, subsampling=0, optimize=True),
        "wide": encoded(base, quality=80, subsampling=1),  # 4:2:2
        "progressive": encoded(base, quality=75, progressive=True),
        "gray": encoded(base.convert("L"), quality=85),
        "cmyk": encoded(cmyk, quality=90),
    }
    tensors = {}
    for name, content in files.items():
        tensors[name + ".jpg"] = np.frombuffer(content, np.uint8)
        tensors[name + ".rgb"] = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    source = picture(29, 41, 4)
    image = Image.fromarray(source)
    cases = [((0, 0, 41, 29), (41, 29)), ((0, 0, 41, 29), (13, 7)), ((3, 2, 30, 27), (20, 20)), ((5.25, 1.5, 17.125, 28.75), (31, 9)),
             ((10, 10, 14, 13), (24, 24)), ((0.3, 0.7, 40.9, 28.2), (1, 1))]
    tensors["picture"] = source
    tensors["boxes"] = np.array([box for box, _ in cases], np.float32)
    for k, (box, size) in enumerate(cases):
        tensors[f"resized_{k}"] = np.asarray(image.resize(size, Image.Resampling.BILINEAR, box))
    decoded = Image.fromarray(tensors["baseline.rgb"])
    centred = v2.Compose([v2.Resize(30, InterpolationMode.BILINEAR), v2.CenterCrop(24)])(decoded)
    tensors["centred"] = np.asarray(centred)

    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "images.safetensors")
    safetensors_numpy.write(output, tensors)
    print(f"{output}: {os.path.getsize(output)} bytes, Pillow {PIL.__version__}, torchvision {torchvision.__version__}, numpy {np.__version__}")


if __name__ == "__main__":
    main()
