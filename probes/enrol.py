"""Makes a machine a device of the centre: a one-time code against a token, to nobody but the centre the code names.

    CODE = XXXX-XXXX-TRUST    TRUST = first 16 hex digits of the SHA-256 of the centre's CA certificate (DER),
                              or `plain`: no authority of its own (loopback or private HTTP, or a public certificate)

The authority is looked for in the chain that the server shows, then at `/ca.pem`; the code is sent only over a
connection that this authority vouches for.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import os
import re
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from probes.centre import UNREACHABLE, Centre, Reply
from probes.clock import SystemClock
from probes.config import CentreTarget, ConfigError, HubTarget, SpoolConfig, load_central, load_hub, load_site
from probes.files import write_whole
from probes.spool import SPOOL_FILE, Spool

CODE = re.compile(r"([A-Z0-9]{4})-?([A-Z0-9]{4})-(plain|[0-9a-f]{16})", re.IGNORECASE)
PLAIN = "plain"
CONNECT_LIMIT_S = 10.0
SPOOL_DIR = "spool"
ROOM_BYTES = 4 * 1024 * 1024
"""Some hours of reports; a disk without even that is no disk for a device."""

FILES = {"probe": "site.toml", "hub": "hub.toml", "central": "central.toml"}
"""What the configuration of each role is called."""
LOADERS = {"probe": load_site, "hub": load_hub, "central": load_central}
HUBS_KEY = {"probe": "hubs", "hub": "peers"}


class EnrolError(Exception):
    """The machine was not enrolled; the sentence says what to do. `is_passing`: it may work later as it is."""

    def __init__(self, sentence: str, is_passing: bool = False) -> None:
        super().__init__(sentence)
        self.is_passing = is_passing


class Code(NamedTuple):
    """A code taken apart."""

    secret: str
    trust: str


class Enrolled(msgspec.Struct, frozen=True):
    """The centre's answer, as far as it is needed."""

    site: str
    device: str
    token: str
    role: str = "probe"
    site_class: str = msgspec.field(default="fibre", name="class")
    hubs: list[HubTarget] = []


def parse_code(text: str) -> Code:
    """Read a code as people copy it.

    Raises:
        EnrolError: it is no code.
    """
    found = CODE.fullmatch(text.strip())
    if found is None:
        raise EnrolError(f"{text!r} is no code: it reads XXXX-XXXX-… to its very end; copy all of it.")
    return Code(f"{found[1]}-{found[2]}".upper(), found[3].lower())


async def enrol(url: str, text: str, folder: Path) -> Path:
    """Enrol this machine and write its configuration; returns the configuration's path.

    Raises:
        EnrolError: nothing was enrolled, and nothing is written.
    """
    code = parse_code(text)
    _check_url(url, code)
    _check_folder(folder)
    _check_room(folder)
    ca = None if code.trust == PLAIN else await find_ca(url, code.trust)
    ca_file = _write(folder / "ca.pem", ca) if ca else None
    try:
        answer = await _ask(CentreTarget(url, "new", "", str(ca_file) if ca_file else None), code)
    except EnrolError:
        if ca_file:
            ca_file.unlink()
        raise
    return _write_all(url, answer, folder, has_ca=ca is not None)


def _check_url(url: str, code: Code) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EnrolError(f"{url!r} is no address of a centre; it reads https://HOST[:PORT].")
    if parts.scheme == "http" and code.trust != PLAIN:
        raise EnrolError(f"The code names the centre's authority, so its address must begin with https://, not {url}.")
    if parts.scheme == "http" and not _is_near(parts.hostname):
        raise EnrolError(f"{url} is not encrypted and not in a private network; a token must not travel so. Use https.")


def _is_near(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_private or address.is_loopback


def _check_folder(folder: Path) -> None:
    """A code is good once: find out what may go wrong before it is used up."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EnrolError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    if not os.access(folder, os.W_OK):
        raise EnrolError(f"The folder {folder} cannot be written to; run as its owner.")
    for name in FILES.values():
        if (folder / name).exists():
            raise EnrolError(f"{folder / name} is there already: this machine was enrolled. Move it away first.")


def _check_room(folder: Path) -> None:
    """That the disk takes reports at all is better found out now than in a storm."""
    room = folder / "room"
    try:
        write_whole(room, bytes(ROOM_BYTES))
        room.unlink()
    except OSError as error:
        room.with_name("room.new").unlink(missing_ok=True)
        raise EnrolError(f"{folder} has no room for reports: {error.strerror}. Nothing was sent.") from error


async def find_ca(url: str, fingerprint: str) -> str:
    """The centre's authority (PEM) whose fingerprint the code carries; nothing but a greeting is sent for it.

    Raises:
        EnrolError: the server is not reached, or shows no such authority.
    """
    parts = urlsplit(url)
    shown = await _chain(parts.hostname or "", parts.port or 443) + await _ca_file(url)
    for der in shown:
        if hashlib.sha256(der).hexdigest()[:16] == fingerprint:
            return ssl.DER_cert_to_PEM_cert(der)
    raise EnrolError(
        f"{url} is not the centre that made this code: no certificate it shows has the fingerprint {fingerprint}. "
        "Nothing was sent. Compare the address and the code with the centre's staff."
    )


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _chain(host: str, port: int) -> list[bytes]:
    """Every certificate (DER) that the server shows, its own first."""
    try:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=_unverified(), server_hostname=host)
    except (TimeoutError, OSError) as error:
        raise EnrolError(f"{host}:{port} cannot be reached ({error or 'no answer'}).", is_passing=True) from error
    try:
        return _shown_by(writer.get_extra_info("ssl_object"))
    finally:
        writer.transport.abort()


def _shown_by(tls: Any) -> list[bytes]:
    if hasattr(tls, "get_unverified_chain"):  # public from Python 3.13 on, as DER
        return list(tls.get_unverified_chain())
    pem = [certificate.public_bytes() for certificate in tls._sslobj.get_unverified_chain()]
    return [ssl.PEM_cert_to_DER_cert(each) for each in pem]


async def _ca_file(url: str) -> list[bytes]:
    """The authority that the centre offers at /ca.pem: a server need not show its root in the chain."""
    async with Centre(CentreTarget(url, "new", ""), _unverified()) as centre:
        reply = await centre.get_ca()
    pem = reply.body.decode("ascii", "replace") if reply.status == 200 else ""
    found = re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", pem, re.DOTALL)
    return [der for each in found if (der := _der(each)) is not None]


def _der(pem: str) -> bytes | None:
    try:
        return ssl.PEM_cert_to_DER_cert(pem)
    except ValueError:
        return None


async def _ask(target: CentreTarget, code: Code) -> Enrolled:
    async with Centre(target) as centre:
        reply = await centre.post_enrol(f"{code.secret}-{code.trust}")
    if reply.status != 200:
        raise EnrolError(_why(target.url, reply), is_passing=reply.status in (UNREACHABLE, 429) or reply.status >= 500)
    try:
        answer = msgspec.json.decode(reply.body, type=Enrolled)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EnrolError(f"{target.url} answered what no centre answers ({error}).") from error
    if answer.role not in FILES:
        raise EnrolError(f"The code was made for a device of the role {answer.role!r}, which this program is not.")
    return answer


def _why(url: str, reply: Reply) -> str:
    if reply.status == UNREACHABLE:
        return f"{url} cannot be reached ({reply.text})."
    return reply.text or f"The centre answered {reply.status}."


def _write_all(url: str, answer: Enrolled, folder: Path, has_ca: bool) -> Path:
    _write(folder / "token", answer.token + "\n")
    path = _write(folder / FILES[answer.role], configuration(url, answer, has_ca))
    try:
        LOADERS[answer.role](path)
    except ConfigError as error:
        raise EnrolError(f"The centre sent what this version cannot use: {error}") from error
    spool = folder / SPOOL_DIR / SPOOL_FILE
    Spool(spool, SpoolConfig().max_bytes, SystemClock()).close()
    spool.parent.chmod(0o700)
    return path


def configuration(url: str, answer: Enrolled, has_ca: bool) -> str:
    """The device's configuration, TOML."""
    lines = ["# Written by diemcau-probe enrol. The token stands in the file beside it.", *_pairs(site=answer.site)]
    if answer.role == "probe":
        lines += _pairs(site_class=answer.site_class)
    lines += ["", "[centre]", *_pairs(url=url, device=answer.device, token_file="token")]
    lines += _pairs(ca_file="ca.pem") if has_ca else []
    lines += ["", "[spool]", *_pairs(dir=SPOOL_DIR)]
    for hub in answer.hubs if answer.role in HUBS_KEY else []:
        values = {name: value for name, value in msgspec.structs.asdict(hub).items() if value is not None}
        lines += ["", f"[[{HUBS_KEY[answer.role]}]]", *_pairs(**values)]
    return "\n".join([*lines, ""])


def _pairs(**values: str | int) -> Sequence[str]:
    """Keys of TOML; its strings are written as those of JSON."""
    return [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]


def _write(path: Path, text: str) -> Path:
    write_whole(path, text.encode())
    return path
