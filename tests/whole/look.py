"""Pictures of every page on every screen, for eyes: `python -m tests.whole.look FOLDER`."""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.whole.centre import SITES, Centre
from tests.whole.city import wake
from tests.whole.conftest import CHROMIUM, FLAGS

SCREENS = {"wall": (1920, 1080), "laptop": (1366, 768), "phone": (390, 844)}


def open_page(browser: Browser, address: str, screen: str, lang: str, theme: str) -> Page:
    """A page of its own context, drawn and filled."""
    width, height = SCREENS[screen]
    phone = screen == "phone"
    context = browser.new_context(
        viewport={"width": width, "height": height},
        is_mobile=phone,
        has_touch=phone,
        device_scale_factor=2 if phone else 1,
    )
    page = context.new_page()
    page.goto(f"{address}?lang={lang}&theme={theme}")
    page.wait_for_selector("main")
    page.evaluate("document.fonts.ready")
    return page


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with SITES.open(encoding="utf-8", newline="") as file:
        names = {row["name_vi"]: row["id"] for row in csv.DictReader(file)}
    with tempfile.TemporaryDirectory() as data, Centre(Path(data)) as centre, sync_playwright() as playwright:
        city = wake(centre, names)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for path, name in (("/", "wall"), (f"/site/{names['Tứ Kỳ']}", "site"), ("/site/hp", "bridge")):
            for screen in SCREENS:
                for lang in ("vi", "en"):
                    for theme in ("dark", "light"):
                        city.go_on()
                        page = open_page(browser, centre.url + path, screen, lang, theme)
                        page.wait_for_timeout(500)
                        page.screenshot(path=folder / f"{name}-{screen}-{lang}-{theme}.png", full_page=True)
                        page.context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
