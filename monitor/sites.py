"""The sites and their tree: city > bridge > area > site. A file of them is taken whole or not at all."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
from collections.abc import Iterable, Mapping

import msgspec

COLUMNS = (
    "id", "code", "type", "name_vi", "name_en", "bridge", "area",
    "carrier", "class", "lat", "lon", "hubs", "router",
)  # fmt: skip
NEEDED = ("id", "type", "name_vi", "bridge")
TYPES = ("xa", "phuong", "dac_khu", "bridge", "other")
CLASSES = ("fibre", "radio", "satellite", "island")
SITE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class SitesError(ValueError):
    """The file of sites cannot be taken; the sentence names line, column and value. Nothing was imported."""


class Site(msgspec.Struct, frozen=True, omit_defaults=True):
    """One bridge point. Only `id` identifies it: names may differ by an accent alone (Cẩm Giang, Cẩm Giàng)."""

    id: str
    type: str
    name_vi: str
    bridge: str
    code: str = ""
    name_en: str = ""
    area: str = ""
    carrier: str = ""
    site_class: str = msgspec.field(default="fibre", name="class")
    lat: float | None = None
    lon: float | None = None
    hubs: tuple[str, ...] = ()
    """Main bridges this site measures to; empty: all."""
    router: str = ""
    """What the centre may probe."""
    more: dict[str, str] = {}
    """Columns this program does not know, kept as they were."""

    def measures(self, hub: str) -> bool:
        return hub != self.id and (not self.hubs or hub in self.hubs)

    def is_own_hub(self, target: str | None) -> bool:
        """Whether `target` decides this site's line mark: its own bridge; for a bridge, the other ones."""
        if self.type == "bridge" or not self.measures(self.bridge):
            return target is not None and self.measures(target)
        return target == self.bridge


def parse_sites(text: str) -> list[Site]:
    """The sites of a CSV text, in its order.

    Raises:
        SitesError: at the first wrong row, with its line.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header = reader.fieldnames or []
    except csv.Error as error:
        raise SitesError(f"line 1: is not CSV: {error}.") from error
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise SitesError(f"line 1: the columns {', '.join(missing)} are missing; the header must name them.")
    if len(set(header)) != len(header):
        raise SitesError("line 1: a column stands there twice.")
    sites: list[Site] = []
    lines: dict[str, int] = {}
    try:
        for row in reader:
            site = _site(row, reader.line_num)
            if site.id in lines:
                raise SitesError(f"line {reader.line_num}: id {site.id!r} stands in line {lines[site.id]} already.")
            lines[site.id] = reader.line_num
            sites.append(site)
    except csv.Error as error:
        raise SitesError(f"line {reader.line_num}: is not CSV: {error}.") from error
    _check_tree(sites, lines)
    return sites


def _site(row: Mapping[str | None, str | list[str] | None], line: int) -> Site:
    if None in row or None in row.values():
        raise SitesError(f"line {line}: has more or fewer fields than the header.")
    fields = {str(name): str(value).strip() for name, value in row.items()}

    def refuse(column: str, rule: str) -> SitesError:
        return SitesError(f"line {line}: {column} = {fields.get(column, '')!r}: {rule}.")

    for column in NEEDED:
        if not fields[column]:
            raise refuse(column, "may not be empty")
    if not SITE_ID.fullmatch(fields["id"]):
        raise refuse("id", "letters, digits, '.', '_' and '-' only, at most 64")
    if fields["type"] not in TYPES:
        raise refuse("type", f"use one of {', '.join(TYPES)}")
    if fields.get("class", "") not in ("", *CLASSES):
        raise refuse("class", f"use one of {', '.join(CLASSES)}")
    if fields.get("area") and not SLUG.fullmatch(fields["area"]):
        raise refuse("area", "a slug: a-z, 0-9 and single '-' only")
    for column in ("lat", "lon"):
        if not _in_bounds(fields.get(column, ""), 90 if column == "lat" else 180):
            raise refuse(column, "degrees with a decimal point, or empty")
    return Site(
        id=fields["id"],
        type=fields["type"],
        name_vi=fields["name_vi"],
        bridge=fields["bridge"],
        code=fields.get("code", ""),
        name_en=fields.get("name_en", ""),
        area=fields.get("area", ""),
        carrier=fields.get("carrier", ""),
        site_class=fields.get("class") or "fibre",
        lat=float(fields["lat"]) if fields.get("lat") else None,
        lon=float(fields["lon"]) if fields.get("lon") else None,
        hubs=tuple(hub.strip() for hub in fields.get("hubs", "").split(";") if hub.strip()),
        router=fields.get("router", ""),
        more={name: value for name, value in fields.items() if name not in COLUMNS},
    )


def _in_bounds(text: str, most: float) -> bool:
    try:
        return not text or abs(float(text)) <= most
    except ValueError:
        return False


def _check_tree(sites: Iterable[Site], lines: Mapping[str, int]) -> None:
    bridges = {site.id for site in sites if site.type == "bridge"}
    for site in sites:
        for column, named in (("bridge", (site.bridge,)), ("hubs", site.hubs)):
            for name in named:
                if name not in bridges:
                    known = ", ".join(sorted(bridges)) or "none"
                    raise SitesError(
                        f"line {lines[site.id]}: {column} = {name!r}: is no site of type bridge in this file ({known})."
                    )


# --- in the database --------------------------------------------------------------------------------------------

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Site)


def import_sites(connection: sqlite3.Connection, sites: Iterable[Site]) -> list[str]:
    """Put the sites in place of their earlier rows; returns the ids of sites that the file does not name.

    Those stay: their history is theirs, and a forgotten row must not take a device's home away.
    """
    named = list(sites)
    connection.executemany(
        "INSERT INTO sites VALUES (?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET position = excluded.position, row = excluded.row",
        [(site.id, position, _encode(site).decode()) for position, site in enumerate(named)],
    )
    kept = {site.id for site in named}
    return [row[0] for row in connection.execute("SELECT id FROM sites ORDER BY id") if row[0] not in kept]


def load_sites(connection: sqlite3.Connection) -> dict[str, Site]:
    """Every site by id: bridges first, then in the order of the file."""
    rows = connection.execute("SELECT row FROM sites ORDER BY position, id")
    sites = sorted((_decoder.decode(row[0]) for row in rows), key=lambda site: site.type != "bridge")
    return {site.id: site for site in sites}
