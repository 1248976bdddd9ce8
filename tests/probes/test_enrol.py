"""A code goes to the centre that made it and to nobody else; what is written can be run at once."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from probes.config import load_hub, load_site
from probes.enrol import EnrolError, enrol, parse_code
from tests.probes.centres import SmallCentre, serving
from tests.probes.certificates import Authority

KEY = "000102030405060708090a0b0c0d0e0f"
ANSWER: dict[str, Any] = {
    "site": "31-11329",
    "device": "d-3f9a21",
    "role": "probe",
    "class": "island",
    "token": "secret-token",
    "hubs": [
        {"id": "hp", "host": "10.1.0.1", "stamp_port": 8620, "call_url": None, "ssid": 77, "stamp_key": KEY},
        {"id": "hd", "host": "10.2.0.1", "stamp_port": 862, "call_url": None, "ssid": None, "stamp_key": None},
    ],
    "ca_pem": None,
    "limits": {"version": "3f", "limits": {}},
}


class EnrollingCentre(SmallCentre):
    """Answers enrolment, and remembers what it was sent."""

    def __init__(self, answer: dict[str, Any] = ANSWER, status: int = 200) -> None:
        super().__init__()
        self.codes: list[str] = []
        self.others["POST", "/api/v1/enrol"] = self._enrol(status, answer)

    def _enrol(self, status: int, answer: dict[str, Any]) -> Callable[[bytes], tuple[int, bytes]]:
        def respond(body: bytes) -> tuple[int, bytes]:
            self.codes.append(json.loads(body)["code"])
            return status, json.dumps(answer).encode()

        return respond

    def offer_ca(self, pem: str) -> None:
        self.others["GET", "/ca.pem"] = lambda body: (200, pem.encode())


def fingerprint(file: Path) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read_text())).hexdigest()[:16]


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir() if file.is_file()}


async def test_a_private_centre_without_encryption_enrols_by_a_plain_code(tmp_path: Path) -> None:
    async with serving(EnrollingCentre()) as centre:
        written = await enrol(centre.url, "abcd-2345-PLAIN", tmp_path / "device")
    assert isinstance(centre, EnrollingCentre)
    assert centre.codes == ["ABCD-2345-plain"]
    config = load_site(written)
    assert config.centre
    assert (config.site, config.site_class, config.centre.device, config.centre.token) == (
        "31-11329",
        "island",
        "d-3f9a21",
        "secret-token",
    )
    assert (config.hubs[0].ssid, config.hubs[0].stamp_key, config.hubs[1].ssid) == (77, KEY, None)
    assert "secret-token" not in written.read_text()
    assert modes(tmp_path / "device") == {0o600}


async def test_a_hub_gets_its_own_configuration(tmp_path: Path) -> None:
    async with serving(EnrollingCentre({**ANSWER, "role": "hub", "site": "hp", "hubs": ANSWER["hubs"][1:]})) as centre:
        written = await enrol(centre.url, "ABCD2345-plain", tmp_path)
    assert written.name == "hub.toml"
    assert load_hub(written).peers[0].id == "hd"


async def test_the_authority_in_the_chain_is_pinned(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    chain, key = authority.server(with_root=True)
    async with serving(EnrollingCentre(), certificate=chain, key=key) as centre:
        written = await enrol(centre.url, f"ABCD-2345-{fingerprint(authority.file)}", tmp_path / "device")
    config = load_site(written)
    assert config.centre
    assert config.centre.ca_file
    assert fingerprint(Path(config.centre.ca_file)) == fingerprint(authority.file)


async def test_an_authority_that_the_server_does_not_show_is_asked_for(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    leaf, key = authority.server(with_root=False)
    centre = EnrollingCentre()
    centre.offer_ca(authority.file.read_text())
    async with serving(centre, certificate=leaf, key=key):
        await enrol(centre.url, f"ABCD-2345-{fingerprint(authority.file)}", tmp_path / "device")
    assert len(centre.codes) == 1


async def test_a_stranger_gets_no_code(tmp_path: Path) -> None:
    ours, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "stranger")
    chain, key = stranger.server(with_root=True)
    centre = EnrollingCentre()
    centre.offer_ca(stranger.file.read_text())
    async with serving(centre, certificate=chain, key=key):
        with pytest.raises(EnrolError, match="is not the centre that made this code"):
            await enrol(centre.url, f"ABCD-2345-{fingerprint(ours.file)}", tmp_path / "device")
    assert centre.codes == []
    assert list((tmp_path / "device").iterdir()) == []


async def test_a_stranger_who_shows_our_authority_gets_no_code_either(tmp_path: Path) -> None:
    """Our root is public: anyone can show it. What counts is a certificate that it signed."""
    ours, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "stranger")
    leaf, key = stranger.server(with_root=False)
    leaf.write_text(leaf.read_text() + ours.file.read_text())
    centre = EnrollingCentre()
    centre.offer_ca(ours.file.read_text())
    async with serving(centre, certificate=leaf, key=key):
        with pytest.raises(EnrolError, match=r"cannot be reached .*CERTIFICATE_VERIFY_FAILED"):
            await enrol(centre.url, f"ABCD-2345-{fingerprint(ours.file)}", tmp_path / "device")
    assert centre.codes == []
    assert list((tmp_path / "device").iterdir()) == []


async def test_what_the_centre_says_of_a_wrong_code_is_passed_on(tmp_path: Path) -> None:
    detail = {"detail": "This code was used already; ask the centre for a new one."}
    async with serving(EnrollingCentre(detail, 403)) as centre:
        with pytest.raises(EnrolError, match="used already") as caught:
            await enrol(centre.url, "ABCD-2345-plain", tmp_path)
    assert not caught.value.is_passing
    assert list(tmp_path.iterdir()) == []


async def test_a_machine_is_not_enrolled_over_itself(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("")
    async with serving(EnrollingCentre()) as centre:
        with pytest.raises(EnrolError, match="is there already"):
            await enrol(centre.url, "ABCD-2345-plain", tmp_path)
    assert isinstance(centre, EnrollingCentre)
    assert centre.codes == []


@pytest.mark.parametrize(
    "text", ["", "ABCD-2345", "ABCD-2345-", "ABCD-2345-0123", "ABCD-2345-plain-x", "ABCD 2345 plain"]
)
def test_a_code_cut_short_is_refused(text: str) -> None:
    with pytest.raises(EnrolError, match="copy all of it"):
        parse_code(text)


@pytest.mark.parametrize(
    ("url", "code", "sentence"),
    [
        ("http://192.0.2.7", f"ABCD-2345-{'0' * 16}", "must begin with https://"),
        ("http://203.0.114.1:80", "ABCD-2345-plain", "a token must not travel so"),
        ("http://giamsat.example", "ABCD-2345-plain", "a token must not travel so"),
        ("giamsat", "ABCD-2345-plain", "is no address of a centre"),
        ("https://127.0.0.1:9", f"ABCD-2345-{'0' * 16}", "127.0.0.1:9 cannot be reached"),
        ("http://127.0.0.1:9", "ABCD-2345-plain", "cannot be reached"),
    ],
)
async def test_where_a_code_must_not_go_it_does_not(tmp_path: Path, url: str, code: str, sentence: str) -> None:
    with pytest.raises(EnrolError, match=sentence):
        await enrol(url, code, tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder]).returncode:
        pytest.skip("needs a tmpfs of its own (root)")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_machine_without_room_for_its_reports_is_told_before_the_code_is_used(small_disk: Path) -> None:
    async with serving(EnrollingCentre()) as centre:
        with pytest.raises(EnrolError, match="No space left"):
            await enrol(centre.url, "ABCD-EFGH-plain", small_disk / "device")
    assert isinstance(centre, EnrollingCentre)
    assert centre.codes == []


async def test_a_machine_has_its_spool_when_it_is_enrolled(tmp_path: Path) -> None:
    async with serving(EnrollingCentre()) as centre:
        await enrol(centre.url, "ABCD-EFGH-plain", tmp_path / "device")
    assert (tmp_path / "device" / "spool" / "spool.db").stat().st_size > 0
    assert stat.S_IMODE((tmp_path / "device" / "spool").stat().st_mode) == 0o700
