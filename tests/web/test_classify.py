"""Classify in the browser: one picture, many, none at all, from files and from the camera."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.paths import SAMPLES
from tests.support.pictures import png

pytestmark = pytest.mark.slow


def test_a_picture_of_ones_own_is_named_explained_and_kept(site, opened) -> None:
    page = opened(site, "#/classify")
    page.locator("#choose").set_input_files(SAMPLES / "basenji.png")
    expect(page.locator(".say")).to_have_text("It is a dog.")
    expect(page.locator(".who").nth(1)).to_contain_text("imagenet")
    expect(page.locator(".two .bars li.first").first).to_contain_text("basenji")
    page.get_by_text("Why? Where it looked").click()
    expect(page.get_by_alt_text(re.compile("Heat map; strongest: "))).to_be_visible()
    page.reload()
    expect(page.locator(".say")).to_have_text("It is a dog.")


def test_unknown_comes_first(site, opened) -> None:
    page = opened(site, "#/classify?p=blot")
    expect(page.locator(".say")).to_contain_text("I only know")
    expect(page.locator(".say")).to_contain_text("none of them")
    expect(page.get_by_text("If I must choose")).to_be_visible()
    expect(page.locator(".bars.big.doubt")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile(r"Strangeness 0\.[89]"))).to_be_visible()


def test_the_link_carries_model_and_picture(site, opened) -> None:
    page = opened(site, "#/classify?p=bernese&m=imagenet")
    expect(page.locator(".say")).to_have_text("It is a Bernese mountain dog.")
    page.get_by_label("Model").select_option("pets")
    expect(page).to_have_url(re.compile("m=pets"))
    page.get_by_role("button", name="Türkçe").click()
    expect(page.locator(".who").first).to_contain_text("pets diyor ki")


def test_what_is_no_picture_is_told_and_loses_nothing(site, opened, tmp_path: Path) -> None:
    page = opened(site, "#/classify", expected=("415", "413", "422"))
    page.locator("#choose").set_input_files(
        {"name": "cat.jpg", "mimeType": "image/jpeg", "buffer": b"%PDF-1.7 not a cat"}
    )
    expect(page.get_by_role("heading", name="This is no picture that can be read")).to_be_visible()
    page.locator("#choose").set_input_files({"name": "big.jpg", "mimeType": "image/jpeg", "buffer": bytes(33 << 20)})
    expect(page.get_by_role("heading", name="The file is too large")).to_be_visible()
    page.locator(".samples button").first.click()
    expect(page.locator(".say")).to_have_text("It is a cat.")


def test_many_pictures_become_a_table(site, opened) -> None:
    page = opened(site, "#/classify")
    expect(page.locator(".say")).to_be_visible()
    cat = (SAMPLES / "basenji.png").read_bytes()
    files = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": png(24, 24)} for n in range(18)]
    files += [
        {"name": "dog.png", "mimeType": "image/png", "buffer": cat},
        {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"nothing"},
    ]
    page.locator("#choose").set_input_files(files)
    expect(page.get_by_role("heading", name="20 pictures")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(20)
    expect(page.get_by_text("This is no picture that can be read")).to_have_count(1)
    page.get_by_role("button", name="Score").click()
    page.get_by_role("button", name="Score").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Score")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0] == "picture,class,score,unknown,problem"
    assert len(lines) == 21
    page.get_by_role("button", name="Look at dog.png").click()
    expect(page.locator(".say")).to_have_text("It is a dog.")


def test_the_camera_is_classified_live_and_taken(site, opened) -> None:
    page = opened(site, "#/classify", permissions=["camera"])
    page.get_by_role("button", name="Camera").click()
    expect(page.get_by_text(re.compile(r"\d+ answers a second"))).to_be_visible()
    page.get_by_role("button", name="Take the picture").click()
    expect(page).to_have_url(re.compile("p=own-"))
    expect(page.locator(".say")).to_be_visible()
