"""Where the fault lies: in the room, on the line, or at the main bridge. Pure: verdicts in, the segment out.

    segment_at_fault(link=POOR, lan=GOOD, others=Crowd.of([GOOD, GOOD, POOR]))   # the line

A fault of the first hop must show further on: a router that only answers test packets badly accuses nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from monitor.marks import SiteShown, probe_verdict
from monitor.sites import Site
from monitor.streams import MAIN, Key, Stream
from probes.catalog import METRICS
from probes.metric import Mark, Remedy
from probes.verdict import Verdict

LEAST_OTHERS = 3
"""So many other sites must be heard before they are witnesses for or against the hub."""


class Segment(StrEnum):
    """A stretch of the way between a room and the other end. Its words stand in the catalogues as `segment.…`."""

    ROOM = "room"
    LINE = "line"
    BRIDGE = "bridge"
    DEVICE = "device"
    UNKNOWN = "unknown"


SEGMENT_OF: Mapping[Remedy, Segment] = {
    Remedy.CARRIER: Segment.LINE,
    Remedy.LOCAL_NETWORK: Segment.ROOM,
    Remedy.LIGHT_AND_CURTAINS: Segment.ROOM,
    Remedy.MICROPHONE_AND_LOUDSPEAKER: Segment.ROOM,
    Remedy.UPS: Segment.ROOM,
    Remedy.PEOPLE: Segment.ROOM,
    Remedy.DEVICE: Segment.DEVICE,
}
PROBE_AT: Mapping[str, Segment] = {"lan": Segment.ROOM, "hub": Segment.BRIDGE, "host": Segment.DEVICE}


class Crowd(NamedTuple):
    """How the lines of the sites at one bridge are: of how many it is known, and how many of those suffer."""

    known: int = 0
    suffering: int = 0

    @staticmethod
    def of(verdicts: Iterable[Verdict]) -> Crowd:
        known = [verdict for verdict in verdicts if verdict is not Verdict.UNKNOWN]
        return Crowd(len(known), sum(verdict in _BAD for verdict in known))

    def without(self, verdict: Verdict) -> Crowd:
        """The others, as one of them sees it."""
        return self if verdict is Verdict.UNKNOWN else Crowd(self.known - 1, self.suffering - (verdict in _BAD))

    def with_one(self, verdict: Verdict) -> Crowd:
        return self if verdict is Verdict.UNKNOWN else Crowd(self.known + 1, self.suffering + (verdict in _BAD))

    @property
    def mostly_suffers(self) -> bool | None:
        """None where too few are heard to tell."""
        return None if self.known < LEAST_OTHERS else self.suffering > 0.5 * self.known


_BAD = (Verdict.FAIR, Verdict.POOR)


NOBODY = Crowd()


class Crowds:
    """The crowd of each bridge, kept up as sites are shown."""

    def __init__(self) -> None:
        self._lines: dict[str, tuple[str, Verdict]] = {}
        self._crowds: dict[str, Crowd] = {}
        self._turned: set[str] = set()

    def take(self, site: Site, shown: SiteShown) -> Crowd:
        """Count a site's line as it is shown now; returns the others at its bridge."""
        part = shown.marks[Mark.LINE]
        now = part.shown.verdict if part and site.type != "bridge" else Verdict.UNKNOWN
        bridge, before = self._lines.get(site.id, (site.bridge, Verdict.UNKNOWN))
        crowd = self._crowds.get(bridge, NOBODY)
        others = crowd.without(before)
        if now is not before:
            self._lines[site.id] = (bridge, now)
            after = self._crowds[bridge] = others.with_one(now)
            if after.mostly_suffers != crowd.mostly_suffers:
                self._turned.add(bridge)
        return others

    def turned(self) -> set[str]:
        """The bridges of which it is now another matter whether most suffer; each told once."""
        turned, self._turned = self._turned, set()
        return turned


def segment_at_fault(
    link: Verdict, lan: Verdict, others: Crowd = NOBODY, other_hub: Verdict = Verdict.UNKNOWN
) -> Segment | None:
    """The segment that a line to a hub is to be blamed on; None when it is good.

    Args:
        link: this site's line to this hub.
        lan: the first hop of the same line.
        others: the other sites' lines to this hub at the same time.
        other_hub: this site's same line to the other hub.
    """
    if link is Verdict.GOOD:
        return None
    if lan is Verdict.POOR or (lan is Verdict.FAIR and link in _BAD):
        return Segment.ROOM
    if link is Verdict.UNKNOWN:
        return Segment.UNKNOWN
    if others.mostly_suffers:
        return Segment.BRIDGE
    if others.mostly_suffers is None and other_hub is Verdict.GOOD:
        return Segment.BRIDGE
    return Segment.LINE if lan is Verdict.GOOD or other_hub is Verdict.GOOD else Segment.UNKNOWN


def blame(site: Site, shown: SiteShown, streams: Mapping[Key, Stream], others: Crowd, now: int) -> Segment | None:
    """Where the fault of a site lies that is fair or poor; None where there is none to be found."""
    decided = shown.site
    if decided is None or decided.shown.verdict not in _BAD:
        return None
    name = decided.failure or decided.shown.metric or ""
    probe = name.partition(".")[0]
    line = shown.marks[Mark.LINE]
    if probe == "link" and line is not None:
        lan = probe_verdict(streams, now, lambda key: key.probe == "lan" and key.line == MAIN)
        elsewhere = probe_verdict(
            streams, now, lambda key: key.probe == "link" and key.line == MAIN and not site.is_own_hub(key.target)
        )
        return segment_at_fault(line.shown.verdict, lan, others, elsewhere)
    if probe in PROBE_AT:
        return PROBE_AT[probe]
    metric = METRICS.get(name)
    return SEGMENT_OF.get(metric.remedy, Segment.UNKNOWN) if metric else Segment.UNKNOWN
