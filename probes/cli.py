"""diemcau-probe: what runs at a point, and its far end."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from probes.clock import Clock, SystemClock
from probes.config import (
    CentreTarget,
    ConfigError,
    HubTarget,
    SiteConfig,
    SpoolConfig,
    load_central,
    load_hub,
    load_site,
)
from probes.report import Report

NOT_GOOD, WRONG_USE, NOT_MEASURED = 1, 2, 3
STAMP_PORT = 862
ALWAYS_SHOWN = ("took_ms", "failure", "values", "labels")

main = typer.Typer(
    name="diemcau-probe",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a plain traceback: no console library in a box, no values of variables in a log
    help="Measures at a point, and answers at a hub.",
)
spool = typer.Typer(no_args_is_help=True, help="The reports that wait to be sent.")
main.add_typer(spool, name="spool")


class Probe(StrEnum):
    """What can be measured once, here and now."""

    LINK = "link"
    LAN = "lan"
    HOST = "host"


class Language(StrEnum):
    """Of what is printed for people."""

    VI = "vi"
    EN = "en"


Once = Callable[[SiteConfig, Clock, int], Awaitable[list[Report]]]

ConfigOption = Annotated[Path | None, typer.Option("--config", help="Configuration, TOML.")]
SiteOption = Annotated[Path, typer.Option("--config", help="Configuration of the device, TOML.")]
LanguageOption = Annotated[Language, typer.Option("--lang", help="Language of the text.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One report as one JSON object on one line.")]


def stop(sentence: str, code: int = WRONG_USE) -> NoReturn:
    """End with a sentence on stderr."""
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


@main.callback()
def prepare(verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")] = False) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.captureWarnings(True)


@main.command()
def once(
    probe: Probe,
    hub: Annotated[str | None, typer.Option(help="HOST[:PORT] of the far end, or a hub's id in --config.")] = None,
    line: Annotated[str | None, typer.Option(help="Id of the line in --config; the first when left out.")] = None,
    seconds: Annotated[int, typer.Option(min=1, max=3600, help="How long to measure.")] = 10,
    config: ConfigOption = None,
    every: Annotated[bool, typer.Option("--all", help="Also the figures that nothing is judged by.")] = False,
    lang: LanguageOption = Language.VI,
    as_json: JsonOption = False,
) -> None:
    """Measure once and say what came out.

    Exit: 0 good or fair, 1 poor, 2 wrong use, 3 could not measure.
    """
    from probes.limits import read_limits
    from probes.say import Rules, said, verdict_of
    from probes.verdict import Verdict

    site = chosen(_load(load_site, config) if config else SiteConfig("here"), hub, line)
    if probe is Probe.LINK and not site.hubs:
        stop("There is no hub to measure to; name one with --hub HOST[:PORT], or give --config.")
    rules = Rules(site.site_class, read_limits(Path(site.spool.dir)) if config else {})
    reports = _measure(_once_of(probe), site, seconds)
    for report in reports:
        typer.echo(as_line(report) if as_json else said(report, rules, lang.value, every))
    if not reports or any(report.failure is not None for report in reports):
        raise typer.Exit(NOT_MEASURED)
    if any(verdict_of(report, rules) is Verdict.POOR for report in reports):
        raise typer.Exit(NOT_GOOD)


def _once_of(probe: Probe) -> Once:
    match probe:
        case Probe.LINK:
            from probes.link.probe import once as link

            return link
        case Probe.LAN:
            from probes.lan.probe import once as lan

            return lan
        case Probe.HOST:
            from probes.host.probe import once as host

            return host


def _measure(once: Once, site: SiteConfig, seconds: int) -> list[Report]:
    async def measured() -> list[Report]:
        return await once(site, SystemClock(), seconds)

    try:
        return asyncio.run(measured())
    except KeyboardInterrupt:
        stop("Stopped before it was measured.", NOT_MEASURED)


def chosen(site: SiteConfig, hub: str | None, line: str | None) -> SiteConfig:
    """The site reduced to one line and, when named, one hub."""
    lines = [each for each in site.lines if line is None or each.id == line][:1]
    if not lines:
        stop(f"There is no line {line!r} in the configuration; it has {', '.join(each.id for each in site.lines)}.")
    hubs = site.hubs
    if hub is not None:
        hubs = [each for each in site.hubs if each.id == hub] or [hub_at(hub)]
    return msgspec.structs.replace(site, lines=lines, hubs=hubs)


def hub_at(text: str) -> HubTarget:
    """The hub at `HOST[:PORT]`; an IPv6 address with a port stands in brackets."""
    host, _, port = text.rpartition(":")
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif not host or _is_ipv6(text):
        host, port = text, ""
    if not host or (port and not (port.isdigit() and 1 <= int(port) <= 65535)):
        stop(f"--hub {text!r} is not HOST[:PORT]; an IPv6 address with a port is written [ADDRESS]:PORT.")
    return HubTarget(id=host, host=host, stamp_port=int(port or STAMP_PORT))


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text.partition("%")[0]).version == 6
    except ValueError:
        return False


def as_line(report: Report) -> str:
    """The report as JSON on one line, with `failure` even when there is none."""
    whole = {
        name: getattr(report, name)
        for name in report.__struct_fields__
        if name in ALWAYS_SHOWN or getattr(report, name) not in (None, "", 0)
    }
    return msgspec.json.encode(whole).decode()


@main.command()
def run(config: SiteOption) -> None:
    """Measure all the time, and send what was measured to the centre."""
    site = _load(load_site, config)
    from probes.agent import run as run_agent

    run_agent(site)


@main.command()
def hub(
    config: ConfigOption = None,
    listen: Annotated[str | None, typer.Option(help="ADDRESS[:PORT]: open mode, for trying out.")] = None,
) -> None:
    """Be the far end that probes measure to."""
    if (config is None) == (listen is None):
        stop("Give either --config hub.toml or --listen ADDRESS[:PORT].")
    from probes.hub.service import open_mode, serve

    service = serve(_load(load_hub, config)) if config else open_mode(listen or "")
    _run_service(service)


def _run_service(service: Any) -> None:
    try:
        asyncio.run(service)
    except ConfigError as error:
        stop(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@main.command()
def enrol(
    url: Annotated[str, typer.Argument(help="The centre's address, https://HOST[:PORT].")],
    code: Annotated[str, typer.Argument(help="The one-time code, as the centre printed it.")],
    folder: Annotated[Path, typer.Option("--dir", help="Where site.toml and the token are written.")],
) -> None:
    """Make this machine a device of the centre."""
    from probes.enrol import EnrolError, enrol

    try:
        written = asyncio.run(enrol(url, code, folder))
    except EnrolError as error:
        stop(str(error), NOT_MEASURED if error.is_passing else WRONG_USE)
    typer.echo(f"Enrolled. Start with: diemcau-probe run --config {written}")


@spool.command()
def status(config: SiteOption, lang: LanguageOption = Language.VI, as_json: JsonOption = False) -> None:
    """How many reports wait, since when, and what had to be given up. The device may be running."""
    import sqlite3

    from probes.say import held_said
    from probes.shelf import look
    from probes.spool import SPOOL_FILE

    path = Path(_spool_of(config)[0].dir) / SPOOL_FILE
    try:
        held = look(path)
    except sqlite3.DatabaseError as error:
        stop(f"The spool {path} cannot be read ({error}).", NOT_MEASURED)
    typer.echo(msgspec.json.encode(held._asdict()) if as_json else held_said(held, lang.value))


@spool.command()
def flush(config: SiteOption) -> None:
    """Send all that waits now, then end. What the device itself sends meanwhile is stored once all the same."""
    from probes.push import flush_spool

    spool_config, centre = _spool_of(config)
    if centre is None:
        stop(f"{config} names no centre to send to; enrol the device first.")
    trouble = asyncio.run(flush_spool(spool_config, centre, SystemClock()))
    if trouble:
        stop(trouble, NOT_MEASURED)


def _spool_of(config: Path) -> tuple[SpoolConfig, CentreTarget | None]:
    """Of a device of any role."""
    faults = []
    for load in (load_site, load_hub, load_central):
        try:
            loaded = load(config)
        except ConfigError as error:
            faults.append(str(error))
        else:
            return loaded.spool, loaded.centre
    stop(faults[0])


def _load(load: Callable[[Path], Any], config: Path) -> Any:
    try:
        return load(config)
    except ConfigError as error:
        stop(str(error))


if __name__ == "__main__":
    main()
