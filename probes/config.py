"""What a device is told about itself: frozen, read from TOML; an error names file, line, key and value."""

from __future__ import annotations

import logging
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from probes.report import IDENTITY

_Config = TypeVar("_Config", bound="SiteConfig | HubConfig | CentralConfig")
Key = tuple[str | int, ...]
"""Where a value stands in the file: ("hubs", 0, "stamp_port")."""
log = logging.getLogger(__name__)


class ConfigError(ValueError):
    """The configuration cannot be used; the sentence names file, line, key and value."""


class HubTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One far end to measure against."""

    id: str
    host: str
    stamp_port: int = 862
    call_url: str | None = None
    ssid: int | None = None
    """Fixed in authenticated mode; random in open mode (None)."""
    stamp_key: str | None = None
    """Hex. With it every packet is authenticated (RFC 8762 section 4.1.2)."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way out of the site: bound to a source address, an interface, or neither (the system's own choice)."""

    id: str = "main"
    source: str | None = None
    interface: str | None = None
    carrier: str | None = None
    dscp: int = 0


class SpoolConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where reports wait, and how much disk they may take."""

    dir: str = "."
    max_bytes: int = 512 * 1024 * 1024


class CentreTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where reports go."""

    url: str
    device: str
    token: str
    """Secret. In the file `token_file` may stand in its place: a file beside this one, read at the start."""
    ca_file: str | None = None
    """The only authority trusted for this centre (PEM); None trusts the system's."""


class SiteConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device at a site (`diemcau-probe run`)."""

    site: str
    centre: CentreTarget | None = None
    hubs: Sequence[HubTarget] = ()
    lines: Sequence[Line] = (Line(),)
    probes: Sequence[str] = ("link", "lan", "host")
    spool: SpoolConfig = SpoolConfig()
    site_class: str = "fibre"


class HubConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The far end at a main bridge (`diemcau-probe hub`); a device with its own spool."""

    site: str
    listen: str = "[::]:862"
    workers: int = 1
    centre: CentreTarget | None = None
    peers: Sequence[HubTarget] = ()
    """Other hubs to measure: bridges are sites too."""
    spool: SpoolConfig = SpoolConfig()
    metrics_listen: str | None = "127.0.0.1:9862"
    packets_per_second: int = 50_000
    """Total the hub answers; each source has its own bucket of twice the agreed rate besides."""
    sessions: int = 8192
    """Places for senders that prove nothing; those with a key have places of their own."""
    clock_window_s: float | None = None
    """Authenticated packets stamped further than this from the hub's clock are refused: only where all clocks are kept
    right (NTP), since a device with a wrong clock is then not answered."""


class CentralConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The prober at the centre (`diemcau-probe central`): reaches every site's router."""

    site: str
    centre: CentreTarget | None = None
    spool: SpoolConfig = SpoolConfig()
    every_s: int = 10
    routers: dict[str, str] = {}
    """HOST[:PORT] by site, PORT being that of a TWAMP-Light reflector; none: the centre's list of sites says."""


def load_site(path: Path) -> SiteConfig:
    """The configuration of a device at a site.

    Raises:
        ConfigError: with file, line, key and value.
    """
    return _load(path, SiteConfig)


def load_hub(path: Path) -> HubConfig:
    """The configuration of a hub; raises as `load_site`."""
    return _load(path, HubConfig)


def load_central(path: Path) -> CentralConfig:
    """The configuration of the prober at the centre; raises as `load_site`."""
    return _load(path, CentralConfig)


def _load(path: Path, kind: type[_Config]) -> _Config:
    text = _read(path)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: this is no TOML: {error}.") from error
    _take_token(raw, path, text)
    try:
        config = msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        key, sentence = _explain(str(error))
        raise _error(path, text, raw, key, sentence) from error
    for key, sentence in _faults(config):
        raise _error(path, text, raw, key, sentence)
    return _resolved(config, path.parent)


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{path}: the file cannot be read ({error.strerror}). Name it with --config.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the file is not UTF-8 ({error.reason} at byte {error.start}).") from error
    if mode & 0o077 and re.search(r"^\s*(token|stamp_key)\s*=", text, re.MULTILINE):
        log.warning("%s holds secrets and others can read it: chmod 600 %s", path, path)
    return text


def _take_token(raw: dict[str, Any], path: Path, text: str) -> None:
    """Put the content of `token_file` where `token` belongs."""
    centre = raw.get("centre")
    if not isinstance(centre, dict) or "token_file" not in centre:
        return
    named = centre["token_file"]
    key = ("centre", "token_file")
    if not isinstance(named, str) or "token" in centre:
        raise _error(path, text, raw, key, "give either token_file (a file name) or token, not both")
    file = path.parent / named
    try:
        centre["token"] = file.read_text(encoding="ascii").strip()
        if file.stat().st_mode & 0o077:
            log.warning("%s is a secret and others can read it: chmod 600 %s", file, file)
    except (OSError, UnicodeDecodeError) as error:
        raise _error(path, text, raw, key, f"the file cannot be read ({error})") from error
    del centre["token_file"]


def _resolved(config: _Config, folder: Path) -> _Config:
    """The same with file names counted from the folder of the configuration."""
    replace = msgspec.structs.replace
    config = replace(config, spool=replace(config.spool, dir=str(folder / config.spool.dir)))
    if config.centre is not None and config.centre.ca_file is not None:
        config = replace(config, centre=replace(config.centre, ca_file=str(folder / config.centre.ca_file)))
    return config


def _faults(config: SiteConfig | HubConfig | CentralConfig) -> Iterator[tuple[Key, str]]:
    """What a type cannot say, one sentence for each key that breaks it."""
    yield from _must(("site",), config.site, _is_id, "use letters, digits and . _ : - (at most 64)")
    if config.spool.max_bytes < 4 << 20:
        yield ("spool", "max_bytes"), "a spool needs at least 4194304 bytes"
    if config.centre is not None:
        yield from _centre_faults(config.centre)
    match config:
        case SiteConfig():
            yield from _site_faults(config)
        case HubConfig():
            yield from _hubs_faults("peers", config.peers)
            yield from _must(("workers",), config.workers, lambda n: 1 <= n <= 64, "use 1 to 64")
            yield from _must(("sessions",), config.sessions, lambda n: 1 <= n <= 1 << 20, "use 1 to 1048576")
            yield from _must(("clock_window_s",), config.clock_window_s, _is_window, "use seconds above 0")
            yield from _must(("packets_per_second",), config.packets_per_second, lambda n: n >= 1, "use 1 or more")
        case CentralConfig():
            yield from _must(("every_s",), config.every_s, lambda s: 1 <= s <= 3600, "use 1 to 3600 seconds")


def _centre_faults(centre: CentreTarget) -> Iterator[tuple[Key, str]]:
    yield from _must(("centre", "url"), centre.url, _is_url, "use http://HOST[:PORT] or https://HOST[:PORT]")
    yield from _must(("centre", "device"), centre.device, _is_id, "use the id that enrolment gave")
    token_fits = centre.token.isascii() and centre.token.isprintable() and " " not in centre.token and centre.token
    if not token_fits:
        yield ("centre", "token"), "the token is empty or has blanks in it; enrol again"


def _site_faults(config: SiteConfig) -> Iterator[tuple[Key, str]]:
    yield from _hubs_faults("hubs", config.hubs)
    seen: set[str] = set()
    for index, line in enumerate(config.lines):
        yield from _must(("lines", index, "id"), line.id, _is_id, "use letters, digits and . _ : - (at most 64)")
        yield from _must(("lines", index, "id"), line.id, lambda id: id not in seen, "each line needs an id of its own")
        yield from _must(("lines", index, "dscp"), line.dscp, lambda dscp: 0 <= dscp <= 63, "use 0 to 63")
        seen.add(line.id)
    if not config.lines:
        yield ("lines",), "a site has at least one line"


def _hubs_faults(table: str, hubs: Sequence[HubTarget]) -> Iterator[tuple[Key, str]]:
    seen: set[str] = set()
    for index, hub in enumerate(hubs):
        at = (table, index)
        yield from _must((*at, "id"), hub.id, _is_id, "use letters, digits and . _ : - (at most 64)")
        yield from _must((*at, "id"), hub.id, lambda id: id not in seen, "each hub needs an id of its own")
        yield from _must((*at, "host"), hub.host, lambda host: bool(host.strip()), "name a host or an address")
        yield from _must((*at, "stamp_port"), hub.stamp_port, lambda port: 1 <= port <= 65535, "use 1 to 65535")
        yield from _must((*at, "ssid"), hub.ssid, lambda id: id is None or 1 <= id <= 65535, "use 1 to 65535")
        yield from _must((*at, "stamp_key"), hub.stamp_key, _is_key, "a key is hexadecimal, 16 bytes or more")
        seen.add(hub.id)


_Value = TypeVar("_Value")


def _must(key: Key, value: _Value, fits: Callable[[_Value], bool], sentence: str) -> Iterator[tuple[Key, str]]:
    if not fits(value):
        yield key, sentence


def _is_id(value: str) -> bool:
    return IDENTITY.fullmatch(value) is not None


def _is_url(value: str) -> bool:
    try:
        url = urlsplit(value)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and not url.username
    except ValueError:
        return False


def _is_window(value: float | None) -> bool:
    return value is None or (math.isfinite(value) and value > 0)


def _is_key(value: str | None) -> bool:
    if value is None:
        return True
    try:
        return len(bytes.fromhex(value)) >= 16
    except ValueError:
        return False


def _explain(message: str) -> tuple[Key, str]:
    """msgspec's message, taken apart: where, and what is wrong there."""
    what, _, where = message.partition(" - at `$")
    key: Key = tuple(int(number) if number else name for name, number in re.findall(r"\.([^.\[`]+)|\[(\d+)\]", where))
    named = re.search(r"field `([^`]+)`", what)
    if named is None:
        return key, what[:1].lower() + what[1:]
    if "missing" in what:
        return (*key, named[1]), "it is missing; add it"
    return (*key, named[1]), "no such key is known here; check its spelling"


def _error(path: Path, text: str, raw: dict[str, Any], key: Key, sentence: str) -> ConfigError:
    name = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")
    value: Any = raw
    for part in key:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = math.nan
            break
    secret = key and key[-1] in ("token", "stamp_key")
    shown = "" if value is math.nan else " = (secret)" if secret else f" = {_short(value)}"
    return ConfigError(f"{path}:{line_of(text, key)}: {name}{shown}: {sentence}.")


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def line_of(text: str, key: Key) -> int:
    """The line (from 1) on which `key` stands in a TOML text; the line of its table when it is not there itself."""
    seen: dict[str, int] = {}
    table: Key = ()
    best_line, best_length = 1, 0
    for number, line in enumerate(text.splitlines(), 1):
        here = table
        if header := re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line):
            parts = _dotted(header[2])
            if header[1] == "[[":
                seen[header[2]] = seen.get(header[2], -1) + 1
                parts = (*parts, seen[header[2]])
            here = table = parts
        elif entry := re.match(r"\s*([\w.\-\"' ]+?)\s*=", line):
            here = (*table, *_dotted(entry[1]))
        else:
            continue
        if key[: len(here)] == here and len(here) > best_length:
            best_line, best_length = number, len(here)
    return best_line


def _dotted(name: str) -> Key:
    return tuple(part.strip().strip("\"'") for part in name.split("."))
