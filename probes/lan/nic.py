"""The network port as Linux shows it under /sys/class/net and /proc/net."""

from __future__ import annotations

from pathlib import Path

from probes.lan.measure import Nic, duplex_of, number_of, signals_of, speed_of

SYS = Path("/sys/class/net")
WIRELESS = Path("/proc/net/wireless")
_MAX_LAYERS = 4


def read_nic(interface: str, sys: Path = SYS, wireless: Path = WIRELESS) -> Nic:
    """The port now. Speed, duplex and errors are those of the hardware below a bridge, bond or VLAN."""
    port = _hardware_below(sys / interface)
    statistics = port / "statistics"
    errors = [number_of(_text(statistics / name)) for name in ("rx_errors", "tx_errors")]
    counted = [each for each in errors if each is not None]
    carrier = number_of(_text(port / "carrier"))
    return Nic(
        interface=interface,
        has_carrier=None if carrier is None else carrier == 1,
        speed_mbps=speed_of(_text(port / "speed")),
        full_duplex=duplex_of(_text(port / "duplex")),
        errors=sum(counted) if counted else None,
        carrier_losses=number_of(_text(port / "carrier_down_count")),
        is_wifi=is_wifi(port),
        wifi_signal_dbm=signals_of(_text(wireless)).get(port.name),
    )


def is_wifi(port: Path) -> bool:
    """Whether the port at /sys/class/net/X is a radio."""
    return (port / "wireless").exists() or (port / "phy80211").exists()


def hardware(sys: Path = SYS) -> list[str]:
    """Ports that are hardware, not bridges, tunnels or loopback."""
    return sorted(each.name for each in sys.glob("*") if (each / "device").exists())


def _hardware_below(port: Path) -> Path:
    """Follow `lower_*` links down; a bridge of several ports has no single speed and is taken as it is."""
    for _ in range(_MAX_LAYERS):
        lower = list(port.glob("lower_*"))
        if len(lower) != 1:
            return port
        port = port.parent / lower[0].name.removeprefix("lower_")
    return port


def _text(path: Path) -> str | None:
    """What a file of the kernel says; None where it is missing or, as `speed` without a cable, cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
