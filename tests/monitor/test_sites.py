"""The file of sites: whole or not at all, and no site mistaken for another."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.sites import SitesError, import_sites, load_sites, parse_sites
from monitor.store.database import reading, transaction
from tests.monitor.house import SITES

REAL = Path(__file__).parents[2] / "deploy" / "sites.csv"


def test_the_real_sites_are_taken_and_none_is_identified_by_its_unaccented_name() -> None:
    sites = {site.id: site for site in parse_sites(REAL.read_text(encoding="utf-8"))}
    assert len(sites) == 116
    names = {site.name_vi: site for site in sites.values()}
    assert names["Cẩm Giang"].id != names["Cẩm Giàng"].id
    assert names["Cẩm Giang"].name_en == names["Cẩm Giàng"].name_en
    assert sum(site.type == "bridge" for site in sites.values()) == 2


def test_unknown_columns_are_kept() -> None:
    assert parse_sites(SITES)[2].more == {"sources": "10.1.0.0/24"}


def test_a_file_from_a_spreadsheet_is_read() -> None:
    assert parse_sites("\ufeff" + SITES.replace("\n", "\r\n")) == parse_sites(SITES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("id,code", "ident,code"), ("line 1", "id")),
        (("31-2,2,xa", "31-1,2,xa"), ("line 5", "'31-1'", "line 4")),
        (("31-2,2,xa", "31 2,2,xa"), ("line 5", "id", "'31 2'")),
        (("31-2,2,xa", "31-2,2,thôn"), ("line 5", "type", "'thôn'")),
        (("Cẩm Giàng,Cam Giang,hd", ",Cam Giang,hd"), ("line 5", "name_vi", "empty")),
        (("Cat Hai,hp", "Cat Hai,hq"), ("line 6", "bridge", "'hq'")),
        (("island,,,", "island,91,,"), ("line 6", "lat", "'91'")),
        (("island", "boat"), ("line 6", "class", "'boat'")),
        (("cat-hai", "Cát Hải"), ("line 6", "area", "'Cát Hải'")),
        (("island,,,,", "island,,,xx,"), ("line 6", "hubs", "'xx'")),
        (("10.1.0.0/24", "10.1.0.0/24,more"), ("line 4", "fields")),
        (("VNPT", '"VNPT'), ("CSV",)),
    ],
)
def test_a_wrong_row_is_refused_with_its_line(change: tuple[str, str], words: tuple[str, ...]) -> None:
    text = SITES.replace(*change, 1)
    assert text != SITES
    with pytest.raises(SitesError) as caught:
        parse_sites(text)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_second_import_changes_rows_and_keeps_sites_it_does_not_name(tmp_path: Path) -> None:
    with transaction(tmp_path) as connection:
        import_sites(connection, parse_sites(SITES))
    fewer = "\n".join(SITES.splitlines()[:4]).replace("VNPT", "Viettel")
    with transaction(tmp_path) as connection:
        others = import_sites(connection, parse_sites(fewer))
    with reading(tmp_path) as connection:
        sites = load_sites(connection)
    assert others == ["31-2", "31-3"]
    assert sites["31-1"].carrier == "Viettel"
    assert sites["31-3"].name_vi == "Cát Hải"
    assert next(iter(sites)) == "hp"
