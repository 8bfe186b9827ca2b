"""CRC-32C of chunks and SHA-256 of files."""
from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
_LANES = 4096             # registers that step together: fewer cost calls of numpy, more cost joining them


@functools.lru_cache(maxsize=1)
def _tables() -> Any:
    """Two bytes at a time: entry i is the register after the 16 bits i."""
    table: Any = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(16):
        table = (table >> 1) ^ (np.uint32(_POLYNOMIAL) * (table & 1))
    return table


@functools.lru_cache(maxsize=64)
def _skip(pairs: int) -> Any:
    """Tables that move a register over 2 * pairs zero bytes: the low and the high half of it."""
    table = _tables()
    basis = np.uint32(1) << np.arange(32, dtype=np.uint32)
    result, step, left = basis, (basis >> np.uint32(16)) ^ table[basis & 0xFFFF], pairs
    while left:
        if left & 1:
            result = _apply(step, result)
        step, left = _apply(step, step), left >> 1
    halves = np.zeros((2, 1 << 16), np.uint32)
    for bit in range(16):
        for half in (0, 1):
            halves[half, 1 << bit: 2 << bit] = halves[half, : 1 << bit] ^ result[bit + 16 * half]
    return halves


def _apply(matrix: Any, registers: Any) -> Any:
    out = np.zeros_like(registers)
    for bit in range(32):
        out ^= matrix[bit] * ((registers >> np.uint32(bit)) & np.uint32(1))
    return out


def _numpy_crc32c(data: bytes) -> int:
    table = _tables()
    pairs = len(data) // 2
    lanes = min(_LANES, 1 << max(pairs // 16, 1).bit_length() - 1)
    per_lane = pairs // lanes
    words = np.frombuffer(data, "<u2", lanes * per_lane).reshape(lanes, per_lane).T.astype(np.uint32)
    register = np.zeros(lanes, np.uint32)
    register[0] = 0xFFFFFFFF
    for word in words:
        register = (register >> np.uint32(16)) ^ table[(register ^ word) & 0xFFFF]
    length = per_lane
    while len(register) > 1:  # neighbours join: the left one moves over the right one's bytes
        low, high = _skip(length)
        left = register[0::2]
        register = low[left & 0xFFFF] ^ high[left >> np.uint32(16)] ^ register[1::2]
        length *= 2
    value = int(register[0])
    for byte in data[2 * lanes * per_lane:]:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def _choose() -> Callable[[bytes], int]:
    try:
        import google_crc32c
    except ImportError:
        return _numpy_crc32c
    return lambda data: int(google_crc32c.value(data))


crc32c = _choose()


def sha256_of_file(path: str, advance: Callable[[int], None] = lambda _: None) -> tuple[bytes, int]:
    """The digest and how many bytes were read."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
            advance(len(block))
    return digest.digest(), size
