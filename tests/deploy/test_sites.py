"""The real sites that ship with the project."""

import csv
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

SITES = Path(__file__).parents[2] / "deploy" / "sites.csv"
COLUMNS = "id,code,type,name_vi,name_en,bridge,area,carrier,class,lat,lon,hubs,router"

Row = dict[str, str]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    with SITES.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def units(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["type"] != "bridge"]


def test_the_columns_are_those_of_the_contract_and_the_areas_name(rows: list[Row]) -> None:
    assert ",".join(rows[0]) == f"{COLUMNS},area_vi"


def test_114_are_67_communes_45_wards_and_2_special_zones(units: list[Row]) -> None:
    assert Counter(row["type"] for row in units) == {"xa": 67, "phuong": 45, "dac_khu": 2}
    assert len(units) == 114


def test_two_bridges_come_first_and_share_the_sites_as_the_former_provinces_did(
    rows: list[Row], units: list[Row]
) -> None:
    assert [(row["id"], row["type"], row["bridge"]) for row in rows[:2]] == [
        ("hp", "bridge", "hp"),
        ("hd", "bridge", "hd"),
    ]
    assert Counter(row["bridge"] for row in units) == {"hp": 50, "hd": 64}


def test_no_id_and_no_code_stands_twice(rows: list[Row], units: list[Row]) -> None:
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({row["code"] for row in units}) == len(units)
    assert all(row["id"] == f"31-{row['code']}" for row in units)


def test_cẩm_giang_and_cẩm_giàng_are_two_sites(units: list[Row]) -> None:
    assert {row["name_vi"]: row["id"] for row in units if row["name_en"] == "Cam Giang"} == {
        "Cẩm Giang": "31-10888",
        "Cẩm Giàng": "31-10903",
    }


def test_the_islands_are_the_two_special_zones(units: list[Row]) -> None:
    islands = {row["name_vi"] for row in units if row["class"] == "island"}
    assert islands == {"Cát Hải", "Bạch Long Vĩ"} == {row["name_vi"] for row in units if row["type"] == "dac_khu"}


def test_an_area_lies_under_one_bridge_and_has_one_name(units: list[Row]) -> None:
    names: dict[str, set[tuple[str, str]]] = {}
    for row in units:
        names.setdefault(row["area"], set()).add((row["area_vi"], row["bridge"]))
    assert len(names) == 27
    assert all(len(kinds) == 1 for kinds in names.values())


def test_names_are_spelled_the_official_way_and_composed(rows: list[Row]) -> None:
    words = {word for row in rows for key in ("name_vi", "area_vi") for word in row[key].split()}
    assert not words & {"Thuỷ", "Thuỵ", "Hoà"}
    assert {"Thủy", "Thụy", "Hòa"} <= words
    assert all(word == unicodedata.normalize("NFC", word) for word in words)


def test_every_point_lies_in_the_gulf_or_the_delta(units: list[Row]) -> None:
    assert all(20.0 < float(row["lat"]) < 21.4 and 106.0 < float(row["lon"]) < 107.9 for row in units)
