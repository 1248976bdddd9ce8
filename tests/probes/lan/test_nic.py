"""The port as Linux shows it, read from a tree of files like /sys/class/net."""

from __future__ import annotations

from pathlib import Path

from probes.lan.measure import Nic
from probes.lan.nic import hardware, read_nic


def port(sys: Path, name: str, **files: str) -> Path:
    made = sys / name
    (made / "statistics").mkdir(parents=True)
    for file, text in files.items():
        (made / "statistics" / file if file.endswith("_errors") else made / file).write_text(text + "\n")
    return made


def cable(sys: Path, name: str) -> Path:
    made = port(
        sys, name, carrier="1", speed="100", duplex="half", rx_errors="3", tx_errors="4", carrier_down_count="2"
    )
    (made / "device").mkdir()
    return made


def test_a_cable_is_read(tmp_path: Path) -> None:
    cable(tmp_path, "eth0")
    assert read_nic("eth0", tmp_path, tmp_path / "none") == Nic("eth0", True, 100, False, 7, 2)


def test_a_vlan_on_a_bridge_has_the_speed_of_the_cable_below(tmp_path: Path) -> None:
    cable(tmp_path, "eth0")
    (port(tmp_path, "br0", carrier="1") / "lower_eth0").symlink_to(tmp_path / "eth0")
    (port(tmp_path, "br0.7", carrier="1") / "lower_br0").symlink_to(tmp_path / "br0")
    seen = read_nic("br0.7", tmp_path, tmp_path / "none")
    assert (seen.interface, seen.speed_mbps, seen.errors) == ("br0.7", 100, 7)


def test_a_bridge_of_two_cables_has_no_single_speed(tmp_path: Path) -> None:
    bridge = port(tmp_path, "br0", carrier="1")
    for name in ("eth0", "eth1"):
        cable(tmp_path, name)
        (bridge / f"lower_{name}").symlink_to(tmp_path / name)
    assert read_nic("br0", tmp_path, tmp_path / "none").speed_mbps is None


def test_a_radio_is_known_and_its_signal_read(tmp_path: Path) -> None:
    (port(tmp_path, "wlan0", carrier="1") / "wireless").mkdir()
    table = tmp_path / "proc_net_wireless"
    table.write_text("head\nhead\n wlan0: 0000 58. -61. -256 0 0 0 0 0 0\n")
    seen = read_nic("wlan0", tmp_path, table)
    assert (seen.is_wifi, seen.wifi_signal_dbm, seen.speed_mbps) == (True, -61.0, None)


def test_a_port_that_is_gone_says_nothing(tmp_path: Path) -> None:
    assert read_nic("eth9", tmp_path, tmp_path / "none") == Nic("eth9")


def test_only_hardware_counts_as_a_cable(tmp_path: Path) -> None:
    cable(tmp_path, "eth0")
    port(tmp_path, "lo", carrier="1")
    assert hardware(tmp_path) == ["eth0"]
