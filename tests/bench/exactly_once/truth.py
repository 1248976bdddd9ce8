"""What a device knows to be true, written beside it: one line in one write for every fact, before anything else.

S boot seq number      the spool returned: the report is safe on disk
M boot seq number      the spool returned, and said that it holds the report in memory only
A boot seq             the centre acknowledged it
T boot from to why     the centre acknowledged that this range is gone
R boot seq             the centre refused it for ever
P status reports stored known     an answer of the centre
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

Identity = tuple[str, int]
OWN_WORDS = "-"
"""The number of a report that the agent makes by itself, as when it is switched off."""
FIELDS = {"S": 4, "M": 4, "A": 3, "T": 5, "R": 3, "P": 5}


class Ledger:
    """Appends facts to a file. A kill may cut the last line: the next process begins a new one."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(self._file, b"\n")

    def write(self, letter: str, facts: Iterable[tuple[object, ...]]) -> None:
        text = "".join(" ".join(map(str, (letter, *fact))) + "\n" for fact in facts)
        if text:
            os.write(self._file, text.encode())


@dataclass
class Truth:
    """All that one device's ledger says."""

    safe: dict[Identity, str] = field(default_factory=dict)
    in_memory: dict[Identity, str] = field(default_factory=dict)
    acknowledged: set[Identity] = field(default_factory=set)
    told: list[tuple[str, int, int, str]] = field(default_factory=list)
    refused: set[Identity] = field(default_factory=set)
    posts: dict[int, int] = field(default_factory=dict)
    """How many answers of each status; 0: none came."""
    known: int = 0
    cut_lines: int = 0

    def take(self, words: list[str]) -> None:
        match words:
            case ["S", boot, seq, number]:
                self.safe[boot, int(seq)] = number
            case ["M", boot, seq, number]:
                self.in_memory[boot, int(seq)] = number
            case ["A", boot, seq]:
                self.acknowledged.add((boot, int(seq)))
            case ["T", boot, low, high, why]:
                self.told.append((boot, int(low), int(high), why))
            case ["R", boot, seq]:
                self.refused.add((boot, int(seq)))
            case ["P", status, _, _, known]:
                self.posts[int(status)] = self.posts.get(int(status), 0) + 1
                self.known += int(known)


def read(file: Path) -> Truth:
    """The ledger of a device; a line that a kill cut short is counted and left out."""
    truth = Truth()
    for line in file.read_text().splitlines() if file.exists() else ():
        words = line.split(" ")
        if len(words) == FIELDS.get(words[0]):
            truth.take(words)
        elif line:
            truth.cut_lines += 1
    return truth
