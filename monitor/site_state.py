"""All that is known of one site now."""

from __future__ import annotations

from monitor.devices import Device, Grade
from monitor.marks import SiteShown
from monitor.segment import Segment
from monitor.store.runs import Run
from monitor.streams import Key, Stream

REACH = "reach"


class SiteState:
    """What is known of one site now."""

    __slots__ = ("off", "said", "segment", "shown", "silence", "streams", "told")

    def __init__(self) -> None:
        self.streams: dict[Key, Stream] = {}
        self.off: dict[str, int] = {}
        """Devices switched off in order, and when."""
        self.silence: dict[str, int] = {}
        """Hubs that hear nothing of the site, and since when."""
        self.shown: SiteShown | None = None
        self.segment: Segment | None = None
        """Where its fault lies, when it has one."""
        self.told: tuple[object, ...] = ()
        """What the pages were last told of it."""
        self.said: dict[Key, int] = {}
        """Streams with a reading that no page has been told yet."""

    @property
    def last_heard(self) -> int | None:
        """When a device of the site was last heard; what others measured of it is not hearing it."""
        heard = [stream.received_at for key, stream in self.streams.items() if _is_own(key)]
        return max(heard, default=None)

    @property
    def reach(self) -> Stream | None:
        """The newest word of the centre's own prober about the site's router."""
        return max(
            (stream for key, stream in self.streams.items() if key.probe == REACH),
            key=lambda stream: stream.at,
            default=None,
        )

    def answers(self, now: int) -> bool | None:
        """Whether the site's router answers the centre; None: nobody knows."""
        stream = self.reach
        up = None if stream is None or stream.is_stale(now) or stream.failure else stream.values.get("up")
        return None if up is None else bool(up)

    def hear(self, run: Run, device: Device, at: int) -> bool:
        """What a run says beside its readings: a device goes off or is back, a hub hears nothing any more.

        Returns whether the site may look different.
        """
        if run.report.probe == "hub":
            return self._hear_hub(run, device, at)
        changed = self._hear_off(run, at)
        since = self.silence.get(run.report.target or "")
        if since is not None and run.report.probe == "link" and run.report.failure is None and at > since:
            del self.silence[run.report.target or ""]
            changed = True
        return changed

    def _hear_hub(self, run: Run, device: Device, at: int) -> bool:
        silent = run.report.values.get("session_silent")
        if silent is None or device.site == run.site:
            return False
        if silent:
            self.silence[device.site] = at
        else:
            self.silence.pop(device.site, None)
        return True

    def _hear_off(self, run: Run, at: int) -> bool:
        off_at = self.off.get(run.device)
        if run.report.probe == "host" and run.report.values.get("off") and at >= (off_at or 0):
            self.off[run.device] = at
            return off_at is None
        if off_at is not None and at > off_at:
            del self.off[run.device]
            return True
        return False


def _is_own(key: Key) -> bool:
    return key.grade is not Grade.CENTRE and key.probe != "hub"
