"""A service with keys in the browser: links that bring one, and the dialog that asks for one."""

import re

import pytest
from playwright.sync_api import Page, expect

from app.client import Client
from tests.support.keys import secret_of
from tests.support.paths import SAMPLES

pytestmark = pytest.mark.slow
SECRET = secret_of("ayse")


def is_shown(page: Page, selector: str) -> None:
    page.wait_for_function(
        "selector => [...document.querySelectorAll(selector)].some(one => one.src && one.complete && one.naturalWidth)",
        arg=selector,
    )


def test_a_link_brings_the_key_which_leaves_the_address_and_outlives_a_reload(locked, opened) -> None:
    page = opened(locked, f"#key={SECRET}")
    expect(page).to_have_url(re.compile(r"/$"))
    for _ in range(2):
        page.goto(f"{locked.url}/#/classify?p=bernese")
        expect(page.locator(".say")).to_have_text("It is a dog.")
        expect(page.locator("dialog[open]")).to_have_count(0)
        page.reload()


def test_without_a_key_a_small_dialog_asks_and_says_when_it_is_wrong(locked, opened) -> None:
    page = opened(locked, "#/classify?p=bernese", expected=("401",))
    dialog = page.get_by_role("dialog", name="Which key do you have?")
    expect(dialog).to_contain_text("people with a key")
    dialog.get_by_label("Key").fill("ink_nobody")
    dialog.get_by_role("button", name="Use it").click()
    expect(dialog).to_contain_text("not known here")
    dialog.get_by_label("Key").fill(f" {locked.url}/#key={SECRET} ")
    dialog.get_by_role("button", name="Use it").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".say")).to_have_text("It is a dog.")


def test_a_dialog_that_is_told_late_of_its_closing_asks_once_more_for_a_refused_key(locked, opened) -> None:
    page = opened(locked, expected=("401",))
    page.evaluate("""() => {
        const close = HTMLDialogElement.prototype.close;
        HTMLDialogElement.prototype.close = function () {
            const later = (event) => {
                event.stopImmediatePropagation();
                setTimeout(() => this.dispatchEvent(new Event("close")), 2000);
            };
            this.addEventListener("close", later, { once: true, capture: true });
            close.call(this);
        };
    }""")
    page.evaluate("location.hash = '#/classify?p=bernese'")
    dialog = page.get_by_role("dialog", name="Which key do you have?")
    dialog.get_by_label("Key").fill("ink_nobody")
    dialog.get_by_role("button", name="Use it").click()
    expect(dialog).to_contain_text("not known here")
    page.wait_for_timeout(3000)  # nothing is to happen
    expect(dialog).to_contain_text("not known here")


def test_whoever_has_none_is_told_so_and_not_asked_for_each_request_anew(locked, opened) -> None:
    page = opened(locked, "#/teach", expected=("401",))
    page.get_by_role("button", name="Go on without").click()
    for view in ("classify", "inside"):  # what they ask for comes later
        page.goto(f"{locked.url}/#/{view}?p=bernese")
        expect(page.get_by_role("heading", name="A key is needed").first).to_be_visible()
        expect(page.locator("dialog[open]")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("dialog", name="Which key do you have?")).to_be_visible()


def test_what_a_job_left_is_shown_and_saved_with_the_key(locked, opened) -> None:
    with Client(locked.url, key=SECRET) as client:
        made = client.wait(client.fool(SAMPLES / "bernese.png", target="tabby", model="imagenet", method="fgsm"))
        painted = client.wait(
            client.draw(objective={"label": "zebra"}, model="imagenet", preset="quick", steps=3, size=96)
        )
    page = opened(locked, f"#key={SECRET}")
    page.goto(f"{locked.url}/#/fool/{made['id']}")
    is_shown(page, "figure img[src^='blob:']")
    with page.expect_download() as saving:
        page.locator("a[download='adversarial.png']").click()
    assert saving.value.path().read_bytes()[:4] == b"\x89PNG"
    page.goto(f"{locked.url}/#/ideal/{painted['id']}")
    expect(page.locator(".film canvas, .pic img").first).to_be_visible()


def test_events_of_a_job_come_with_the_key(locked, opened) -> None:
    page = opened(locked, f"#key={SECRET}")
    page.goto(f"{locked.url}/#/fool?p=bernese&m=imagenet")
    page.get_by_label("Method").select_option("fgsm")
    page.get_by_role("button", name=re.compile("^Fool")).last.click()
    expect(page.locator("a[download='adversarial.png']")).to_be_visible(timeout=120_000)
