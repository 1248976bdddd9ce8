"""Fakes that many tests hold in sight: a clock moved by hand, and a report to send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from probes.report import Report


class HandClock:
    """A clock that moves only when told; `step` moves the wall alone, as a time server does.

    `sleep` moves it too, and lets other tasks run.
    """

    def __init__(self, wall_s: float = 1_800_000_000.0) -> None:
        self._wall_ns = int(wall_s * 1e9)
        self._monotonic_ns = 1_000_000_000

    def wall_ns(self) -> int:
        return self._wall_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    async def sleep(self, seconds: float) -> None:
        self.pass_s(seconds)
        await asyncio.sleep(0)

    def pass_s(self, seconds: float) -> None:
        self._wall_ns += int(seconds * 1e9)
        self._monotonic_ns += int(seconds * 1e9)

    def step_s(self, seconds: float) -> None:
        self._wall_ns += int(seconds * 1e9)


def link_report(at: int = 1_800_000_000_000, target: str = "hp") -> Report:
    """A report as the link probe makes them, with as many figures as it has."""
    values = {f"figure_{index}_ms": 1.25 * index for index in range(40)}
    return Report("link", at, 10_002, target=target, line="main", values=values, labels={"stamps": "kernel"})


async def until(condition: Callable[[], object], limit_s: float = 30.0) -> None:
    """Wait until the condition holds; `limit_s` only keeps a failing test from hanging."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - conditions of any kind, seen from outside
            await asyncio.sleep(0.002)


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """The work beside the test, ended with it; an error in it fails the test."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        ended = task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        if ended:
            task.result()
