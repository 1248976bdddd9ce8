"""Tokens, codes and keys: what is kept, and what is handed out once."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest

from monitor.access.registry import Access
from monitor.access.tokens import new_api_token
from monitor.devices import DeviceError, Devices, Role, add_device, hashed, new_code, trust_part, use_code
from monitor.store.database import path_in, reading, transaction
from probes.enrol import parse_code
from tests.monitor.house import NOW_MS, prepare_city


def test_no_token_or_code_stands_in_the_database(tmp_path: Path) -> None:
    prepare_city(tmp_path)
    with transaction(tmp_path) as connection:
        _, token = add_device(connection, "31-1", Role.PROBE, NOW_MS)
        code = new_code(connection, "31-1", Role.PROBE, NOW_MS, 1000)
        api = new_api_token(connection, "grafana", NOW_MS)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (token, token.removeprefix("dct_"), code, code.replace("-", ""), api):
        assert secret.encode() not in written


def test_the_database_is_for_its_owner_only(tmp_path: Path) -> None:
    prepare_city(tmp_path)
    assert path_in(tmp_path).stat().st_mode & 0o077 == 0


def test_every_device_has_a_session_id_of_its_own(tmp_path: Path) -> None:
    prepare_city(tmp_path)
    with transaction(tmp_path) as connection:
        ssids = [add_device(connection, "31-1", Role.PROBE, NOW_MS)[0].ssid for _ in range(300)]
    assert len(set(ssids)) == 300
    assert all(0 < ssid <= 0xFFFF for ssid in ssids)


def test_a_second_hub_of_a_bridge_answers_with_the_same_keys(tmp_path: Path) -> None:
    prepare_city(tmp_path)
    with transaction(tmp_path) as connection:
        first, _ = add_device(connection, "hp", Role.HUB, NOW_MS)
        second, _ = add_device(connection, "hp", Role.HUB, NOW_MS + 1)
        other, _ = add_device(connection, "hd", Role.HUB, NOW_MS + 1)
    assert first.hub_secret == second.hub_secret != other.hub_secret


def test_a_code_that_was_used_leaves_no_second_device(tmp_path: Path) -> None:
    prepare_city(tmp_path)
    with transaction(tmp_path) as connection:
        code = new_code(connection, "31-1", Role.PROBE, NOW_MS, 1000)
        use_code(connection, code, NOW_MS)
        with pytest.raises(DeviceError, match="used already"):
            use_code(connection, code, NOW_MS)
    known = Devices()
    with reading(tmp_path) as connection:
        known.load(connection)
    assert len(known.by_id) == 1


def test_a_new_api_token_of_a_name_replaces_the_earlier_one(tmp_path: Path) -> None:
    prepare_city(tmp_path)
    with transaction(tmp_path) as connection:
        first = new_api_token(connection, "grafana", NOW_MS)
        second = new_api_token(connection, "grafana", NOW_MS)
    known = Access()
    with reading(tmp_path) as connection:
        known.load(connection)
    assert known.token(hashed(first), NOW_MS) is None
    found = known.token(hashed(second), NOW_MS)
    assert found is not None
    assert found.name == "grafana"


def test_a_code_ends_as_the_device_reads_it() -> None:
    der = bytes(range(200))
    pem = f"# our authority\n{ssl.DER_cert_to_PEM_cert(der)}"
    assert trust_part(pem) == hashlib.sha256(der).hexdigest()[:16]
    assert parse_code(f"ABCD-2345-{trust_part(pem)}").trust == trust_part(pem)
    assert parse_code(f"ABCD-2345-{trust_part(None)}").trust == "plain"
    with pytest.raises(ValueError, match="no certificate"):
        trust_part("nothing")
