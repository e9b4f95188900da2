"""The search among the classes, as people type: a kind offers what belongs to it."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("typed", "kinds"),
    [("cat", ["tabby cat", "Persian cat"]), ("birds", ["robin", "jay"]), ("kedi", ["tabby cat", "Persian cat"])],
)
def test_a_kind_offers_what_belongs_to_it(site, opened, typed: str, kinds: list[str]) -> None:
    page = opened(site, "#/ideal")
    box = page.get_by_role("combobox", name="What should it dream of?")
    expect(box).to_have_value("Persian cat")
    box.fill(typed)
    for name in kinds:
        expect(page.get_by_role("option", name=name).first).to_be_visible()


def test_a_kind_is_found_in_turkish_and_taken(site, opened) -> None:
    page = opened(site, "#/ideal", locale="tr-TR")
    box = page.get_by_role("combobox", name="Ne hayal etsin?")
    expect(box).to_have_value("İran kedisi")
    box.fill("kuşlar")
    expect(page.locator("[role=listbox] [role=option]").first).to_be_visible()
    box.fill("kedi")
    expect(page.locator("[role=listbox] [role=option]").first).to_contain_text("tekir kedi")
    box.press("Enter")
    expect(box).to_have_value("tekir kedi")
