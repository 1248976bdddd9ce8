"""diemcau-monitor: the centre and its commands. All of them work while the centre runs."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from monitor.access.roles import Role as Right
from monitor.access.tokens import AccessError, new_api_token
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
def verify_command(data: DataOption = None, config: ConfigOption = None) -> None:
    """Check that every stored report is there once and every sequence is closed. Exit 1 when not."""
    with _look(data, config) as connection:
        found = verify(connection)
    for sentence in found.faults:
        typer.echo(sentence)
    for spool in found.spools:
        if spool.open:
            typer.echo(f"Device {spool.device}, boot {spool.boot}: still open {spool.open}.")
    stored, gone = (sum(getattr(spool, name) for spool in found.spools) for name in ("stored", "gone"))
    typer.echo(
        f"{len(found.spools)} spools: {stored} reports stored, {gone} given up by devices, "
        f"{found.open_sequences} still open, {len(found.faults)} faults."
    )
    raise typer.Exit(1 if found.faults or found.open_sequences else 0)


@main.command("derive")
def derive(check: Annotated[bool, typer.Option("--check", help="Only say what is stale.")] = False) -> None:
    """Make the derived files anew: metric pages, wire schema, what browsers read."""
    root = Path(__file__).resolve().parent.parent
    changed = stale(root) if check else write(root)
    for path in changed:
        typer.echo(f"{path}: {'stale' if check else 'written'}")
    raise typer.Exit(1 if check and changed else 0)


@sites.command("import")
def sites_import(file: Path, data: DataOption = None, config: ConfigOption = None) -> None:
    """Take a CSV of sites, whole or not at all."""
    try:
        found = parse_sites(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SitesError) as error:
        stop(f"{file}: {error} Nothing was imported.")
    with _change(data, config) as connection:
        others = import_sites(connection, found)
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
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Add a device and print its token, this once."""
    with _change(data, config) as connection:
        device, token = add_device(connection, site, role, _now_ms())
    if as_json:
        typer.echo(json.dumps({"device": device.id, "token": token, "site": site}))
    else:
        typer.echo(f"device: {device.id}\ntoken:  {token}\nThe token is not shown again.")


@devices.command("enrol")
def devices_enrol(
    site: str,
    role: Annotated[Role, typer.Option(help="What the device is.")] = Role.PROBE,
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
def devices_revoke(device: str, data: DataOption = None, config: ConfigOption = None) -> None:
    """Make a device's token good for nothing; its reports stay."""
    with _change(data, config) as connection:
        revoke_device(connection, device, _now_ms())
    typer.echo(f"{device} is revoked.")


@devices.command("ask")
def devices_ask(
    device: str,
    do: Annotated[str, typer.Argument(help="check, call, burst, path, quiet or meeting.")],
    args: Annotated[str, typer.Option(help="What is asked in detail, JSON.")] = "{}",
    minutes: Annotated[int, typer.Option(min=1, max=7 * 24 * 60, help="It may be done for so long from now.")] = 15,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Ask something of a device; prints the id that the report of it will carry."""
    now = _now_ms()
    with _change(data, config) as connection:
        item = add_item(connection, device, do, now, now + minutes * MINUTE_MS, args, now)
    typer.echo(item)


@users.command("token")
def users_token(
    name: str,
    role: Annotated[Right, typer.Option(help="What it may do.")] = Right.VIEWER,
    site: Annotated[list[str] | None, typer.Option(help="For a technician: the sites it is bound to.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="It is good for so long; else until it is replaced.")] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Make an API token for a program and print it, this once; an earlier one of the same name is replaced."""
    with _change(data, config) as connection:
        now = _now_ms()
        token = new_api_token(
            connection, name, now, role, frozenset(site) if site else None, now + days * DAY_MS if days else None
        )
    typer.echo(token)
