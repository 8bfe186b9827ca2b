"""Checkpoints that lie about where their tensors are. A checkpoint here is (header, data): what a safetensors file says, in order,
and the bytes behind it. Each lie returns the bytes of a whole model.safetensors."""
import json
import struct

WORD = b"CANARY-c7a9e15b-"  # 16 bytes: found at any alignment of a tensor's weights, and as text
TARGET = "model.layers.0.mlp.up_proj.weight"  # the tensor that is lied about


def canary(size):
    return (WORD * (size // len(WORD) + 1))[:size]


def read(path):
    whole = path.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    return json.loads(whole[8:8 + length]), whole[8 + length:]


def image(header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def _with(header, **changes):
    """The header with the target's entry changed."""
    return {**header, TARGET: {**header[TARGET], **changes}}


def _offsets(begin, end):
    """A lie that moves the target; `begin` and `end` are functions of where it is and how long the data are."""
    def lie(header, data):
        was = header[TARGET]["data_offsets"]
        return image(_with(header, data_offsets=[begin(was, len(data)), end(was, len(data))]), data)
    return lie


def _entry(**changes):
    return lambda header, data: image(_with(header, **changes), data)


def _header_length(change):
    def lie(header, data):
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", change(len(text), len(data))) + text + data
    return lie


def _twice(header, data):
    text = json.dumps(header)[:-1] + ", " + json.dumps(TARGET) + ": " + json.dumps(header[TARGET]) + "}"
    return image(text.encode(), data)


def _another_name(header, data):
    """A second tensor over the bytes of the target, under the name of one that is missing."""
    renamed = {k: v for k, v in header.items() if k != "lm_head.weight"}
    renamed["lm_head.weight"] = {**header["lm_head.weight"], "data_offsets": header["model.embed_tokens.weight"]["data_offsets"]}
    return image(renamed, data)


def _gap(header, data):
    """Bytes that belong to no tensor in front of the target, and all behind it moved."""
    begin = header[TARGET]["data_offsets"][0]
    moved = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["data_offsets"][0] >= begin:
            entry = {**entry, "data_offsets": [offset + 4096 for offset in entry["data_offsets"]]}
        moved[name] = entry
    return image(moved, data[:begin] + canary(4096) + data[begin:])


WRAPPED = 1 << 64
FILE_LIES = {
    "begins beyond the end": _offsets(lambda was, size: size + 64, lambda was, size: size + 64 + was[1] - was[0]),
    "ends beyond the end": _offsets(lambda was, size: size - 16, lambda was, size: size - 16 + was[1] - was[0]),
    "far beyond the end": _offsets(lambda was, size: 1 << 40, lambda was, size: (1 << 40) + was[1] - was[0]),
    "wraps around 2^64": _offsets(lambda was, size: WRAPPED - 4096, lambda was, size: WRAPPED - 4096 + was[1] - was[0]),
    "is negative": _offsets(lambda was, size: -(was[1] - was[0]), lambda was, size: 0),
    "is a fraction": _offsets(lambda was, size: was[0] + 0.5, lambda was, size: was[1] + 0.5),
    "runs backwards": _offsets(lambda was, size: was[1], lambda was, size: was[0]),
    "overlaps its neighbour": _offsets(lambda was, size: was[0] - 4, lambda was, size: was[1] - 4),
    "is too long": _offsets(lambda was, size: was[0], lambda was, size: was[1] + 4096),
    "is too short": _offsets(lambda was, size: was[0], lambda was, size: was[1] - 128),
    "is empty": _offsets(lambda was, size: was[0], lambda was, size: was[0]),
    "has a shape that is too large": _entry(shape=[480, 32]),
    "has a shape that is too small": _entry(shape=[24, 32]),
    "has a shape past 2^64": _entry(shape=[1 << 32, 1 << 32, 16]),
    "has a shape that wraps to its size": _entry(shape=[(1 << 62) + 48, 32]),
    "has a negative shape": _entry(shape=[-48, -32]),
    "has another shape of the same size": _entry(shape=[32, 48]),
    "has wider weights": _entry(dtype="F64"),
    "has narrower weights": _entry(dtype="F16"),
    "has weights of an unknown kind": _entry(dtype="X9"),
    "has narrower weights and twice the shape": _entry(dtype="F16", shape=[96, 32]),
    "stands twice": _twice,
    "another takes its bytes": _another_name,
    "comes after bytes of nobody": _gap,
    "header longer than the file": _header_length(lambda text, data: text + data + 1),
    "header into the weights": _header_length(lambda text, data: text + 64),
    "header cut": _header_length(lambda text, data: text - 64),
    "header by a word too short": _header_length(lambda text, data: text - 8),
    "header of nothing": _header_length(lambda text, data: 0),
    "header past 2^63": _header_length(lambda text, data: (1 << 63) + text),
    "header wraps around 2^64": _header_length(lambda text, data: WRAPPED - 8),
    "file cut": lambda header, data: image(header, data[:-100]),
    "file cut within the header": lambda header, data: image(header, data)[:200],
    "bytes after the last tensor": lambda header, data: image(header, data + canary(4096)),
}


def gguf_fields(gguf):
    """Where every tensor entry of a GGUF file has its fields: name -> {"dims": [...], "type", "offset"} as positions."""
    tensors, entries = struct.unpack_from("<QQ", gguf, 8)
    position = 24
    width = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def skip(kind):
        nonlocal position
        if kind == 8:
            position += 8 + struct.unpack_from("<Q", gguf, position)[0]
        elif kind == 9:
            element, count = struct.unpack_from("<IQ", gguf, position)
            position += 12
            if element != 8:
                position += width[element] * count
            else:
                for _ in range(count):
                    skip(8)
        else:
            position += width[kind]

    for _ in range(entries):
        skip(8)
        kind = struct.unpack_from("<I", gguf, position)[0]
        position += 4
        skip(kind)
    found = {}
    for _ in range(tensors):
        length = struct.unpack_from("<Q", gguf, position)[0]
        name = gguf[position + 8:position + 8 + length].decode()
        position += 8 + length
        dimensions = struct.unpack_from("<I", gguf, position)[0]
        dims = [position + 4 + 8 * i for i in range(dimensions)]
        position += 4 + 8 * dimensions
        found[name] = {"dims": dims, "type": position, "offset": position + 4}
        position += 12
    return found


# What is written over a field of a tensor's entry: (field, value); the value is a function of the one that is there and of
# the file's size.
GGUF_LIES = {
    "offset at the end": ("offset", lambda was, size: size // 32 * 32),
    "offset far beyond the end": ("offset", lambda was, size: 1 << 40),
    "offset wraps around 2^64": ("offset", lambda was, size: WRAPPED - 32),
    "offset not aligned": ("offset", lambda was, size: was + 1),
    "offset of another tensor": ("offset", lambda was, size: 0),
    "more rows": ("rows", lambda was, size: was * 100),
    "rows past 2^64": ("rows", lambda was, size: 1 << 62),
    "longer rows": ("columns", lambda was, size: was * 100),
    "fewer rows": ("rows", lambda was, size: was // 2),
    "wider weights": ("type", lambda was, size: 28),
    "weights of an unknown kind": ("type", lambda was, size: 99),
}


def lie_about_gguf(gguf, tensor, field, value):
    places = gguf_fields(gguf)[tensor]
    place, form = {"offset": (places["offset"], "<Q"), "columns": (places["dims"][0], "<Q"),
                   "rows": (places["dims"][-1], "<Q"), "type": (places["type"], "<I")}[field]
    changed = bytearray(gguf)
    struct.pack_into(form, changed, place, value(struct.unpack_from(form, gguf, place)[0], len(gguf)))
    return bytes(changed)
