"""What a fuzz target is: takes any bytes, and fails only where a promise was broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    one_input: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    share: float = 1.0
    """Of the inputs that a cheap target gets."""


class Broken(AssertionError):
    """A promise was broken."""


def check_sentence(text: str) -> None:
    """Every refusal is a sentence, on one line, and not a page long."""
    if len(text) < 10 or not text.endswith("."):
        raise Broken(f"not a sentence: {text!r}")
    if len(text) > 1000:
        raise Broken(f"a sentence of {len(text)} characters: {text[:100]!r}")


class Script:
    """The input read as a script: small numbers and pieces of bytes, zeros when it has ended."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)

    def number(self, octets: int = 1) -> int:
        return int.from_bytes(self.piece(octets))

    def piece(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        self._at += size
        return piece
