"""A link between two namespaces that loses, delays, doubles, reorders and re-marks as told, and keeps the truth.

    with namespaces(2) as (site, hub), Link(site, hub, ab=Way(delay_ms=20, loss=0.01), ba=Way(delay_ms=20)) as link:
        hub.start("diemcau-probe", "hub", "--listen", f"{link.b_ip}:8620")
        site.run("ping", "-c", "3", link.b_ip)
        link.set(ab=Way(down=True))
        lost = [row for row in link.rows("ab") if not row.verdict.arrived]

`ab` is the way from the first namespace to the second. Needs root; `why_not()` says what is missing.
"""

from __future__ import annotations

import hashlib
import secrets
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.world.namespaces import Chain, Namespace, call, chain, namespaces, sweep, why_not
from tests.world.truth import Row, Verdict, read

__all__ = [
    "Bursts",
    "Chain",
    "Change",
    "Counters",
    "Link",
    "Namespace",
    "Row",
    "Verdict",
    "Way",
    "chain",
    "emulator",
    "namespaces",
    "sweep",
    "why_not",
]

SOURCES = Path(__file__).parent / "linkemu"
BUILD = Path(__file__).parents[2] / "build"


class Bursts(NamedTuple):
    """A Gilbert-Elliott chain, stepped once per packet: mean burst 1/to_good, mean loss to_bad/(to_bad + to_good)."""

    to_bad: float
    to_good: float
    bad_loss: float = 1.0
    good_loss: float = 0.0


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a link; the default is a clean wire. Ratios are 0 to 1, sizes are IP lengths."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    """Uniform: half its width. Normal: its standard deviation. Exponential: its mean, added to the delay."""
    shape: str = "uniform"
    ordered: bool = True
    """Jitter never lets a packet overtake another; reordering on purpose still does."""
    loss: float = 0.0
    bursts: Bursts | None = None
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_by_ms: float = 25.0
    """How long a reordered packet is held back; others pass it only if they follow within this time."""
    rate_kbps: float = 0.0
    """Bottleneck at IP level; 0 is none."""
    queue_bytes: int = 65536
    overhead_bytes: int = 0
    """Counted at the bottleneck beside each packet's IP length."""
    mtu: int = 0
    mtu_icmp: bool = True
    """Tell the sender of a packet over the MTU (ICMP, ICMPv6), or drop it in silence."""
    dscp: int | None = None
    """Re-mark to this; ECN bits stay."""
    down: bool = False

    def words(self, prefix: str) -> str:
        """All settings in the emulator's language, each with `prefix` (`ab.` or `ba.`)."""
        return " ".join(f"{prefix}{word}" for word in self._words())

    def _words(self) -> list[str]:
        words = []
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name == "bursts":
                words.append("bursts=" + (",".join(f"{part:.9g}" for part in value) if value else "off"))
            elif one.name == "dscp":
                words.append(f"dscp={-1 if value is None else value}")
            elif one.name.endswith("_ms"):
                words.append(f"{one.name.removesuffix('_ms')}_us={value * 1000:.9g}")
            else:
                words.append(f"{one.name}={value if isinstance(value, str) else format(value, '.9g')}")
        return words


class Change(NamedTuple):
    """From `at_s` after the start (or the last reset) on, the direction is `way`."""

    at_s: float
    direction: str
    way: Way


class Counters(NamedTuple):
    """What the emulator itself failed to do. The first three must be 0 for the log to be the whole truth."""

    dropped: int
    """Frames the kernel threw away because the emulator read too slowly."""
    refused: int
    """Frames the far device did not take."""
    unstamped: int
    """Frames whose time out is a user-space stamp."""
    waiting: int
    """Matching packets on their way just now."""


def emulator() -> Path:
    """The compiled emulator; compiled now if its sources changed since the last time."""
    sources = sorted(SOURCES.glob("*.[ch]"))
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    program = BUILD / f"linkemu-{digest}"
    if not program.exists():
        BUILD.mkdir(exist_ok=True)
        fresh = program.with_suffix(f".{secrets.token_hex(4)}")
        code = [str(source) for source in sources if source.suffix == ".c"]
        call("gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-o", str(fresh), *code, "-lm")
        fresh.replace(program)
    return program


class Link:
    """The emulated link between namespaces `a` and `b`; a context manager.

    `both` is the way in each direction where `ab` or `ba` is not given. `match` chooses the packets that meet the dice
    and the log: `any` (all IP but neighbour discovery and the like), `datagram` (UDP and ICMP), `udp`, or a UDP port.
    The fate of the n-th such packet of a direction depends on `seed`, direction, n and the settings alone; only queue
    drops depend on timing.
    """

    def __init__(
        self,
        a: Namespace,
        b: Namespace,
        both: Way | None = None,
        *,
        ab: Way | None = None,
        ba: Way | None = None,
        seed: int = 1,
        match: str | int = "any",
        changes: Sequence[Change] = (),
        device_mtu: int = 1500,
    ) -> None:
        self.a, self.b = a, b
        self.ways = {"ab": ab or both or Way(), "ba": ba or both or Way()}
        self.seed, self.match, self.changes, self.device_mtu = seed, str(match), changes, device_mtu
        index = max(a.links, b.links)
        a.links = b.links = index + 1
        self.device = f"link{index}"
        """Its name in both namespaces."""
        self.a_ip, self.b_ip = f"10.77.{index}.1", f"10.77.{index}.2"
        self.a_ip6, self.b_ip6 = (str(ip_address(f"fd77:{index:x}::{end}")) for end in (1, 2))
        self._macs = [f"02:dc:{index:02x}:{secrets.token_hex(1)}:00:0{end}" for end in (1, 2)]
        self._open = ExitStack()
        self._offset = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            (self._middle,) = stack.enter_context(namespaces(1))
            self.log = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="linkemu-"))) / "truth.log"
            self._wire_up()
            self._start(stack)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def set(self, both: Way | None = None, *, ab: Way | None = None, ba: Way | None = None) -> None:
        """From now on the directions named are like this; the others stay as they are."""
        for direction, way in (("ab", ab or both), ("ba", ba or both)):
            if way is not None:
                self.ways[direction] = way
                self._order(f"set {way.words(direction + '.')}")

    def cut(self, down: bool = True) -> None:
        """An outage of both directions begins, or ends."""
        self.set(ab=replace(self.ways["ab"], down=down), ba=replace(self.ways["ba"], down=down))

    def reset(self, seed: int | None = None, changes: Sequence[Change] | None = None) -> None:
        """Begin anew with packet 0 once nothing is under way; `rows()` shows only what follows."""
        self.settle()
        self.seed = self.seed if seed is None else seed
        self._order(f"reset {self.seed}")
        self._schedule(self.changes if changes is None else changes)
        self._offset = self.log.stat().st_size

    def rows(self, direction: str | None = None) -> list[Row]:
        """The truth so far (packets under way are not in it), by direction, n and time out."""
        self.counters()
        return [row for row in read(self.log, self._offset) if direction in (None, row.direction)]

    def counters(self) -> Counters:
        """What the emulator failed to do since it started, and how much is under way."""
        words = self._order("flush").split()
        return Counters(*(int(word.partition("=")[2]) for word in words))

    def settle(self, limit_s: float = 10.0) -> None:
        """Wait until nothing is under way. Raises TimeoutError if something still is after `limit_s`."""
        give_up = time.monotonic() + limit_s
        while waiting := self.counters().waiting:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{waiting} packets are still on the link after {limit_s} s")
            time.sleep(0.01)

    def _wire_up(self) -> None:
        middle = self._middle
        for scope in ("all", "default"):  # the middle only carries; it must not speak itself
            middle.sysctl(f"net.ipv6.conf.{scope}.disable_ipv6", 1)
        for space, end, mac in ((self.a, "a", self._macs[0]), (self.b, "b", self._macs[1])):
            words = f"name {self.device} address {mac} netns {space.name} type veth peer name {end} netns {middle.name}"
            call("ip", "link", "add", *words.split())
            space.run(str(emulator()), "offloads", self.device)
            middle.run(str(emulator()), "offloads", end)
            middle.ip(f"link set dev {end} mtu {self.device_mtu} up")
            space.ip(f"link set dev {self.device} mtu {self.device_mtu} up")
        self._address(self.a, (self.a_ip, self.a_ip6), (self.b_ip, self.b_ip6), self._macs[1])
        self._address(self.b, (self.b_ip, self.b_ip6), (self.a_ip, self.a_ip6), self._macs[0])

    def _address(self, space: Namespace, own: tuple[str, str], other: tuple[str, str], other_mac: str) -> None:
        """Permanent neighbours: no ARP or ND ever waits behind a long delay or falls to a loss."""
        space.ip(f"addr add {own[0]}/24 dev {self.device}")
        space.ip(f"addr add {own[1]}/64 dev {self.device} nodad")
        for address in other:
            space.ip(f"neigh replace {address} lladdr {other_mac} dev {self.device} nud permanent")

    def _start(self, stack: ExitStack) -> None:
        self._process = self._middle.start(
            *(str(emulator()), "run", "a", "b", str(self.log), self.match, str(self.seed)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        stack.callback(self._stop)
        ready = self._answer()
        if ready != "ready":
            raise RuntimeError(f"the link emulator did not start: it said {ready!r}")
        self.set(ab=self.ways["ab"], ba=self.ways["ba"])
        self._schedule(self.changes)

    def _stop(self) -> None:
        self._process.communicate(timeout=10)
        for space in (self.a, self.b):
            call("ip", "-n", space.name, "link", "del", self.device, check=False)

    def _schedule(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self._order(f"at {change.at_s:.6f} {change.way.words(change.direction + '.')}")

    def _order(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if not answer.startswith("ok"):
            raise RuntimeError(f"the link emulator refused `{line}`: it said {answer!r}")
        return answer.removeprefix("ok").strip()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")
