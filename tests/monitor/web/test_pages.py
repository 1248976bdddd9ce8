"""What a browser is handed: files of this origin only, whole, licensed, and under a strict policy."""

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from monitor.app import make_app
from monitor.centre import Centre
from monitor.clock import Clock
from monitor.settings import Settings
from monitor.web.pages import STATIC

VENDOR = STATIC / "vendor"
OWN_WORDS = re.compile(r"https?://[^\s\"'`)<>]+")


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who asks the real centre, without a network between."""
    app = make_app(Centre(Settings(), Clock(), tmp_path))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        yield client


def test_what_is_vendored_is_what_was_taken() -> None:
    sums = dict(line.split("  ")[::-1] for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    files = {file.name for file in VENDOR.iterdir()} - {"SHA256SUMS", "LICENSES.md"}
    assert set(sums) == files
    for name, wanted in sums.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == wanted, name


def test_whatever_is_vendored_has_its_licence_named() -> None:
    words = (VENDOR / "LICENSES.md").read_text(encoding="utf-8")
    for file in VENDOR.iterdir():
        family = re.sub(r"-(latin|vietnamese)?-?\d+(-normal)?\.woff2$", "", file.name)
        assert family in words or file.name in ("SHA256SUMS", "LICENSES.md"), file.name


@pytest.mark.parametrize("path", ["/", "/site/31-11074", "/static/wall.js", "/words/vi.json", "/favicon.ico"])
async def test_every_answer_forbids_what_is_not_of_this_origin(browser: httpx.AsyncClient, path: str) -> None:
    answer = await browser.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert not re.search(r"unsafe|https?:|\*", policy)
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_modules_are_asked_for_again_and_fonts_are_kept(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/static/wall.js")).headers["cache-control"] == "no-cache"
    font = next(VENDOR.glob("*.woff2")).name
    assert "immutable" in (await browser.get(f"/static/vendor/{font}")).headers["cache-control"]
    etag = (await browser.get("/static/wall.js")).headers["etag"]
    assert (await browser.get("/static/wall.js", headers={"If-None-Match": etag})).status_code == 304


@pytest.mark.parametrize("page", sorted(STATIC.glob("*.html")), ids=lambda page: page.name)
async def test_a_page_loads_only_what_is_there_and_runs_nothing_inline(browser: httpx.AsyncClient, page: Path) -> None:
    source = page.read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", source)
    for path in re.findall(r"(?:src|href)=\"([^\"]+)\"", source):
        assert (await browser.get(path)).status_code == 200, path


def test_nothing_names_an_address_outside() -> None:
    for file in (*STATIC.glob("*.js"), *STATIC.glob("*.css"), *STATIC.glob("*.html")):
        assert not OWN_WORDS.findall(file.read_text(encoding="utf-8")), file.name


def test_every_import_and_font_is_there() -> None:
    for file in (*STATIC.glob("*.js"), *STATIC.glob("*.css")):
        for path in re.findall(r"from \"([^\"]+)\"|url\(([^)]+)\)", file.read_text(encoding="utf-8")):
            assert (STATIC / (path[0] or path[1])).is_file(), f"{file.name}: {path}"


def test_only_the_type_scale_and_two_radii_are_used() -> None:
    for file in STATIC.glob("*.css"):
        source = file.read_text(encoding="utf-8")
        letters = set(re.findall(r"font-size: (\d+)px", source)) | set(re.findall(r"font: \d+ (\d+)px", source))
        assert letters <= {"13", "14", "16", "18", "22", "30"} | {"10", "12"}, file.name
        assert not re.search(r"box-shadow|(?<!repeating-)linear-gradient", source), file.name
        assert set(re.findall(r"border-radius: ([^;]+);", source)) <= {"var(--radius)", "var(--radius-large)"}, (
            file.name
        )
