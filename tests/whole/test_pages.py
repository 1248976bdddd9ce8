"""The pages in a real browser, fed by a real centre."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, expect

from monitor.web.pages import WORDS
from tests.whole.centre import QUIET_LINE, Centre, lossy
from tests.whole.city import CUT, EXPECTED, LOSSY, SILENT, SLOW, City
from tests.whole.look import SCREENS, open_page

pytestmark = pytest.mark.slow

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
PATIENCE_MS = 30_000


@pytest.fixture
def wall(browser: Browser, city: City) -> Iterator[Page]:
    page = open_page(browser, city.centre.url + "/", "wall", "vi", "dark")
    yield page
    page.context.close()


def tile(page: Page, city: City, name: str) -> str:
    return f'.tile[href="/site/{city.names[name]}"]'


def test_every_verdict_is_a_shape_and_a_word_and_the_counts_add_up(wall: Page, city: City) -> None:
    for verdict, count in EXPECTED.items():
        expect(wall.locator(f".tile.{verdict}")).to_have_count(count, timeout=PATIENCE_MS)
        expect(wall.locator(f".count.{verdict} .fig")).to_have_text(str(count))
        assert wall.locator(f".tile.{verdict} svg.shape.{verdict}").count() == count
    for verdict, word in (("good", "Đạt"), ("fair", "Cần chú ý"), ("poor", "Không đạt"), ("unknown", "Chưa đo được")):
        assert all(word in text for text in wall.locator(f".tile.{verdict}").all_text_contents())
    fitted = sum(EXPECTED.values())
    expect(wall.locator(".counts .rest")).to_contain_text(f"{fitted} có thiết bị đo")
    expect(wall.locator(".counts .rest")).to_contain_text(f"{114 - fitted} chưa lắp thiết bị")
    expect(wall.locator(".tile.not_fitted")).to_have_count(114 - fitted)


def test_a_troubled_tile_says_what_and_the_card_says_what_to_do(wall: Page, city: City) -> None:
    expect(wall.locator(tile(wall, city, "Tứ Kỳ"))).to_contain_text("mất gói gửi 16,0\u202f%", timeout=PATIENCE_MS)
    expect(wall.locator(tile(wall, city, CUT))).to_contain_text("Không liên lạc được điểm cầu chính")
    expect(wall.locator(tile(wall, city, SILENT))).to_contain_text("Chưa đo được từ")
    card = wall.locator(".card.poor", has_text="Khu vực Tứ Kỳ")
    expect(card).to_contain_text(f"{len(LOSSY)} điểm cầu")
    expect(card).to_contain_text("cho phép tối đa 3\u202f%")
    expect(card).to_contain_text("Gọi nhà mạng")


def test_the_bridges_and_the_link_between_them_stand_on_top(wall: Page) -> None:
    expect(wall.locator(".bridge.good")).to_have_count(2, timeout=PATIENCE_MS)
    expect(wall.locator(".between")).to_contain_text("3,2\u202fms".replace("\u202f", ""))


def test_a_page_whose_centre_stands_still_says_so_and_greys_itself_until_it_is_back(wall: Page, city: City) -> None:
    expect(wall.locator(".lost")).to_have_count(0)
    city.centre.freeze()
    expect(wall.locator(".lost")).to_contain_text("Mất kết nối với trung tâm từ", timeout=PATIENCE_MS)
    expect(wall.locator(".stale main")).to_have_css("filter", "grayscale(1)")
    city.centre.go_on()
    expect(wall.locator(".lost")).to_have_count(0, timeout=PATIENCE_MS)


def test_one_click_changes_the_language_and_leaves_no_word_of_the_other(wall: Page, city: City) -> None:
    expect(wall.locator(".tile.poor").first).to_be_visible(timeout=PATIENCE_MS)
    wall.get_by_role("button", name="English").click()
    assert wall.locator("html").get_attribute("lang") == "en"
    vi, en = (json.loads((WORDS / f"{lang}.json").read_text(encoding="utf-8")) for lang in ("vi", "en"))
    text = wall.locator("main").inner_text()
    left = [
        vi[key]
        for key in vi
        if len(vi[key]) > 3 and "{" not in vi[key] and vi[key] not in en.values() and vi[key] in text
    ]
    assert not left
    assert "loss sending 16.0" in text
    wall.reload()
    assert wall.locator("html").get_attribute("lang") == "vi", "the address asked for Vietnamese"


def test_search_needs_no_tone_marks_but_takes_them(wall: Page, city: City) -> None:
    for asked, found in (
        ("tu ky", ["X. Tứ Kỳ"]),
        ("TỨ KỲ", ["X. Tứ Kỳ"]),
        ("cam giang", ["X. Cẩm Giang", "X. Cẩm Giàng"]),
    ):
        wall.get_by_role("searchbox").fill(asked)
        expect(wall.locator(".tile")).to_have_count(len(found))
        for each in found:
            expect(wall.locator(".tile", has_text=re.compile(rf"^\s*{each}\b"))).to_have_count(1)


def test_a_site_says_its_verdict_the_cure_and_both_directions_with_limits(browser: Browser, city: City) -> None:
    page = open_page(browser, f"{city.centre.url}/site/{city.names['Tứ Kỳ']}", "laptop", "vi", "light")
    expect(page.locator(".answer")).to_contain_text("Không đạt", timeout=PATIENCE_MS)
    expect(page.locator(".answer")).to_contain_text("chiều gửi về trung tâm")
    expect(page.locator(".answer .do")).to_be_visible()
    expect(page.locator(".way .stop.at")).to_contain_text("Đường truyền")
    own = page.locator(".panel", has_text="Tới Điểm cầu chính Hải Dương").first
    expect(own.locator("tr", has_text="Mất gói")).to_contain_text(re.compile(r"16,0\s*%.*0,0\s*%.*tối đa 3", re.S))
    expect(page.locator(".panel", has_text="Tới Điểm cầu chính Hải Phòng").first).to_be_visible()
    expect(page.locator(".mark")).to_have_text(
        [re.compile(each) for each in ("Đường truyền", "Hình", "Tiếng", "Ánh sáng", "Nguồn")]
    )
    page.context.close()


def test_a_site_page_follows_every_run(browser: Browser, city: City) -> None:
    page = open_page(browser, f"{city.centre.url}/site/{city.names[SLOW]}", "laptop", "en", "light")
    expect(page.locator(".panel").first).to_contain_text("123", timeout=PATIENCE_MS)
    city.devices[city.names[SLOW]].tell({**QUIET_LINE, "rtt_p50_ms": 234.5}, "hp")
    expect(page.locator(".panel").first).to_contain_text("235", timeout=PATIENCE_MS)
    page.context.close()


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("screen", SCREENS)
def test_every_screen_is_whole_readable_and_talks_to_the_centre_only(
    browser: Browser, city: City, screen: str, theme: str
) -> None:
    heard: list[str] = []
    for path in ("/", f"/site/{city.names['Tứ Kỳ']}"):
        for lang in ("vi", "en"):
            city.go_on()
            page = open_page(browser, city.centre.url + path, screen, lang, theme)
            page.on(
                "console", lambda message: heard.append(message.text) if message.type in ("error", "warning") else None
            )
            page.on(
                "request",
                lambda request: heard.append(request.url) if not request.url.startswith(city.centre.url) else None,
            )
            page.reload()
            page.wait_for_selector("main")
            page.evaluate("document.fonts.ready")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                f"{path} {lang} is wider than the screen"
            )
            cut = page.evaluate(
                "[...document.querySelectorAll('.tile, .card, .bridge, .mark, td, th')]"
                ".filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.textContent)"
            )
            assert not cut, f"{path} {lang} cuts {cut}"
            assert page.evaluate("document.fonts.check('600 16px \"Be Vietnam Pro\"', 'Tứ Kỳ')")
            page.evaluate(AXE.read_text(encoding="utf-8"))
            found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']})")
            faults = [(each["id"], [node["html"][:120] for node in each["nodes"][:3]]) for each in found["violations"]]
            assert not faults, f"{path} {lang}: {faults}"
            page.context.close()
    assert not heard


def test_a_verdict_changes_on_the_wall_without_anybody_touching_it(wall: Page, city: City) -> None:
    expect(wall.locator(tile(wall, city, "Cẩm Giang"))).to_have_class("tile good", timeout=PATIENCE_MS)
    for _ in range(4):
        city.devices[city.names["Cẩm Giang"]].tell(lossy(0.9), "hd", runs=1)
    expect(wall.locator(tile(wall, city, "Cẩm Giang"))).to_have_class("tile poor", timeout=PATIENCE_MS)
    expect(wall.locator(tile(wall, city, "Cẩm Giàng"))).to_have_class("tile good")


def test_an_exercise_says_that_its_clock_is_not_the_real_one(browser: Browser, tmp_path: Path) -> None:
    with Centre(tmp_path, "--clock", "2026-11-24T07:30,60") as centre:
        page = open_page(browser, centre.url + "/", "laptop", "vi", "light")
        expect(page.locator(".warning")).to_contain_text("Đồng hồ mô phỏng, chạy nhanh 60 lần", timeout=PATIENCE_MS)
        page.context.close()
