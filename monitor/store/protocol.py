"""What the centre asks of a store: take reports for good, exactly once; change and read its tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from monitor.store.runs import Run
from probes.report import Gone, Refused, Report

Result = TypeVar("Result")


class StoreUnavailable(Exception):
    """Nothing was stored and nothing may be acknowledged; `retry_after_s` says when to come again."""

    def __init__(self, sentence: str, retry_after_s: int = 10) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Intake:
    """What one POST brought, checked and ready to be stored."""

    device: str
    received_at: int
    skew_ms: int | None
    reports: list[tuple[str, Report]]
    """Each with the site it speaks for."""
    gone: list[Gone] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Full metric names that no declaration knows, seen from this device for the first time."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became durable: the runs that were new, how many were known already, and those that cannot be kept."""

    runs: list[Run]
    known: int
    refused: list[Refused] = field(default_factory=list)


class Store(Protocol):
    """The store as its users see it. All calls are awaited on one event loop."""

    async def take(self, intake: Intake) -> Taken:
        """Store a POST; returns when it is durable. Raises `StoreUnavailable` when nothing was stored."""

    async def change(self, change: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run a small change in the writer's transaction; returns when durable. What it raises undoes only itself."""

    async def read(self, query: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run a query on a reader's own connection, in a thread."""

    def fault(self) -> str | None:
        """Why nothing can be stored at present, as a sentence; None when all is well."""
