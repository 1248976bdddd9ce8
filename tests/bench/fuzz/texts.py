"""What people and the centre hand in as text: the agenda, configurations, the file of sites."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from tempfile import mkdtemp

import msgspec

from monitor.settings import SettingsError, read_settings
from monitor.sites import SitesError, import_sites, load_sites, parse_sites
from probes.agenda import VERBS, due, forbids, over, take, without
from probes.config import ConfigError, load_central, load_hub, load_site
from tests.bench.fuzz.target import Broken, Target, check_sentence

NOW_MS = 1_795_468_800_000
ROOT = Path(__file__).parents[3]
SECRET = "qqSECRETqq"
FOLDER = Path(mkdtemp())


def agenda(data: bytes) -> None:
    """What a centre answers as its agenda, and an answer's `agenda`."""
    try:
        listed = msgspec.json.decode(data, type=list[object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    taken, faults = take(listed, NOW_MS, {"a-1"})
    for sentence in faults:
        check_sentence(sentence)
    for now_ms in (NOW_MS, NOW_MS + 60_000, 0):
        for item in due(taken, now_ms):
            if not item.at <= now_ms < item.until:
                raise Broken(f"{item} is done out of its time")
            taken = without(taken, item.id)
        over(taken, now_ms)
        for verb in VERBS:
            if (sentence := forbids(taken, verb, now_ms)) is not None:
                check_sentence(sentence)
    if len({item.id for item in taken.items}) != len(taken.items):
        raise Broken("an id is there twice")


def agenda_seeds() -> list[bytes]:
    listed = [
        {"id": f"a-{number}", "do": verb, "at": NOW_MS, "until": NOW_MS + 60_000, "args": {}}
        for number, verb in enumerate(VERBS)
    ]
    listed[2]["args"] = {"hub": "hp", "line": "main", "seconds": 60}
    listed[-1]["args"] = {"version": "9f", "limits": {"link.rtt_p50_ms": {"good": [None, 50]}}}
    return [msgspec.json.encode(listed), *(msgspec.json.encode([each]) for each in listed)]


def config(data: bytes) -> None:
    file = FOLDER / "site.toml"
    file.write_bytes(data)
    file.chmod(0o600)
    for load in (load_site, load_hub, load_central):
        try:
            load(file)
        except ConfigError as error:
            check_sentence(str(error))
            if str(file) not in str(error):
                raise Broken(f"does not name the file: {error}") from error
    try:
        read_settings(file)
    except SettingsError as error:
        check_sentence(str(error))


def config_seeds() -> list[bytes]:
    site = f"""site = "31-11329"
probes = ["link", "lan"]
[centre]
url = "https://centre.example:8443"
device = "d-1"
token = "{SECRET}"
[[hubs]]
id = "hp"
host = "192.0.2.1"
ssid = 7
stamp_key = "00112233445566778899aabbccddeeff"
[[lines]]
id = "main"
source = "192.0.2.2"
dscp = 46
[spool]
dir = "spool"
max_bytes = 8388608
"""
    hub = 'site = "hp"\nlisten = "[::]:862"\nworkers = 2\nmetrics_listen = "127.0.0.1:9862"\nsessions = 100\n'
    central = 'site = "hp"\nevery_s = 10\n'
    centre = """data = "d"
listen = "127.0.0.1:8080"
code_hours = 72.0
[[hubs]]
id = "hp"
host = "h"
[limits.31-11329."link.rtt_p50_ms"]
good = ["", 50]
fair = [0.0, 100]
"""
    return [text.encode() for text in (site, hub, central, centre)]


def sites(data: bytes) -> None:
    text = data.decode("utf-8", errors="replace")
    try:
        found = parse_sites(text)
    except SitesError as error:
        check_sentence(str(error))
        if not str(error).startswith("line "):
            raise Broken(f"does not name the line: {error}") from error
        return
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE TABLE sites (id TEXT PRIMARY KEY, position INTEGER NOT NULL, row TEXT NOT NULL)")
        import_sites(connection, found)
        if load_sites(connection) != {site.id: site for site in found}:
            raise Broken("the sites that were imported are not those that were read")
    finally:
        connection.close()


def sites_seeds() -> list[bytes]:
    lines = (ROOT / "deploy" / "sites.csv").read_bytes().splitlines(keepends=True)
    quoted = b'id,type,name_vi,bridge,lat,hubs,more\nhp,bridge,"A, B",hp,20.5,,x\na,xa,"C ""D""",hp,,hp;hp,\n'
    return [b"".join(lines[:6]), quoted, b"\xef\xbb\xbf" + b"".join(lines[:4]).replace(b"\n", b"\r\n")]


AGENDA = Target(agenda, agenda_seeds)
CONFIG = Target(config, config_seeds, 0.25)
SITES = Target(sites, sites_seeds, 0.5)
