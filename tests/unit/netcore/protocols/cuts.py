"""The ways in which bytes may arrive."""

from __future__ import annotations

import random
from collections.abc import Callable


def whole(data: bytes) -> list[bytes]:
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def ragged(seed: int) -> Callable[[bytes], list[bytes]]:
    def cut(data: bytes) -> list[bytes]:
        chance, pieces = random.Random(seed), []
        while data:
            size = chance.choice([1, 1, 2, 3, 5, 8, 21])
            pieces.append(data[:size])
            data = data[size:]
        return pieces

    cut.__name__ = f"ragged{seed}"
    return cut


CUTS = [whole, byte_by_byte, *(ragged(seed) for seed in range(20))]
