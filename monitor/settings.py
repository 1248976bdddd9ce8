"""The centre's settings: frozen, read from TOML; an error names file, line, key and value."""

from __future__ import annotations

import re
import tomllib
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, NoReturn

import msgspec

from probes.catalog import METRICS
from probes.metric import Limits, Span

KEY_IN_ERROR = re.compile(r" - at `\$\.?(.*)`$")


class SettingsError(ValueError):
    """The settings cannot be used; the sentence names file, line, key and value."""


class HubAddress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the devices of the sites find a main bridge's far end."""

    id: str
    """The id of the bridge's site: `hp`, `hd`."""
    host: str
    stamp_port: int = 862
    call_url: str | None = None


class LimitsSetting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of a metric that differ from its declaration: `[low, high]`, an open end left out as `""`."""

    good: tuple[float | None, float | None]
    fair: tuple[float | None, float | None]
    margin: float | None = None

    def limits(self) -> Limits:
        return Limits(Span(*self.good), Span(*self.fair), self.margin)


class AccessSetting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may read without a name, how long a login lasts, and whose word is taken for who somebody is."""

    open_reading: Literal["nobody", "loopback", "everybody"] = "loopback"
    """Who reads without a login: nobody, people on this very machine, or everybody who reaches it."""
    idle_hours: float = 4
    """A session ends when its browser asked nothing for so long."""
    session_hours: float = 16
    """A session ends so long after its login, whatever happens: a day's work."""
    link_hours: float = 24
    """How long a one-time link for setting a password is good."""
    trusted_peers: list[str] = []
    """Addresses or networks of the proxies before the centre: their X-Forwarded-For and -Proto are believed."""
    sso_header: str | None = None
    """The header in which a trusted peer names the account it has checked; None: no single sign-on."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is set; a file with nothing in it is a working centre on the loopback."""

    data: str = "data"
    """Folder of the database; relative to the working directory."""
    listen: str = "127.0.0.1:8080"
    public_url: str | None = None
    """How devices reach the centre; printed with enrolment codes."""
    ca_file: str | None = None
    """The certificate authority devices check the centre by; None: plain HTTP (loopback, or behind a proxy)."""
    hubs: list[HubAddress] = []
    code_hours: float = 72
    """How long an enrolment code may be used."""
    limits: dict[str, dict[str, LimitsSetting]] = {}
    """By site id, then by full metric name."""
    access: AccessSetting = AccessSetting()


def read_settings(file: Path | None) -> Settings:
    """The settings of a TOML file; those of an empty one without a file.

    Raises:
        SettingsError: naming file, line, key and value.
    """
    if file is None:
        return Settings()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: cannot be read: {error}.") from error
    try:
        table = _open_ends(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: is not TOML: {error}.") from error
    _check_limits(file, text, table.get("limits", {}))
    try:
        settings = msgspec.convert(table, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(_sentence(file, text, table, str(error))) from error
    _check(file, text, settings)
    return settings


def _open_ends(value: Any) -> Any:
    """TOML has no null: an open end of a limit is written ""."""
    if isinstance(value, dict):
        return {key: _open_ends(each) for key, each in value.items()}
    if isinstance(value, list):
        return [None if each == "" else _open_ends(each) for each in value]
    return value


def _check_limits(file: Path, text: str, by_site: Any) -> None:
    """Each limit by itself, so that a fault names its site and metric."""
    for site, limits in by_site.items() if isinstance(by_site, dict) else ():
        for name, limit in limits.items() if isinstance(limits, dict) else ():
            where = f"{file}, line {line_of(text, 'limits', site, name)}: limits.{site}.{name}"
            if name not in METRICS:
                raise SettingsError(f"{where}: no metric is called so.")
            try:
                msgspec.convert(limit, LimitsSetting)
            except msgspec.ValidationError as error:
                raise SettingsError(f"{where} = {limit!r}: {error}.") from error


def _sentence(file: Path, text: str, table: dict[str, Any], error: str) -> str:
    found = KEY_IN_ERROR.search(error)
    unknown = re.search(r"unknown field `([^`]+)`", error)
    key = ".".join(part for part in (found[1] if found else "", unknown[1] if unknown else "") if part)
    parts = re.findall(r"[^.\[\]]+", key)
    value = _at(table, parts)
    shown = "" if value is None else f" = {value!r}"
    return f"{file}, line {line_of(text, *parts)}: {key}{shown}: {KEY_IN_ERROR.sub('', error)}."


def _at(table: Any, parts: list[str]) -> Any:
    """The plain value that stands there; None for none."""
    for part in parts:
        if isinstance(table, list) and part.isdigit() and int(part) < len(table):
            table = table[int(part)]
        elif isinstance(table, dict):
            table = table.get(part)
        else:
            return None
    return None if isinstance(table, dict | list) else table


def line_of(text: str, *parts: str) -> int:
    """The line on which a key stands, given table by table (`hubs`, `1`, `host`): its header's when not found."""
    lines = text.splitlines()
    at = _header_of(lines, parts) if len(parts) > 1 else 0
    last = next((part for part in reversed(parts) if not part.isdigit()), "")
    for number, line in enumerate(lines[at:], at + 1):
        if last and re.match(rf"\s*\"?{re.escape(last)}\"?\s*=", line):
            return number
    return at + 1


def _header_of(lines: list[str], parts: tuple[str, ...]) -> int:
    """The header of the table: the nth of its name, or the one that names the second part too."""
    headers = [n for n, line in enumerate(lines) if re.match(rf"\s*\[+\s*\"?{re.escape(parts[0])}\b", line)]
    if parts[1].isdigit():
        return headers[min(int(parts[1]), len(headers) - 1)] if headers else 0
    return next((n for n in headers if parts[1] in lines[n]), headers[0] if headers else 0)


def _check(file: Path, text: str, settings: Settings) -> None:
    _check_access(file, text, settings.access)
    host, port = split_listen(settings.listen)
    if not host or port is None:
        raise SettingsError(
            f"{file}, line {line_of(text, 'listen')}: listen = {settings.listen!r}: write HOST:PORT, "
            "for instance 127.0.0.1:8080."
        )
    ids = [hub.id for hub in settings.hubs]
    for hub_id in ids:
        if ids.count(hub_id) > 1:
            raise SettingsError(
                f"{file}, line {line_of(text, 'hubs', '0', 'id')}: hub id = {hub_id!r} stands there twice."
            )
    if settings.ca_file is not None and not Path(settings.ca_file).is_file():
        raise SettingsError(
            f"{file}, line {line_of(text, 'ca_file')}: ca_file = {settings.ca_file!r}: there is no such file."
        )


def _check_access(file: Path, text: str, access: AccessSetting) -> None:
    def stop(key: str, sentence: str) -> NoReturn:
        value = getattr(access, key)
        raise SettingsError(f"{file}, line {line_of(text, 'access', key)}: access.{key} = {value!r}: {sentence}")

    for key in ("idle_hours", "session_hours", "link_hours"):
        if not 0 < getattr(access, key) <= 24 * 366:
            stop(key, "write hours, more than 0 and at most a year.")
    try:
        networks_of(access)
    except ValueError as error:
        stop("trusted_peers", f"{error}.")
    if access.sso_header is not None and not re.fullmatch(r"[A-Za-z0-9-]{1,64}", access.sso_header):
        stop("sso_header", "is no name of a header.")
    if access.sso_header is not None and not access.trusted_peers:
        stop("sso_header", "name the proxies that may send it in trusted_peers.")


def networks_of(access: AccessSetting) -> list[IPv4Network | IPv6Network]:
    """The trusted peers. Raises ValueError naming the one that is no address."""
    return [ip_network(peer) for peer in access.trusted_peers]


def split_listen(listen: str) -> tuple[str, int | None]:
    """`HOST:PORT` or `[HOST]:PORT` apart; the port is None when it is none."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port) if port.isdigit() and int(port) < 65536 else None


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
