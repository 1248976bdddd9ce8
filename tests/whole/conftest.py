"""A browser and a city for the tests that look at the pages as people do."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.whole.centre import SITES, Centre
from tests.whole.city import City, wake

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="session")
def names() -> dict[str, str]:
    """Ids of the real sites by Vietnamese name."""
    with SITES.open(encoding="utf-8", newline="") as file:
        return {row["name_vi"]: row["id"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Not for longer than a module: its loop would stand in the way of tests that await."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture(scope="module")
def awake(tmp_path_factory: pytest.TempPathFactory, names: dict[str, str]) -> Iterator[City]:
    with Centre(tmp_path_factory.mktemp("centre")) as centre:
        yield wake(centre, names)


@pytest.fixture
def city(awake: City) -> City:
    """The city, heard again just now."""
    awake.go_on()
    return awake
