"""A morning in the city, told to a real centre: most is well, some is not, some says nothing any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.devices import Role
from tests.whole.centre import QUIET_LINE, Centre, Device, lossy

QUIET_ROOM = {
    "gateway_rtt_p50_ms": 0.61, "gateway_sent_packets": 10, "gateway_lost_packets": 0, "gateway_loss_ratio": 0,
    "nic_speed_mbps": 1000, "nic_full_duplex": 1, "wifi": 0,
}  # fmt: skip
GOOD = ("Ngô Quyền", "Cẩm Giang", "Cẩm Giàng", "Hải Dương", "Cát Hải", "Lạc Phượng")
LOSSY = {"Tứ Kỳ": 0.16, "Đại Sơn": 0.13, "Tân Kỳ": 0.11}
SLOW = "Nguyễn Bỉnh Khiêm"
UNEVEN = "Bạch Long Vĩ"
SILENT = "Vĩnh Am"
CUT = "Nguyễn Đại Năng"
EXPECTED = {"good": len(GOOD), "fair": 2, "poor": len(LOSSY) + 1, "unknown": 1}
"""How many sites show which verdict; with the devices of the two bridges left out."""


@dataclass
class City:
    """Who speaks, and what each says again and again."""

    centre: Centre
    names: Mapping[str, str]
    """Site ids by Vietnamese name."""
    devices: dict[str, Device] = field(default_factory=dict)
    _lines: list[tuple[Device, str | None, str, Mapping[str, float]]] = field(default_factory=list)

    def says(self, site: str, target: str | None, values: Mapping[str, float], probe: str = "link") -> None:
        """The site's device says this six times, 10 s apart up to now, and once more at every `go_on`."""
        if site not in self.devices:
            self.devices[site] = self.centre.device(site, Role.HUB if site in ("hp", "hd") else Role.PROBE)
        self._lines.append((self.devices[site], target, probe, values))
        self.devices[site].tell(values, target, 6, probe)

    def go_on(self) -> None:
        """Another run of everything."""
        for device, target, probe, values in self._lines:
            device.tell(values, target, 1, probe)
        self._fail()

    def _fail(self) -> None:
        self.devices[self.names[CUT]].fail("hub_unreachable", "hd")


def wake(centre: Centre, names: Mapping[str, str]) -> City:
    """Devices at a dozen sites and both bridges."""
    city = City(centre, names)
    city.says("hp", "hd", QUIET_LINE)
    city.says("hd", "hp", QUIET_LINE)
    for name in GOOD:
        for hub in ("hp", "hd"):
            city.says(names[name], hub, QUIET_LINE)
        city.says(names[name], None, QUIET_ROOM, "lan")
    for name, share in LOSSY.items():
        city.says(names[name], "hp", QUIET_LINE)
        city.says(names[name], "hd", lossy(share))
    city.says(names[SLOW], "hp", {**QUIET_LINE, "rtt_p50_ms": 123.4})
    city.says(names[UNEVEN], "hp", {**QUIET_LINE, "dv_up_p99_ms": 62.0})
    silent = city.devices[names[SILENT]] = centre.device(names[SILENT])
    silent.tell(QUIET_LINE, "hp", 6, ago_s=120)
    cut = city.devices[names[CUT]] = centre.device(names[CUT])
    cut.tell(QUIET_LINE, "hd", 5, ago_s=12)
    city.go_on()
    return city
