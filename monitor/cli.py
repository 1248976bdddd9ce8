"""diemcau-monitor: the centre and its commands. All of them work while the centre runs."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from getpass import getuser
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any, NoReturn

import typer

from monitor.access.audit import Deed, note
from monitor.access.people import add_user, change_user, link_for, link_path, new_link
from monitor.access.people import users as all_users
from monitor.access.roles import Role as Right
from monitor.access.sessions import end_sessions
from monitor.access.tokens import AccessError, api_tokens, check_kiosk, end_api_token, new_api_token
from monitor.agenda import AgendaError, add_item
from monitor.clock import Clock, parse_clock, site_time
from monitor.derive.files import stale, write
from monitor.devices import DeviceError, Devices, Role, add_device, new_code, revoke_device, trust_part
from monitor.settings import Settings, SettingsError, read_settings, split_listen
from monitor.sites import SitesError, import_sites, load_sites, parse_sites
from monitor.store.database import InUse, reading, transaction
from monitor.store.schema import SchemaError
from monitor.store.verify import verify

WRONG_USE = 2
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

main = typer.Typer(name="diemcau-monitor", no_args_is_help=True, add_completion=False, help="The centre of diemcau.")
sites = typer.Typer(no_args_is_help=True, help="The bridge points.")
devices = typer.Typer(no_args_is_help=True, help="What reports: probes, hubs, browsers, the centre's own prober.")
users = typer.Typer(no_args_is_help=True, help="Who reads.")
main.add_typer(sites, name="sites")
main.add_typer(devices, name="devices")
main.add_typer(users, name="users")

DataOption = Annotated[Path | None, typer.Option("--data", help="Folder of the database.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Settings, TOML.")]
ReasonOption = Annotated[str | None, typer.Option(help="Why, for the audit log.")]


def stop(sentence: str, code: int = WRONG_USE) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


def _settings(config: Path | None) -> Settings:
    try:
        return read_settings(config)
    except SettingsError as error:
        stop(str(error))


def _change(data: Path | None, config: Path | None) -> AbstractContextManager[sqlite3.Connection]:
    """One transaction on the database."""
    return _saying_why(transaction, data or Path(_settings(config).data))


def _look(data: Path | None, config: Path | None) -> AbstractContextManager[sqlite3.Connection]:
    """One consistent look at the database."""
    return _saying_why(reading, data or Path(_settings(config).data))


@contextmanager
def _saying_why(
    use: Callable[[Path], AbstractContextManager[sqlite3.Connection]], data: Path
) -> Iterator[sqlite3.Connection]:
    """What cannot be done ends the command with a sentence."""
    try:
        with use(data) as connection:
            yield connection
    except (AccessError, AgendaError, DeviceError, SitesError, SchemaError) as error:
        stop(str(error))
    except (sqlite3.Error, OSError) as error:
        stop(f"The database in {data} cannot be used: {error}.")


def _now_ms() -> int:
    return Clock().wall_ms()


def _leave(number: int, frame: object) -> None:
    """An end that was asked for is no failure."""
    raise SystemExit(0)


@main.command("serve")
def serve_command(
    config: ConfigOption = None,
    data: DataOption = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT; 127.0.0.1:8080 if nothing is set.")] = None,
    clock: Annotated[str | None, typer.Option(help="START,RATE: run from another time, faster; for exercises.")] = None,
) -> None:
    """Run the centre."""
    import uvloop
    from msgspec.structs import replace

    from monitor.app import serve

    settings = _settings(config)
    if listen is not None:
        settings = replace(settings, listen=listen)
    if split_listen(settings.listen)[1] is None:
        stop(f"--listen {settings.listen!r}: write HOST:PORT, for instance 127.0.0.1:8080.")
    try:
        running = parse_clock(clock) if clock else Clock()
    except ValueError as error:
        stop(str(error))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, _leave)  # the server raises the signal that ended it once more when all is closed
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # asyncio.run would take the slow one
            runner.run(serve(settings, running, data or Path(settings.data)))
    except (SchemaError, InUse, sqlite3.Error, OSError) as error:
        stop(f"The centre cannot start on {settings.listen}: {error}.")


@main.command("check-config")
def check_config(config: Annotated[Path, typer.Argument(help="Settings, TOML.")] = Path("monitor.toml")) -> None:
    """Read the settings and say what is wrong or dangerous in them."""
    from monitor.app import warnings_of

    for sentence in warnings_of(_settings(config)):
        typer.echo(f"Note: {sentence}")
    typer.echo(f"{config}: good.")


@main.command("verify")
def verify_command(
    data: DataOption = None,
    config: ConfigOption = None,
    closed: Annotated[bool, typer.Option("--closed", help="Exit 1 too while reports are still on their way.")] = False,
) -> None:
    """Check that every stored report is there, and once. Exit 1 when not. Tells what is still on its way."""
    with _look(data, config) as connection:
        found = verify(connection)
    for sentence in found.faults:
        typer.echo(sentence)
    for spool in found.spools:
        if spool.open:
            typer.echo(f"Device {spool.device}, boot {spool.boot}: not come yet {spool.open}.")
    stored, gone = (sum(getattr(spool, name) for spool in found.spools) for name in ("stored", "gone"))
    typer.echo(
        f"{len(found.spools)} spools: {stored} reports stored, {gone} given up by devices, "
        f"{found.open_sequences} not come yet, {len(found.faults)} faults."
    )
    raise typer.Exit(1 if found.faults or (closed and found.open_sequences) else 0)


@main.command("derive")
def derive(check: Annotated[bool, typer.Option("--check", help="Only say what is stale.")] = False) -> None:
    """Make the derived files anew: metric pages, wire schema, what browsers read."""
    root = Path(__file__).resolve().parent.parent
    changed = stale(root) if check else write(root)
    for path in changed:
        typer.echo(f"{path}: {'stale' if check else 'written'}")
    raise typer.Exit(1 if check and changed else 0)


@sites.command("import")
def sites_import(file: Path, reason: ReasonOption = None, data: DataOption = None, config: ConfigOption = None) -> None:
    """Take a CSV of sites, whole or not at all."""
    try:
        found = parse_sites(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SitesError) as error:
        stop(f"{file}: {error} Nothing was imported.")
    with _change(data, config) as connection:
        others = import_sites(connection, found)
        _note(connection, "sites.imported", file.name, reason, {"sites": len(found)})
    typer.echo(f"{len(found)} sites imported.")
    if others:
        typer.echo(f"{len(others)} sites are not in the file and stay: {', '.join(others)}")


@sites.command("list")
def sites_list(data: DataOption = None, config: ConfigOption = None) -> None:
    """Every site: id, type, bridge, area, name."""
    with _look(data, config) as connection:
        found = load_sites(connection)
    for site in found.values():
        typer.echo("\t".join((site.id, site.type, site.bridge, site.area, site.name_vi)))


@devices.command("add")
def devices_add(
    site: str,
    role: Annotated[Role, typer.Option(help="What the device is.")] = Role.PROBE,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    reason: ReasonOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Add a device and print its token, this once."""
    with _change(data, config) as connection:
        device, token = add_device(connection, site, role, _now_ms())
        _note(connection, "device.made", device.id, reason, {"site": site, "role": role.value})
    if as_json:
        typer.echo(json.dumps({"device": device.id, "token": token, "site": site}))
    else:
        typer.echo(f"device: {device.id}\ntoken:  {token}\nThe token is not shown again.")


@devices.command("enrol")
def devices_enrol(
    site: str,
    role: Annotated[Role, typer.Option(help="What the device is.")] = Role.PROBE,
    reason: ReasonOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Print a one-time code for a person who sets a device up."""
    settings = _settings(config)
    now = _now_ms()
    good_for_ms = int(settings.code_hours * HOUR_MS)
    try:
        trust = trust_part(Path(settings.ca_file).read_text(encoding="ascii") if settings.ca_file else None)
    except (OSError, ValueError) as error:
        stop(f"ca_file = {settings.ca_file!r}: {error}")
    with _change(data, config) as connection:
        code = new_code(connection, site, role, now, good_for_ms)
        _note(connection, "code.made", site, reason, {"role": role.value})
    typer.echo(f"{code}-{trust}")
    typer.echo(f"Good for one device of site {site} until {site_time(now + good_for_ms)}.", err=True)


@devices.command("list")
def devices_list(data: DataOption = None, config: ConfigOption = None) -> None:
    """Every device: id, site, role, since when, revoked or not."""
    known = Devices()
    with _look(data, config) as connection:
        known.load(connection)
    for device in known.by_id.values():
        state = f"revoked {site_time(device.revoked_at)}" if device.revoked_at else "good"
        typer.echo("\t".join((device.id, device.site, device.role.value, site_time(device.created_at), state)))


@devices.command("revoke")
def devices_revoke(
    device: str, reason: ReasonOption = None, data: DataOption = None, config: ConfigOption = None
) -> None:
    """Make a device's token good for nothing; its reports stay."""
    with _change(data, config) as connection:
        revoke_device(connection, device, _now_ms())
        _note(connection, "device.revoked", device, reason)
    typer.echo(f"{device} is revoked.")


@devices.command("ask")
def devices_ask(
    device: str,
    do: Annotated[str, typer.Argument(help="check, call, burst, path, quiet or meeting.")],
    args: Annotated[str, typer.Option(help="What is asked in detail, JSON.")] = "{}",
    reason: ReasonOption = None,
    minutes: Annotated[int, typer.Option(min=1, max=7 * 24 * 60, help="It may be done for so long from now.")] = 15,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Ask something of a device; prints the id that the report of it will carry."""
    now = _now_ms()
    with _change(data, config) as connection:
        item = add_item(connection, device, do, now, now + minutes * MINUTE_MS, args, now)
        _note(connection, "device.asked", device, reason, {"do": do, "item": item})
    typer.echo(item)


@users.command("add")
def users_add(
    name: Annotated[str | None, typer.Argument(help="The account's name; of a wall screen: where it hangs.")] = None,
    role: Annotated[Right | None, typer.Option(help="What they may do.")] = None,
    site: Annotated[list[str] | None, typer.Option(help="For a technician: the sites they look after.")] = None,
    shown: Annotated[str, typer.Option(help="The person's name as pages show it.")] = "",
    kiosk: Annotated[
        bool, typer.Option("--kiosk", help="A wall screen: no account, a link that does not end.")
    ] = False,
    reason: ReasonOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Make an account, or the link of a wall screen; prints the link that its owner opens."""
    settings, now = _settings(config), _now_ms()
    if kiosk == (role is not None) or (name is None and not kiosk):
        stop("Give a name and --role viewer, technician, operator or admin; or --kiosk for a wall screen.")
    name = name or f"wall-{token_hex(2)}"
    with _change(data, config) as connection:
        if role is None:
            check_kiosk(connection, name)
            path = f"/kiosk#{new_api_token(connection, name, now, Right.KIOSK)}"
            _note(connection, "token.made", name, reason, {"role": Right.KIOSK.value})
        else:
            user = add_user(connection, name, role, frozenset(site) if site else None, shown, now)
            path = link_path(name, new_link(connection, name, now, int(settings.access.link_hours * HOUR_MS)))
            _note(connection, "user.made", name, reason, {"role": role.value, "sites": user.sites})
    typer.echo(_address(settings) + path)


@users.command("list")
def users_list(data: DataOption = None, config: ConfigOption = None) -> None:
    """Every account, API token and wall screen: name, role, sites, state."""
    with _look(data, config) as connection:
        people, tokens = all_users(connection), api_tokens(connection)
    for user in people:
        state = f"closed {site_time(user.disabled_at)}" if user.disabled_at else "open"
        state = "no password yet" if user.password is None and not user.disabled_at else state
        typer.echo("\t".join((user.name, user.role.value, ",".join(sorted(user.sites or ())) or "-", state)))
    for _, token in tokens:
        until = f"until {site_time(token.expires_at)}" if token.expires_at else "does not end"
        typer.echo(
            "\t".join((token.name, f"token {token.role.value}", ",".join(sorted(token.sites or ())) or "-", until))
        )


@users.command("link")
def users_link(
    name: Annotated[str | None, typer.Argument(help="The account; without it the first administrator.")] = None,
    reason: ReasonOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Print a one-time link by which an account's password is set; makes the first administrator."""
    settings, now = _settings(config), _now_ms()
    good_for_ms = int(settings.access.link_hours * HOUR_MS)
    with _change(data, config) as connection:
        found, code = link_for(connection, name, now, good_for_ms)
        _note(connection, "link.made", found, reason)
    typer.echo(_address(settings) + link_path(found, code))
    typer.echo(f"Good for one use until {site_time(now + good_for_ms)}.", err=True)


@users.command("end")
def users_end(
    name: Annotated[str, typer.Argument(help="An account, an API token or a wall screen.")],
    reason: ReasonOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Close an account and end its sessions, or make a token or wall screen good for nothing."""
    now = _now_ms()
    with _change(data, config) as connection:
        if any(token.name == name for _, token in api_tokens(connection)):
            end_api_token(connection, name)
            _note(connection, "token.ended", name, reason)
        else:
            change_user(connection, name, now, open=False)
            end_sessions(connection, name, now)
            _note(connection, "user.changed", name, reason, {"open": False})
    typer.echo(f"{name} is ended.")


@users.command("token")
def users_token(
    name: str,
    role: Annotated[Right, typer.Option(help="What it may do.")] = Right.VIEWER,
    site: Annotated[list[str] | None, typer.Option(help="For a technician: the sites it is bound to.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="It is good for so long; else until it is replaced.")] = None,
    reason: ReasonOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Make an API token for a program and print it, this once; an earlier one of the same name is replaced."""
    now = _now_ms()
    sites = frozenset(site) if site else None
    until = now + days * DAY_MS if days else None
    with _change(data, config) as connection:
        token = new_api_token(connection, name, now, role, sites, until)
        _note(connection, "token.made", name, reason, {"role": role.value, "sites": sites, "expires_at": until})
    typer.echo(token)


def _address(settings: Settings) -> str:
    """How people reach the centre; what they open it by when no public address is set."""
    return (settings.public_url or f"http://{settings.listen}").rstrip("/")


def _note(
    connection: sqlite3.Connection, action: str, target: str, reason: str | None, after: dict[str, Any] | None = None
) -> None:
    """Into the audit log, in the same transaction."""
    try:
        who = getuser()
    except (KeyError, OSError):  # an account of the system without a name
        who = "?"
    note(connection, Deed(f"command:{who}", action, target, "", reason, None, after), _now_ms())
