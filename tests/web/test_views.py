"""Every view in both languages, both widths, light and dark: quiet, narrow enough, accessible, and translated."""

import pytest
from playwright.sync_api import Page, expect

from tests.support.page import WORDS, settle, violations

pytestmark = pytest.mark.slow

VIEWS = ("lesson", "classify", "inside", "ideal", "fool", "teach")


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


SHIFTS = """
  window.shifted = 0;
  const add = (one) => { if (!one.hadRecentInput) shifted += one.value; };
  new PerformanceObserver((list) => list.getEntries().forEach(add)).observe({ type: "layout-shift", buffered: true });
"""
"""Adds up how much of the page moved by itself (Cumulative Layout Shift)."""


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("language", ["en", "tr"])
def test_every_view_is_quiet_fits_and_speaks_its_language(site, opened, language: str, width: int) -> None:
    page = opened(site, viewport={"width": width, "height": 800}, locale=language)
    other = "tr" if language == "en" else "en"
    foreign = {WORDS[other][key] for key in WORDS["en"]} - set(WORDS[language].values())
    page.add_init_script(SHIFTS)
    for view in VIEWS:
        page.goto(f"{site.url}/?{view}#/{view}")
        expect(page.locator(f"#view.of-{view}")).to_be_visible()
        settle(page)
        assert page.evaluate("shifted") <= 0.05, view
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
        assert page.evaluate("document.documentElement.lang") == language
        assert texts(page) & foreign == set(), view
        page.emulate_media(color_scheme="light")
        assert violations(page) == [], view
        page.emulate_media(color_scheme="dark")  # other colours, and nothing else
        assert violations(page, rule="color-contrast") == [], view


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
