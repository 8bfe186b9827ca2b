"""A reader of nsq artifacts in Python and numpy, written from docs/nsq-format.md and core/coding/README.md alone: what these
two say is enough, and what it decodes is what the format means. It is slow, and refuses what they say a reader refuses.

usage: nsq_reader.py ARTIFACT_DIRECTORY   names its tensors, after decoding each
"""
import json
import os
import struct
import sys
import zlib

import numpy as np

HALF = 1 << 15
SCALES = np.array([float.fromhex(x) for x in ("0x1p0", "0x1.172b84p0", "0x1.306fep0", "0x1.4bfdaep0", "0x1.6a09e6p0",
                                              "0x1.8ace54p0", "0x1.ae89fap0", "0x1.d5818ep0")], np.float32)
seen = set()  # what the files read so far made use of, for tests: those of a reader should meet all of it
PLAIN = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


class Damage(Exception):
    pass


def require(condition, what):
    if not condition:
        raise Damage(what)


class Bits:
    """A bit stream: each byte from its lowest bit."""

    def __init__(self, data):
        self.bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").tolist()
        self.at = 0

    def bit(self):
        require(self.at < len(self.bits), "a bit stream ends early")
        self.at += 1
        return self.bits[self.at - 1]

    def read(self, count):
        return sum(self.bit() << i for i in range(count))

    def golomb(self, order):
        zeros = 0
        while not self.bit():
            zeros += 1
            require(zeros + order < 32, "an Exp-Golomb code is too long")
        require(zeros + order < 32, "an Exp-Golomb code is too long")
        return (1 << (zeros + order)) + self.read(zeros + order) - (1 << order)

    def signed(self, order):
        v = self.golomb(order)
        return v // 2 if v % 2 == 0 else -(v + 1) // 2

    def end(self):
        left = self.bits[self.at:]
        require(len(left) < 8 and not any(left), "bits are left in a bit stream")


class Arithmetic:
    """The binary arithmetic decoder of side arrays."""

    def __init__(self, bits):
        self.source, self.begin = bits, bits.at
        self.low, self.high, self.code, self.passes = 0, (1 << 32) - 1, 0, 0
        for i in range(32):
            self.code = 2 * self.code + self.peek(i)

    def peek(self, ahead):
        at = self.begin + ahead
        return self.source.bits[at] if at < len(self.source.bits) else 0

    def decide(self, p):
        split = self.low + (self.high - self.low + 1) * p // 65536 - 1
        bit = self.code > split
        if bit:
            self.low = split + 1
        else:
            self.high = split
        while True:
            if self.high < 1 << 31:
                h = 0
            elif self.low >= 1 << 31:
                h = 1 << 31
            elif self.low >= 1 << 30 and self.high < 3 << 30:
                h = 1 << 30
            else:
                return int(bit)
            self.low, self.high = 2 * (self.low - h), 2 * (self.high - h) + 1
            self.code = 2 * (self.code - h) + self.peek(32 + self.passes)
            self.passes += 1

    def finish(self):
        self.source.at = self.begin + self.passes + 2
        require(self.source.at <= len(self.source.bits), "a side array ends early")


class Context:
    def __init__(self):
        self.counts = [0, 0]

    def decide(self, coder):
        a, b = self.counts
        bit = coder.decide(65536 * (2 * a + 1) // (2 * a + 2 * b + 2))
        self.counts[bit] += 1
        if sum(self.counts) == 1024:
            self.counts = [c // 2 for c in self.counts]
        return bit


def side_array(bits, count, least, greatest):
    mode = bits.read(2)
    centre = bits.signed(3)
    require(mode <= 2 and abs(centre) <= 1 << 24, "a side array's mode or centre")
    seen.add(f"side array of mode {mode}")
    if mode == 0:
        require(least <= centre <= greatest, "a side array's range")
        return np.full(count, centre, np.int64)
    shared = bits.bit()
    coder = Arithmetic(bits)
    nonzero, sign, unary = Context(), Context(), [[Context() for _ in range(16)] for _ in range(2)]
    values = []
    for _ in range(count):
        y = 0
        if nonzero.decide(coder):
            negative = sign.decide(coder)
            contexts = unary[0 if shared else negative]
            y = 1
            while y <= 16 and contexts[y - 1].decide(coder):
                y += 1
            if y > 16:
                zeros = 0
                while not coder.decide(HALF):
                    zeros += 1
                    require(zeros <= 24, "a side array's code is too long")
                u = 1
                for _ in range(zeros):
                    u = 2 * u + coder.decide(HALF)
                y = 17 + u - 1
            y = -y if negative else y
        values.append(centre + y)
        require(least <= values[-1] <= greatest, "a side array's range")
        if mode == 2:
            centre = values[-1]
    coder.finish()
    return np.array(values, np.int64)


class Table:
    """What each of 4096 slots stands for: integer (or escape), frequency, first slot."""

    def __init__(self, bits):
        self.m, escape = 0, False
        levels, escape_level = [0], None
        if bits.bit():
            self.m, escape = bits.read(7), bits.bit()
            require(self.m <= 120 and (self.m > 0 or escape), "a table's size")
            if self.m > 0:
                order, curvature = bits.read(2), bits.read(2)
                d = bits.signed(2)
                levels.append(d)
                for _ in range(2, self.m + 1):
                    d += curvature + bits.signed(order)
                    levels.append(levels[-1] + d)
            if escape:
                escape_level = levels[-1] + bits.signed(3)
        known = levels + ([escape_level] if escape else [])
        require(all(-1023 <= level <= 1023 for level in known), "a table's level")
        self.spread(levels, escape_level, min(known))

    def spread(self, levels, escape_level, least):
        def weight(level):
            i = level - least
            return 0 if i >= 68 else [65536, 55109, 46341, 38968][i % 4] >> (i // 4)
        w = [weight(level) for level in levels]
        extra = 0 if escape_level is None else weight(escape_level)
        total = w[0] + 2 * sum(w[1:]) + extra
        f = [max(1, (8192 * x + total) // (2 * total)) for x in w]
        escape = 0 if escape_level is None else max(1, (8192 * extra + total) // (2 * total))

        def used():
            return f[0] + 2 * sum(f[1:]) + escape
        while used() > 4096:
            v = f.index(max(f))
            if escape > f[v]:
                escape -= 1
            else:
                f[v] -= 1
        f[0] += 4096 - used()
        symbols = [(0, f[0])] + [(s * v, f[v]) for v in range(1, self.m + 1) for s in (1, -1)]
        sizes = np.array([size for _, size in symbols] + ([escape] if escape else []))
        self.k = np.repeat([k for k, _ in symbols] + ([0] if escape else []), sizes)
        self.frequency = np.repeat(sizes, sizes)
        self.start = np.repeat(np.cumsum(sizes) - sizes, sizes)
        self.escape = np.arange(4096) >= 4096 - escape
        require(len(self.k) == 4096, "a table's slots")


def leb128(data, at, most):
    value = 0
    for i in range(most):
        require(at < len(data), "a length ends early")
        value |= (data[at] & 127) << (7 * i)
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise Damage("a length is too long")


def scale(index):
    index = np.asarray(index)
    return np.ldexp(SCALES[index % 8], index // 8).astype(np.float32)


class Matrix:
    """The stream of a matrix, opened; `weights()` decodes it."""

    def __init__(self, data, rows, columns):
        self.rows, self.columns = rows, columns
        require(len(data) >= 9 and data[4] <= 1, "a stream's flags")
        self.dependent = data[4] == 1
        self.step = np.frombuffer(data, "<f4", 1, 5)[0]
        require(np.isfinite(self.step) and self.step >= 0, "a stream's step")
        size, at = leb128(data, 9, 9)
        require(size <= len(data) - at, "side bits are longer than the stream")
        side, at = data[at:at + size], at + size
        most = max(64, 262144 // columns)
        count = -(-rows // most)
        self.tile_rows = -(-rows // count)
        lengths, sums = [], []
        for _ in range(-(-rows // self.tile_rows)):
            length, at = leb128(data, at, 9)
            require(len(data) - at >= 4, "the list of tiles is longer than the stream")
            lengths.append(length)
            sums.append(struct.unpack_from("<I", data, at)[0])
            at += 4
        require(zlib.crc32(data[4:at]) == struct.unpack_from("<I", data)[0], "a header's checksum")
        require(at + sum(lengths) == len(data), "payloads do not fill the stream")
        self.payloads = []
        if len(lengths) > 1:
            seen.add("several tiles")
        for length, crc in zip(lengths, sums):
            self.payloads.append((data[at:at + length], crc))
            at += length
        self.read_side(Bits(side))

    def read_side(self, bits):
        self.column_scale = side_array(bits, self.columns, -512, 512)
        self.row_scale = side_array(bits, self.rows, -512, 512)
        self.column_class = side_array(bits, self.columns, 0, 63)
        self.row_class = side_array(bits, self.rows, 0, 63)
        contexts = int(self.column_class.max() + self.row_class.max()) + 1
        require(contexts <= 64, "too many contexts")
        tables = [Table(bits) for _ in range(contexts * (2 if self.dependent else 1))]
        bits.end()
        self.m = [t.m for t in tables]
        self.k, self.frequency, self.start, self.escape = (
            np.concatenate([getattr(t, name) for t in tables]) for name in ("k", "frequency", "start", "escape"))

    def weights(self):
        column = (self.step * scale(self.column_scale)).astype(np.float32)
        out = np.empty((self.rows, self.columns), np.float32)
        for tile, (payload, crc) in enumerate(self.payloads):
            require(zlib.crc32(payload) == crc, f"tile {tile}'s checksum")
            first = tile * self.tile_rows
            n = self.tile(payload, self.row_class[first:first + self.tile_rows])
            row = scale(self.row_scale[first:first + self.tile_rows])
            out[first:first + len(n)] = (n.astype(np.float32) * column) * row[:, None]
        require(np.isfinite(out).all(), "weights that are not finite")
        return out

    def tile(self, payload, row_class):
        """The reconstruction numbers of a tile."""
        require(len(payload) > 0 and payload[0] < 16 and payload[0] & 7 <= 5, "a tile's first byte")
        lanes, at, escape_bytes = 1 << (payload[0] & 7), 1, 0
        if payload[0] & 8:
            escape_bytes, at = leb128(payload, at, 5)
            require(escape_bytes >= 1, "an empty section of escapes")
            seen.add("escapes")
        seen.add(f"{lanes} lanes")
        words_at = at + 4 * lanes
        words_size = len(payload) - words_at - escape_bytes
        require(words_size >= 0 and words_size % 2 == 0, "a tile's length")
        x = np.frombuffer(payload, "<u4", lanes, at).astype(np.int64)
        require((x >= 65536).all(), "a lane's state")
        words = np.frombuffer(payload, "<u2", words_size // 2, words_at).astype(np.int64)
        escapes = Bits(payload[len(payload) - escape_bytes:] if escape_bytes else b"")
        used, state = 0, np.zeros(self.columns, np.int64)
        numbers = np.empty((len(row_class), self.columns), np.int64)
        for r, of_row in enumerate(row_class):
            for c in range(0, self.columns, lanes):
                s = state[c:c + lanes]
                lane = x[:len(s)]
                context = of_row + self.column_class[c:c + lanes]
                table = 2 * context + (s & 1) if self.dependent else context
                t = lane & 4095
                slot = 4096 * table + t
                lane = self.frequency[slot] * (lane >> 12) + t - self.start[slot]
                hungry = lane < 65536
                count = int(np.count_nonzero(hungry))
                require(used + count <= len(words), "a tile's words end early")
                lane[hungry] = lane[hungry] << 16 | words[used:used + count]
                used += count
                x[:len(s)] = lane
                k = self.k[slot]
                escaped = self.escape[slot]
                for i in np.flatnonzero(escaped) if escaped.any() else ():
                    magnitude = self.m[int(table[i])] + 1 + escapes.golomb(0)
                    require(magnitude <= 1 << 30, "an escape is out of range")
                    k[i] = -magnitude if escapes.bit() else magnitude
                if self.dependent:
                    numbers[r, c:c + lanes] = 2 * k - np.where(s & 1, np.sign(k), 0)
                    state[c:c + lanes] = (s >> 1) ^ (7 * (s & 1)) ^ (k & 1)
                else:
                    numbers[r, c:c + lanes] = k
        require(used == len(words) and (x == 65536).all(), "a tile does not end where it should")
        escapes.end()
        return numbers


def plain_tensor(data, coding, crc):
    require(zlib.crc32(data) == crc, "a plain tensor's checksum")
    if coding == "BF16":
        values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = np.frombuffer(data, {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[coding]).astype(np.float32)
    require(np.isfinite(values).all(), "numbers that are not finite")
    return values


class Artifact:
    """The weight file of an nsq directory: `entries` by name, `tensor(name)` decodes one."""

    def __init__(self, directory):
        path = os.path.join(directory, "model.nsq")
        if not os.path.exists(path):
            path = os.path.join(directory, "model.safetensors")  # as the first writers named it
        with open(path, "rb") as f:
            data = f.read()
        length = struct.unpack_from("<Q", data)[0]
        require(length <= min(100 << 20, len(data) - 8), "the header's length")
        header = json.loads(data[8:8 + length])
        require(header.pop("__metadata__", None) == {"format": "nsq", "nsq_version": "1"}, "not nsq of version 1")
        require(set(header) == {"nsq.index", "nsq.data"}, "other tensors")
        (zero, middle), (begin, end) = header["nsq.index"]["data_offsets"], header["nsq.data"]["data_offsets"]
        require(zero == 0 and middle == begin and end == len(data) - 8 - length, "tensors do not fill the file")
        inflate = zlib.decompressobj()
        text = inflate.decompress(data[8 + length:8 + length + middle], 32 << 20)
        require(inflate.eof and not inflate.unused_data, "the index does not unpack")
        self.block = data[8 + length + begin:]
        self.entries = {}
        at = 0
        for entry in json.loads(text)["tensors"]:
            require(entry["name"] not in self.entries, "a name occurs twice")
            entry["offset"] = at
            at += entry["bytes"]
            self.entries[entry["name"]] = entry
        require(at == len(self.block), "tensors do not fill the block")

    def tensor(self, name):
        entry = self.entries[name]
        data = self.block[entry["offset"]:entry["offset"] + entry["bytes"]]
        shape = entry["shape"]
        if entry["coding"] in PLAIN:
            require(len(data) == PLAIN[entry["coding"]] * int(np.prod(shape, dtype=np.int64)), "a plain tensor's length")
            return plain_tensor(data, entry["coding"], entry["crc32"]).reshape(shape)
        require(entry["coding"] in ("nsq", "nsq-transposed") and len(shape) == 2, "an unknown coding")
        if entry["coding"] == "nsq":
            return Matrix(data, *shape).weights()
        return np.ascontiguousarray(Matrix(data, *reversed(shape)).weights().T)


if __name__ == "__main__":
    artifact = Artifact(sys.argv[1])
    for tensor_name in artifact.entries:
        print(tensor_name, artifact.tensor(tensor_name).shape, artifact.entries[tensor_name]["coding"])
