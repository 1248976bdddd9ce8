"""Which sites are there: heard within the last 3 s by any worker. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SILENT_AFTER_NS = 3_000_000_000
GRACE_NS = 5_000_000_000
"""A worker that died takes its sessions along; its sites get the time to be heard by the next one."""


class Presence:
    """What one worker hears. Only changes are told: 3,321 sites that are all well cost no word."""

    def __init__(self, silent_after_ns: int = SILENT_AFTER_NS) -> None:
        self._silent_after_ns = silent_after_ns
        self._present: set[str] = set()

    def update(self, heard: Mapping[str, int], now_ns: int) -> tuple[set[str], set[str]]:
        """Sites that came and sites that fell silent since the last call; `heard` = site → when (monotonic ns)."""
        present = {site for site, at_ns in heard.items() if now_ns - at_ns < self._silent_after_ns}
        came, went = present - self._present, self._present - present
        self._present = present
        return came, went


class Roll:
    """What all workers hear: a site is silent when none of them hears it."""

    def __init__(self) -> None:
        self._by_site: dict[str, set[int]] = {}
        self._silent: set[str] = set()
        self._grace_until: dict[str, int] = {}

    def __len__(self) -> int:
        """How many sites are there."""
        return len(self._by_site)

    def came(self, worker: int, sites: Iterable[str]) -> list[str]:
        """The sites that are now there and were not, or never were since the start."""
        back = []
        for site in sites:
            if site not in self._by_site and self._grace_until.pop(site, None) is None:
                back.append(site)
            self._by_site.setdefault(site, set()).add(worker)
        self._silent -= set(back)
        return back

    def went(self, worker: int, sites: Iterable[str]) -> list[str]:
        """The sites that nobody hears any more."""
        lost = [site for site in sites if self._leaves(worker, site)]
        self._silent |= set(lost)
        return lost

    def died(self, worker: int, now_ns: int) -> None:
        """The worker hears nothing any more, which says nothing of the sites."""
        for site in list(self._by_site):
            if self._leaves(worker, site):
                self._grace_until[site] = now_ns + GRACE_NS

    def overdue(self, now_ns: int) -> list[str]:
        """The sites that no worker took over in time."""
        lost = [site for site, until_ns in self._grace_until.items() if now_ns >= until_ns]
        for site in lost:
            del self._grace_until[site]
        self._silent |= set(lost)
        return lost

    def silent(self) -> list[str]:
        """The sites that fell silent and are not back."""
        return sorted(self._silent)

    def _leaves(self, worker: int, site: str) -> bool:
        """Whether nobody is left to hear the site."""
        hearers = self._by_site.get(site, set())
        hearers.discard(worker)
        if hearers or site not in self._by_site:
            return False
        del self._by_site[site]
        return True
