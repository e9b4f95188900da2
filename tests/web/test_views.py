"""Every view in both languages, both widths, light and dark: quiet, narrow enough, accessible, and translated."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

VIEWS = ("lesson", "classify", "inside", "ideal", "fool", "teach")
AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
WORDS = {
    name: json.loads((ROOT / "app" / "web" / "page" / "words" / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("en", "tr")
}


def settle(page: Page) -> None:
    """Until what the view asked for is there."""
    expect(page.locator("#view h1").first).to_be_visible()
    expect(page.locator("#view [aria-busy=true]:not(figure)")).to_have_count(0)
    expect(page.locator("#view :not(figure) > .blotwait:has(.vh)")).to_have_count(0)


def violations(page: Page) -> list[str]:
    """What axe-core finds serious or critical."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    rules = "{resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']}"
    found: list[dict[str, Any]] = page.evaluate(f"axe.run(document, {rules}).then((result) => result.violations)")
    return [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"][:3]
    ]


def texts(page: Page) -> set[str]:
    """Whatever a person reads or hears: text, and the attributes that are read aloud."""
    return set(
        page.evaluate(
            """() => {
              const found = [];
              const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
              while (walker.nextNode()) found.push(walker.currentNode.data.trim());
              for (const one of document.body.querySelectorAll('*'))
                for (const name of ['aria-label', 'alt', 'placeholder', 'title'])
                  found.push((one.getAttribute(name) ?? '').trim());
              return found.filter(Boolean);
            }"""
        )
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("language", ["en", "tr"])
def test_every_view_is_quiet_fits_and_speaks_its_language(site, opened, language: str, width: int, theme: str) -> None:
    page = opened(site, viewport={"width": width, "height": 800}, locale=language, color_scheme=theme)
    other = "tr" if language == "en" else "en"
    foreign = {WORDS[other][key] for key in WORDS["en"]} - set(WORDS[language].values())
    for view in VIEWS:
        page.evaluate("view => { location.hash = `#/${view}` }", view)
        expect(page.locator(f"#view.of-{view}")).to_be_visible()
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
        assert page.evaluate("document.documentElement.lang") == language
        assert texts(page) & foreign == set(), view
        assert violations(page) == [], view


def test_nothing_is_cut_off_at_320_pixels(site, opened) -> None:
    page = opened(site, viewport={"width": 320, "height": 700}, locale="tr")
    for view in VIEWS:
        page.evaluate("view => { location.hash = `#/${view}` }", view)
        expect(page.locator(f"#view.of-{view}")).to_be_visible()
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, view


def test_language_and_theme_are_switched_and_remembered(site, opened) -> None:
    page = opened(site, "#/classify", color_scheme="light")
    expect(page.get_by_role("heading", name="What is this?")).to_be_visible()
    page.get_by_role("button", name="Türkçe").click()
    expect(page.get_by_role("heading", name="Bu ne?")).to_be_visible()
    page.get_by_role("button", name="Açık ya da koyu").click()
    page.reload()
    expect(page.get_by_role("heading", name="Bu ne?")).to_be_visible()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    expect(page.locator(".say")).to_have_text("Bu bir kedi.")


def test_the_tabs_are_walked_by_keyboard(site, opened) -> None:
    page = opened(site, "#/lesson")
    page.get_by_role("tab", name="Lesson").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Classify")).to_be_focused()
    expect(page.get_by_role("tab", name="Classify")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("4")
    expect(page.get_by_role("heading", name="Fool it")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys and shortcuts")).to_be_visible()
    page.get_by_text("Single keys work").click()
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    expect(page.get_by_role("heading", name="Fool it")).to_be_visible()
