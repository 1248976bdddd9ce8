"""What the link probe tells beside loss and delay, on links where the answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tests.bench.link import ours
from tests.world.link import Link, Way, namespaces

SECONDS = 10


class Extra(NamedTuple):
    """One figure beside its truth; `within` is the share it may be off by."""

    what: str
    metric: str
    said: float | None
    true: float
    within: float

    @property
    def right(self) -> bool:
        return self.said is not None and abs(self.said - self.true) <= self.within * self.true


def run_all() -> list[Extra]:
    """Every extra in turn."""
    return [*re_marking()]


def re_marking() -> list[Extra]:
    """Marked 0 by the probe, changed on one way only: the change must be told of that way alone."""
    found = []
    for what, up, down, true_up, true_down in (
        ("re-marked up", Way(dscp=8), Way(), 8, 0),
        ("re-marked down", Way(), Way(dscp=34), 0, 34),
        ("re-marked both ways", Way(dscp=8), Way(dscp=34), 8, 34),
    ):
        values = _once(up, down)
        found.append(Extra(what, "dscp_up", values.get("dscp_up"), true_up, 0))
        found.append(Extra(what, "dscp_down", values.get("dscp_down"), true_down, 0))
    return found


def table(found: Sequence[Extra]) -> str:
    """One line per figure."""
    lines = ["| what | metric | said | true | right |", "|---|---|---|---|---|"]
    for one in found:
        said = "absent" if one.said is None else f"{one.said:g}"
        lines.append(f"| {one.what} | {one.metric} | {said} | {one.true:g} | {'yes' if one.right else 'NO'} |")
    return "\n".join(lines)


def _once(up: Way, down: Way, *options: str) -> dict[str, float]:
    with namespaces(2) as (site, hub), Link(site, hub, ab=up, ba=down) as link, ours.hub(hub, link.b_ip):
        return dict(ours.once(site, link.b_ip, SECONDS, *options).values)
