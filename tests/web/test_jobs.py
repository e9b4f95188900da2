"""Slow work in the browser: ideal images, fooled pictures, taught models, and what breaks off."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.client import Client
from tests.support.page import tab_to, violations
from tests.support.paths import SAMPLES
from tests.support.pictures import png, shape

pytestmark = pytest.mark.slow


def paint(page: Page, *, steps: int) -> None:
    page.get_by_text("raw", exact=True).click()
    page.get_by_text("Steps and seed").click()
    page.get_by_role("spinbutton", name="Steps").fill(str(steps))
    page.get_by_role("spinbutton", name="Seed").fill("3")
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page).to_have_url(re.compile("#/ideal/job_"))


def test_an_ideal_image_is_searched_for_painted_and_judged_by_others(site, opened) -> None:
    page = opened(site, "#/ideal")
    search = page.get_by_role("combobox", name="What should it dream of?")
    expect(search).to_have_value("Persian cat")
    search.fill("zebar")
    expect(page.locator("[role=listbox] [role=option]").first).to_have_text("zebra")
    search.press("Enter")
    expect(search).to_have_value("zebra")
    paint(page, steps=8)
    expect(page.get_by_text("Networks that took no part")).to_be_visible(timeout=120_000)
    expect(page.locator(".say")).to_contain_text("zebra")
    expect(page.locator(".bars.held li")).to_have_count(2)
    expect(page.locator(".uplot canvas")).to_be_visible()
    page.get_by_role("button", name="Show as table").click()
    assert page.locator(".curve tbody tr").count() >= 4
    page.get_by_role("button", name="Film").click()
    expect(page.get_by_role("slider", name="From noise to the end")).to_be_visible()
    page.get_by_role("button", name="Classify →").click()
    expect(page.get_by_role("heading", name="What is this?")).to_be_visible()
    expect(page.locator(".say")).to_contain_text("zebra")


def test_several_pictures_of_one_wish_are_painted_at_once_and_chosen_among(site, opened) -> None:
    page = opened(site, "#/ideal?m=cats-vs-dogs", locale="tr")
    page.get_by_text("ham", exact=True).click()
    expect(page.get_by_role("radiogroup", name="Aynı anda kaç tane")).to_have_count(0)  # pixels alone: one picture
    page.get_by_text("hızlı", exact=True).click()
    page.get_by_role("radiogroup", name="Aynı anda kaç tane").get_by_text("2", exact=True).click()
    page.get_by_role("radiogroup", name="Ne kadar farklı").get_by_text("çok", exact=True).click()
    page.get_by_text("Adım ve tohum").click()
    page.get_by_role("spinbutton", name="Adım").fill("3")
    page.get_by_role("button", name="Boya", exact=True).click()
    second = page.get_by_role("button", name="2. görüntü")
    expect(second).to_be_visible(timeout=120_000)
    first = page.locator(".pic img.sq").get_attribute("src")
    second.click()
    expect(second).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_text(re.compile(r"2 görüntüden 2\.; ötekilere benzerliği"))).to_be_visible()
    expect(page.locator(".pic img.sq")).not_to_have_attribute("src", str(first))
    with page.expect_download() as sheet:
        page.get_by_role("link", name="Toplu görüntü, PNG").click()
    assert sheet.value.path().read_bytes()[:4] == b"\x89PNG"
    assert violations(page) == []
    page.reload()
    expect(page.get_by_role("radiogroup", name="Ne kadar farklı").get_by_label("çok", exact=True)).to_be_checked()


def test_the_link_of_a_job_leads_to_its_view(site, opened) -> None:
    with Client(site.url) as client:
        job = client.draw(model="cats-vs-dogs", objective={"label": "dog"}, preset="raw", steps=4, seed=1)
    page = opened(site, str(job["links"]["page"])[1:])
    expect(page).to_have_url(re.compile(f"#/ideal/{job['id']}"))
    expect(page.locator(".say")).to_contain_text("dog", timeout=240_000)
    page.get_by_role("button", name=re.compile("^Jobs")).click()
    drawer = page.get_by_role("dialog", name="Jobs")
    expect(drawer.get_by_text("Ideal: dog")).to_be_visible()
    drawer.get_by_role("button", name="Delete: Ideal: dog").click()
    expect(drawer.get_by_text("Ideal: dog")).to_have_count(0)


def test_a_job_that_is_not_there_is_told(site, opened) -> None:
    page = opened(site, "#/job/job_nowhere", expected=("404",))
    expect(page.get_by_role("heading", name="No such job")).to_be_visible()


def test_a_fooled_picture_still_fools_after_download_and_upload(site, opened, tmp_path: Path) -> None:
    page = opened(site, "#/teach?p=bernese")
    expect(page.get_by_role("heading", name="Teach")).to_be_visible()
    page.keyboard.press("4")  # and no mouse from here on, until it is done
    expect(page.get_by_text("Now it is a dog.")).to_be_visible()
    target = page.get_by_role("combobox", name="To be taken for")
    tab_to(page, target)
    page.keyboard.type("cat")
    page.keyboard.press("Enter")
    expect(target).to_have_value("cat")
    tab_to(page, page.get_by_role("slider", name="Strength"))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("At most 5 of 255 grey levels")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    tab_to(page, page.get_by_role("checkbox", name="a messenger"))
    page.keyboard.press("Space")
    tab_to(page, page.get_by_role("button", name="Fool it", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Does it still fool after …")).to_be_visible(timeout=180_000)
    expect(page.locator(".sum .voice")).to_contain_text("cat")
    expect(page.locator(".ways .chip:not(.no)")).to_have_count(7)
    expect(page.locator(".ways")).to_contain_text("a messenger: half the size, JPEG 70")
    expect(page.get_by_text("It is the direction that fools")).to_contain_text("still dog")
    expect(page.get_by_text(re.compile("^noise of [1-4]/255:"))).to_contain_text("dog")
    assert violations(page) == []
    tab_to(page, page.get_by_role("slider", name="Compare before and after"))
    page.keyboard.press("ArrowRight")
    assert page.locator(".compare").evaluate("one => one.style.getPropertyValue('--x')") == "51%"
    page.keyboard.down(" ")
    expect(page.locator(".compare.held")).to_be_visible()
    page.keyboard.up(" ")
    expect(page.locator(".compare.held")).to_have_count(0)
    tab_to(page, page.get_by_role("button", name="Upload it again here"))
    page.keyboard.press("Enter")
    expect(page.get_by_text("Uploaded again: cat")).to_be_visible()
    page.get_by_role("slider", name=re.compile("Noise of")).fill("64")
    expect(page.get_by_text(re.compile("^noise of 64/255:"))).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Changed picture, PNG").click()
    saved = tmp_path / "saved.png"
    download.value.save_as(saved)
    page.get_by_role("button", name="Find the smallest change").click()
    expect(page.get_by_text(re.compile(r"This little is enough: at most [12]/255"))).to_be_visible(timeout=180_000)
    page.evaluate("location.hash = '#/classify?m=cats-vs-dogs'")
    page.locator("#choose").set_input_files(saved)
    expect(page.locator(".say")).to_contain_text("cat")
    expect(page.locator(".bars.big li.first")).to_contain_text("cat")


def test_what_could_not_be_fooled_offers_more(site, opened) -> None:
    page = opened(site, "#/fool?m=imagenet")
    page.get_by_label("Method").select_option("fgsm")
    page.get_by_role("slider", name="Strength").fill("1")
    expect(page.get_by_role("combobox", name="To be taken for")).to_have_value("tabby cat")
    page.get_by_role("button", name="Fool it", exact=True).click()
    expect(page.get_by_role("heading", name="Not fooled within 1/255")).to_be_visible(timeout=120_000)
    expect(page.get_by_role("button", name="Try 12/255")).to_be_visible()


def test_a_patch_is_shown_with_what_there_is_to_print(site, opened) -> None:
    page = opened(site, "#/fool?m=imagenet&p=bernese")
    page.get_by_role("checkbox", name="a messenger").check()
    page.get_by_label("Method").select_option("patch")
    expect(page.get_by_role("checkbox", name="a messenger")).to_have_count(0)
    expect(page.get_by_role("slider", name="Strength")).to_be_disabled()
    with Client(site.url) as client:
        choices = {"model": "imagenet", "target": "tabby", "method": "patch", "place": "top-left", "steps": 1}
        job = client.wait(client.fool(SAMPLES / "bernese.png", **choices))
    page.goto(f"{site.url}/#/fool/{job['id']}")
    expect(page.get_by_text("random places, sizes and turns it fools")).to_be_visible()
    expect(page.get_by_label("Where it shall fool")).to_have_value("top-left")
    expect(page.get_by_role("link", name="The patch to print, PNG")).to_have_attribute("download", "patch.png")
    expect(page.get_by_text("no point changed by more than")).to_have_count(0)
    assert violations(page) == []


def test_one_picture_is_to_fool_several_networks(site, opened) -> None:
    page = opened(site, "#/fool?m=imagenet&p=bernese", locale="tr")
    page.get_by_label("Yöntem").select_option("fgsm")
    page.get_by_role("checkbox", name="efficientnet_lite1").check()
    page.get_by_role("button", name="Kandır", exact=True).click()
    each = page.locator(".ways + .proof li")
    expect(each).to_have_count(2, timeout=120_000)
    for place, name in enumerate(("imagenet", "efficientnet_lite1")):
        expect(each.nth(place)).to_contain_text(name)
        expect(each.nth(place)).to_contain_text(re.compile(r"6 yolun \d tanesine dayanıyor"))
    others = page.locator(".three .proof li")
    expect(others).to_have_count(1)  # of two that are here, one took part
    expect(others).not_to_contain_text("mountain dog")  # the words of another network are translated, too
    page.reload()
    expect(page.get_by_role("checkbox", name="efficientnet_lite1")).to_be_checked()


def test_a_model_is_taught_examined_and_tried(site, opened) -> None:
    page = opened(site, "#/teach")
    for n, label in enumerate(("red", "blue", "grey")):
        page.get_by_role("button", name="New class").click()
        column = page.locator("article.class").nth(n)
        column.get_by_label("Name of the class").fill(label)
        pictures = [png(96, 96, (60 + 9 * i,) * 3) if label == "grey" else shape(label, i) for i in range(5)]  # type: ignore[arg-type]
        files = [{"name": f"{i}.png", "mimeType": "image/png", "buffer": data} for i, data in enumerate(pictures)]
        if label == "blue":
            files.append({"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"})
        if label == "red":
            files.append({"name": "wrong.png", "mimeType": "image/png", "buffer": shape("blue", 50)})
        column.locator("input[type=file]").set_input_files(files)
        expect(column.locator("header .small")).to_have_text("6" if label == "red" else "5")
    expect(page.get_by_text("Broken files left out: 1")).to_be_visible()
    page.get_by_label("Name of the model").fill("Üç Şekil")
    page.get_by_role("button", name="Teach", exact=True).click()
    expect(page.locator(".big-num")).to_be_visible(timeout=120_000)
    expect(page.locator(".matrix tbody tr")).to_have_count(3)
    expect(page.get_by_role("img", name=re.compile("interval from"))).to_be_visible()
    # A blue shape that was filed under red is found, and the next version learns without it.
    cell = page.get_by_role("button", name="1 of red taken for blue: show")
    cell.click()
    expect(page.get_by_text("You filed it under red. It says blue")).to_be_visible()
    page.get_by_role("button", name="It is: blue").click()
    expect(page.get_by_text("All are settled.")).to_be_visible()
    again = page.get_by_role("button", name="Teach again as version 2 (1 corrected)")
    cell.click()  # all mistakes are shown, and what was said of this one stays
    expect(again).to_be_visible()
    cell.click()
    page.get_by_role("button", name="Leave out").click()  # on second thoughts
    again.click()
    expect(page.get_by_text("version 2, learned in")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("right, of 15 pictures")).to_be_visible()
    expect(cell).to_have_count(0)
    assert violations(page) == []
    page.get_by_role("link", name="Try it →").first.click()
    expect(page).to_have_url(re.compile("m=uc-sekil"))
    page.locator("#choose").set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": shape("blue", 77)})
    expect(page.locator(".bars.big li.first")).to_contain_text("blue")
    page.evaluate("location.hash = '#/teach'")
    row = page.locator(".mine li", has_text="uc-sekil")
    row.get_by_role("button", name="Delete").click()
    row.get_by_role("button", name="Really?").click()
    expect(row).to_have_count(0)


def test_a_job_survives_reload_restart_and_a_full_queue(own_site, opened) -> None:
    page = opened(own_site, "#/ideal?m=cats-vs-dogs", expected=("ERR_", "429", "503"))
    paint(page, steps=2000)
    expect(page.locator(".tag.t")).to_contain_text(re.compile(r"step [1-9]\d* of 2000"), timeout=240_000)
    page.reload()
    expect(page.locator(".tag.t")).to_contain_text(re.compile(r"step [1-9]\d* of 2000"))
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.get_by_role("heading", name="The queue is full")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile(r"Paint, in \d+ s"))).to_be_disabled()
    other = opened(own_site, "#/lesson", expected=("ERR_", "503"))
    expect(other.get_by_text("flatworm")).to_be_visible()
    own_site.stop()
    expect(page.get_by_role("heading", name="The service cannot be reached")).to_be_visible()
    assert violations(page) == []
    other.keyboard.press("1")  # a view that is not here yet
    expect(other.get_by_role("heading", name="The service cannot be reached")).to_be_visible()
    own_site.start()
    expect(other.get_by_role("heading", name="What is this?")).to_be_visible()
    expect(page.get_by_role("heading", name="The service cannot be reached")).to_have_count(0)
    expect(page.locator(".tag.t")).to_contain_text(re.compile(r"step [1-9]\d* of 2000"), timeout=240_000)
    page.get_by_role("button", name="Stop and keep this").click()
    expect(page.get_by_text("This is how far it had come.")).to_be_visible()


def test_the_lesson_is_walked_by_keyboard_and_remembered(site, opened) -> None:
    page = opened(site, "#/lesson")
    expect(page.get_by_text("flatworm")).to_be_visible()
    expect(page.get_by_text("neither", exact=True)).to_be_visible()
    page.get_by_role("link", name="Begin with this cat").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#lesson-1")).to_be_focused()
    expect(page.locator("#lesson-1 .bars li.first")).to_contain_text("cat")
    page.get_by_role("radio", name="1000 things").focus()
    page.keyboard.press("Space")
    expect(page.locator("#lesson-1 .bars li.first")).to_contain_text("Egyptian cat")
    page.get_by_role("radio", name="Two seconds are enough to learn to see.").focus()
    page.keyboard.press("Space")
    expect(page.locator("#lesson-1 .reveal")).to_be_visible()
    expect(page.locator("#lesson-1 .reveal")).to_contain_text("Not quite.")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#lesson-1 .reveal")).to_contain_text("Yes.")
    page.locator("#lesson-1").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#lesson-2")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#lesson-1")).to_be_focused()
    page.locator("#lesson-4 .flip").focus()
    page.keyboard.down(" ")
    expect(page.locator("#lesson-4 .flip.held")).to_be_visible()
    page.keyboard.up(" ")
    expect(page.locator("#lesson-4 .bars li.first").nth(1)).to_contain_text("cat")
    page.reload()
    expect(page.locator("#lesson-1 .reveal")).to_contain_text("Yes.")
    page.get_by_role("button", name="Teach these four now").click()
    expect(page.get_by_text(re.compile("right, of 24 pictures"))).to_be_visible(timeout=120_000)


def test_pictures_are_looked_into(site, opened) -> None:
    page = opened(site, "#/inside?p=cat")
    expect(page.get_by_role("heading", name="Channels that speak for “Egyptian cat”")).to_be_visible()
    expect(page.locator(".tiles button.tile")).to_have_count(16)
    page.get_by_role("button", name=re.compile("2 strokes")).click()
    expect(page).to_have_url(re.compile("stage=1"))
    page.locator(".tiles button.tile").nth(2).click()
    expect(page).to_have_url(re.compile("channel="))
    channel = re.search(r"channel=(\d+)", page.url)
    assert channel
    page.reload()
    expect(page.get_by_text(f"Photo ↔ channel {channel[1]}")).to_be_visible()
    expect(page.locator(".nine canvas")).to_have_count(9)
    expect(page.get_by_text("The strongest places in your pictures and the samples (6 pictures)")).to_be_visible()
    page.get_by_text("Other picture").click()
    page.locator(".dock .samples button").nth(3).click()
    expect(page).to_have_url(re.compile("#/inside.*p=basenji"))
    expect(page.get_by_role("heading", name="Channels that speak for “basenji”")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name=".npy").click()
    assert download.value.path().read_bytes().startswith(b"\x93NUMPY")
    page.get_by_role("heading", name="What does the answer rest on?").scroll_into_view_if_needed()
    expect(page.locator(".three figure img")).to_have_count(3, timeout=120_000)
