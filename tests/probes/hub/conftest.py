"""What every test of the hub may use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.probes.hub.hubs import Asker


@pytest.fixture
def asker_of() -> Iterator[Callable[..., Asker]]:
    """Makes askers, and closes their sockets when the test is over."""
    made: list[Asker] = []

    def make(*args: object, **kwargs: object) -> Asker:
        made.append(Asker(*args, **kwargs))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.sock.close()
