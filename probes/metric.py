"""What a declaration is: one `Metric` says everything there is to say about one figure.

Names, units, limits, words and advice live here and nowhere else. The wire schema, Prometheus and Influx names,
dashboards, rules and the metric pages are derived from these declarations (`monitor/derive`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple


class Text(NamedTuple):
    """The same words in Vietnamese and English."""

    vi: str
    en: str


class Unit(StrEnum):
    """The unit a value carries on the wire; the metric's name ends in it."""

    MS = "ms"
    SECONDS = "s"
    RATIO = "ratio"
    PACKETS = "packets"
    REPORTS = "reports"
    BYTES = "bytes"
    MBPS = "mbps"
    KBPS = "kbps"
    PX = "px"
    HZ = "hz"
    KELVIN = "k"
    CELSIUS = "c"
    VOLT = "v"
    DB = "db"
    DBFS = "dbfs"
    MOS = "mos"
    DSCP = "dscp"
    COUNT = "count"
    YES_NO = "yes_no"


UNIT_WORDS: dict[Unit, str] = {
    Unit.MS: "ms",
    Unit.SECONDS: "s",
    Unit.RATIO: "%",
    Unit.BYTES: "byte",
    Unit.MBPS: "Mbit/s",
    Unit.KBPS: "kbit/s",
    Unit.PX: "px",
    Unit.HZ: "Hz",
    Unit.KELVIN: "K",
    Unit.CELSIUS: "°C",
    Unit.VOLT: "V",
    Unit.DB: "dB",
    Unit.DBFS: "dBFS",
}
"""Units that are written behind a figure; a count, a DSCP or a MOS stands alone."""


class Mark(StrEnum):
    """The five marks of a site, always in this order; `NONE` is measured and shown but judges nothing."""

    LINE = "line"
    PICTURE = "picture"
    SOUND = "sound"
    LIGHT = "light"
    POWER = "power"
    NONE = "none"


class Direction(StrEnum):
    """Which way is better."""

    LOWER = "lower"
    HIGHER = "higher"
    BAND = "band"
    NONE = "none"


class Remedy(StrEnum):
    """Who or what can mend it: the class of the cure."""

    CARRIER = "carrier"
    LOCAL_NETWORK = "local_network"
    LIGHT_AND_CURTAINS = "light_and_curtains"
    MICROPHONE_AND_LOUDSPEAKER = "microphone_and_loudspeaker"
    UPS = "ups"
    PEOPLE = "people"
    DEVICE = "device"
    NONE = "none"


class Side(StrEnum):
    """Where a figure is computed."""

    PROBE = "probe"
    CENTRE = "centre"


@dataclass(frozen=True, slots=True)
class Span:
    """A closed interval; an open end is None."""

    low: float | None = None
    high: float | None = None

    def holds(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def narrowed(self, margin: float) -> Span:
        """The same interval, `margin` further inside at each end that is closed."""
        low = None if self.low is None else self.low + margin
        high = None if self.high is None else self.high - margin
        return Span(low, high)


@dataclass(frozen=True, slots=True)
class Limits:
    """Where good ends and where poor begins.

    `good` lies within `fair`; a value outside `fair` is poor. `margin` is how far inside a limit a reading must come
    before a worse verdict is cleared, in the metric's own unit; None means a tenth of the limit.
    """

    good: Span
    fair: Span
    margin: float | None = None

    @staticmethod
    def at_most(good: float, fair: float, margin: float | None = None) -> Limits:
        """Lower is better: good up to `good`, fair up to `fair`, poor above."""
        return Limits(Span(high=good), Span(high=fair), margin)

    @staticmethod
    def at_least(good: float, fair: float, margin: float | None = None) -> Limits:
        """Higher is better: good from `good`, fair from `fair`, poor below."""
        return Limits(Span(low=good), Span(low=fair), margin)


class Judging(StrEnum):
    """How readings become one value to hold against the limits."""

    LATEST = "latest"
    """The reading itself."""
    LOSS_60S = "loss_60s"
    """Events over packets of the last 60 s, on the lower bound of its interval: noise of few packets accuses nobody."""
    AT_50_PER_SECOND = "at_50_per_second"
    """The reading itself, but only where the report was made at 50 packets/s or more."""
    BASELINE_7D = "baseline_7d"
    """The reading, and beside it the ratio to the median of the link's own last 7 days."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The counts, by metric name, that make a share over 60 s: `events` of `of`, in `runs` runs."""

    events: str
    of: str
    runs: str | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """Limits on reading ÷ own median, and how far above that median a reading must be to matter at all."""

    ratio: Limits
    floor: float


@dataclass(frozen=True, slots=True)
class Hold:
    """When a new verdict is believed: `raise_of` bad among the last `raise_in`, `clear_after` better in a row."""

    raise_of: int = 3
    raise_in: int = 5
    clear_after: int = 6
    hard: bool = False
    """A hard loss is believed at once; clearing still takes `clear_after`."""


SAMPLED = Hold()
AT_ONCE = Hold(raise_of=1, raise_in=1, clear_after=6, hard=True)
EACH_RUN = Hold(raise_of=1, raise_in=1, clear_after=1)
"""For figures measured a few times a day: a run is believed."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: what it is called, what it means, where it is good and what to do when it is not."""

    probe: str
    name: str
    unit: Unit
    label: Text
    meaning: Text
    stale_after_s: int
    direction: Direction = Direction.NONE
    limits: Limits | None = None
    by_class: Mapping[str, Limits] = field(default_factory=dict)
    """Limits of a site class (`radio`, `satellite`, `island`) where they differ."""
    judging: Judging = Judging.LATEST
    pool: Pool | None = None
    baseline: Baseline | None = None
    hold: Hold = SAMPLED
    mark: Mark = Mark.NONE
    shows_on: str | None = None
    """The probe on which a fault must show too: while that one is good, this metric accuses nobody."""
    computed: Side = Side.PROBE
    advice: Text | None = None
    remedy: Remedy = Remedy.NONE
    source: str = ""
    """Where the limit comes from."""

    @property
    def full_name(self) -> str:
        return f"{self.probe}.{self.name}"

    def limits_for(self, site_class: str) -> Limits | None:
        return self.by_class.get(site_class, self.limits)


def declaring(probe: str, stale_after_s: int, **more: Any) -> partial[Metric]:
    """What a probe declares its metrics with: `one(name, unit, label, meaning, …)`."""
    return partial(Metric, probe, stale_after_s=stale_after_s, **more)


class Meaning(StrEnum):
    """What a failed run says of the mark it would have measured."""

    POOR = "poor"
    OFF = "off"
    HUB_BUSY = "hub_busy"
    NO_DEVICE = "no_device"
    DEVICE_IN_USE = "device_in_use"
    CLOCK = "clock"
    NOT_MEASURED = "not_measured"


@dataclass(frozen=True, slots=True)
class FailureCode:
    """One way a run can fail: POOR accuses the mark, anything else makes it unknown with that reason."""

    probe: str
    code: str
    meaning: Meaning
    label: Text
    mark: Mark = Mark.NONE
    advice: Text | None = None
