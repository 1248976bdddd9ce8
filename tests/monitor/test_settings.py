"""Settings: what is wrong is named by file, line, key and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.app import warnings_of
from monitor.settings import Settings, SettingsError, read_settings

WHOLE = """\
data = "/var/lib/diemcau"
listen = "127.0.0.1:9000"
code_hours = 24

[[hubs]]
id = "hp"
host = "10.0.0.1"

[[hubs]]
id = "hd"
host = "10.0.0.2"
stamp_port = 8620

[limits."31-1"]
"link.rtt_p50_ms" = { good = ["", 40], fair = ["", 80] }
"""


def read(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "monitor.toml"
    file.write_text(text)
    return read_settings(file)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    settings = read(tmp_path, WHOLE)
    assert [(hub.id, hub.stamp_port) for hub in settings.hubs] == [("hp", 862), ("hd", 8620)]
    limits = settings.limits["31-1"]["link.rtt_p50_ms"].limits()
    assert (limits.good.low, limits.good.high, limits.fair.high) == (None, 40, 80)


def test_an_empty_file_is_a_working_centre_on_the_loopback(tmp_path: Path) -> None:
    assert read(tmp_path, "") == read_settings(None) == Settings()


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("code_hours = 24", 'code_hours = "a day"'), 3, ("code_hours", "'a day'")),
        (("code_hours = 24", "hours = 24"), 3, ("hours", "24", "unknown")),
        (("stamp_port = 8620", 'stamp_port = "x"'), 12, ("hubs[1].stamp_port", "'x'")),
        (("127.0.0.1:9000", "127.0.0.1"), 2, ("listen", "'127.0.0.1'", "HOST:PORT")),
        (('id = "hd"', 'id = "hp"'), 6, ("'hp'", "twice")),
        (("code_hours = 24", 'ca_file = "/no/such.pem"'), 3, ("ca_file", "/no/such.pem")),
        (('good = ["", 40]', 'good = ["", "x"]'), 15, ("limits", "good")),
        (("link.rtt_p50_ms", "link.rtt"), 15, ("limits.31-1.link.rtt", "no metric")),
        (("code_hours = 24", "code_hours = = 1"), 3, ("TOML",)),
    ],
)
def test_a_fault_names_file_line_key_and_value(
    tmp_path: Path, change: tuple[str, str], line: int, words: tuple[str, ...]
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, WHOLE.replace(*change))
    sentence = str(caught.value)
    assert "monitor.toml" in sentence
    assert f"line {line}" in sentence, sentence
    assert all(word in sentence for word in words), sentence


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nothing\.toml"):
        read_settings(tmp_path / "nothing.toml")


def test_listening_beyond_this_machine_is_warned_of(tmp_path: Path) -> None:
    assert any("asks no login" in sentence for sentence in warnings_of(Settings(listen="0.0.0.0:8080")))
    assert not any("asks no login" in sentence for sentence in warnings_of(Settings()))
