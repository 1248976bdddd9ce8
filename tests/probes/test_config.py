"""A wrong configuration is refused with file, line, key and value; a right one is read whole."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from probes.config import ConfigError, HubTarget, Line, load_central, load_hub, load_site

SITE = """\
site = "31-11329"
site_class = "radio"
probes = ["link", "lan", "host"]

[centre]
url = "https://giamsat.example:8443"
device = "d-3f9a21"
token_file = "token"
ca_file = "ca.pem"

[spool]
dir = "spool"

[[hubs]]
id = "hp"
host = "10.1.0.1"
stamp_port = 8620

[[hubs]]
id = "hd"
host = "10.2.0.1"
ssid = 77
stamp_key = "000102030405060708090a0b0c0d0e0f"

[[lines]]
id = "main"

[[lines]]
id = "backup"
interface = "wwan0"
dscp = 46
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.write_text(text)
    path.chmod(0o600)
    (folder / "token").write_text("secret-token\n")
    (folder / "token").chmod(0o600)
    return path


def refusal(folder: Path, text: str) -> str:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_site(path)
    return str(caught.value).replace(str(path), "site.toml")


def test_a_site_is_read_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = load_site(write(tmp_path, SITE))
    assert config.centre
    assert config.centre.token == "secret-token"
    assert config.centre.ca_file == str(tmp_path / "ca.pem")
    assert config.spool.dir == str(tmp_path / "spool")
    assert config.hubs[1] == HubTarget("hd", "10.2.0.1", ssid=77, stamp_key="000102030405060708090a0b0c0d0e0f")
    assert list(config.lines) == [Line("main"), Line("backup", interface="wwan0", dscp=46)]
    assert caplog.text == ""


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    config = load_site(write(tmp_path, 'site = "a"'))
    assert (config.centre, list(config.lines), list(config.probes)) == (None, [Line()], ["link", "lan", "host"])


@pytest.mark.parametrize(
    ("wrong", "right", "sentence"),
    [
        ("stamp_port = 8620", 'stamp_port = "x"', "site.toml:17: hubs[1].stamp_port = 'x': expected `int`, got `str`."),
        ("stamp_port = 8620", "stamp_port = 0", "site.toml:17: hubs[1].stamp_port = 0: use 1 to 65535."),
        ('id = "hd"', 'id = "hp"', "site.toml:20: hubs[2].id = 'hp': each hub needs an id of its own."),
        ("dscp = 46", "dscp = 64", "site.toml:31: lines[2].dscp = 64: use 0 to 63."),
        ("dscp = 46", "dcsp = 46", "site.toml:31: lines[2].dcsp = 46: no such key is known here; check its spelling."),
        (
            'url = "https://giamsat.example:8443"',
            'url = "giamsat"',
            "site.toml:6: centre.url = 'giamsat': use http://HOST[:PORT] or https://HOST[:PORT].",
        ),
        ('device = "d-3f9a21"\n', "", "site.toml:5: centre.device: it is missing; add it."),
        ('site = "31-11329"', 'site = "Hải Phòng"', "site.toml:1: site = 'Hải Phòng': use letters, digits"),
        ('dir = "spool"', "max_bytes = 9", "site.toml:12: spool.max_bytes = 9: a spool needs at least 4194304 bytes."),
        ('token_file = "token"', 'token_file = "none"', "site.toml:8: centre.token_file = 'none': the file cannot be"),
    ],
)
def test_a_wrong_value_is_named_with_file_line_and_key(tmp_path: Path, wrong: str, right: str, sentence: str) -> None:
    assert wrong in SITE
    assert refusal(tmp_path, SITE.replace(wrong, right)).startswith(sentence)


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    text = SITE.replace("000102030405060708090a0b0c0d0e0f", "0badbeef")
    assert refusal(tmp_path, text) == (
        "site.toml:23: hubs[2].stamp_key = (secret): a key is hexadecimal, 16 bytes or more."
    )


def test_what_is_no_toml_is_named_with_its_line(tmp_path: Path) -> None:
    assert "at line 2" in refusal(tmp_path, 'site = "a"\nsite =\n')


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read .* Name it with --config"):
        load_hub(tmp_path / "hub.toml")


def test_a_secret_that_others_can_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, SITE)
    (tmp_path / "token").chmod(0o644)
    with caplog.at_level(logging.WARNING):
        load_site(path)
    assert f"{tmp_path / 'token'} is a secret and others can read it" in caplog.text


def test_a_hub_and_the_prober_at_the_centre_are_read(tmp_path: Path) -> None:
    hub = tmp_path / "hub.toml"
    hub.write_text('site = "hp"\nlisten = "[::]:8620"\n[[peers]]\nid = "hd"\nhost = "10.2.0.1"\n')
    assert load_hub(hub).peers[0].stamp_port == 862
    central = tmp_path / "central.toml"
    central.write_text('site = "centre"\nevery_s = 0\n')
    with pytest.raises(ConfigError, match=r"central.toml:2: every_s = 0: use 1 to 3600 seconds"):
        load_central(central)
