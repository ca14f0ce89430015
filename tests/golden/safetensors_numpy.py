# SPDX-License-Identifier: Apache-2.0
"""Reads and writes safetensors files with numpy alone.

A file is: 8 bytes, the little-endian length n of the header; n bytes of JSON, {name: {"dtype", "shape", "data_offsets": [begin, end]}} plus
an optional "__metadata__" of strings; then the tensors' bytes, row-major and little-endian, offsets counted from the end of the header.
The reader is strict: the tensors must tile the data exactly, and each must have the bytes that its type and shape ask for.
"""
import json
import struct

import numpy

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"}
NAMES = {numpy.dtype(code): name for name, code in DTYPES.items()}


def read(path):
    """Returns {name: array} of the file at `path`; raises ValueError naming the file if it breaks the format."""
    with open(path, "rb") as file:
        content = file.read()
    try:
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + length].decode())
        header.pop("__metadata__", None)
        data, tensors, end = content[8 + length :], {}, 0
        for name, entry in sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"])):
            dtype, shape = numpy.dtype(DTYPES[entry["dtype"]]), tuple(entry["shape"])
            begin, stop = entry["data_offsets"]
            size = int(numpy.prod(shape, dtype=numpy.int64)) * dtype.itemsize
            if begin != end or stop - begin != size or stop > len(data):
                raise ValueError(f"tensor {name}: bytes {begin}..{stop}, expected {end}..{end + size} of {len(data)}")
            tensors[name], end = numpy.frombuffer(data[begin:stop], dtype).reshape(shape).copy(), stop
        if end != len(data):
            raise ValueError(f"{len(data) - end} bytes after the last tensor")
    except (struct.error, UnicodeDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is no valid safetensors file: {error!r}") from error
    return tensors


def write(path, tensors):
    """Writes {name: array} to `path`; widest types first, so that every tensor is aligned to its type."""
    header, blocks, end = {}, [], 0
    for name, value in sorted(tensors.items(), key=lambda item: (-numpy.asarray(item[1]).itemsize, item[0])):
        array = numpy.asarray(value)
        array = array.astype(array.dtype.newbyteorder("<"), order="C")
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        blocks.append(array.tobytes())
        end += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blocks))
