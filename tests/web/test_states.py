"""What can go wrong, and what takes long: each is told, is accessible, and goes on by itself where it can."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from app.client import Client
from tests.support.page import WORDS, answer_problem, violations
from tests.support.paths import SAMPLES

pytestmark = pytest.mark.slow

TOLD = sorted(key.removeprefix("problem.") for key in WORDS["en"] if key.startswith("problem."))
TOLD = [slug for slug in TOLD if slug not in {"request", "internal", "unreachable", "overloaded"}]


def test_every_problem_has_its_words_and_loses_nothing(site, opened) -> None:
    page = opened(site, "#/classify?p=cat", expected=("status of 4", "status of 5"), locale="tr")
    expect(page.locator(".say")).to_have_text("Bu bir kedi.")
    now = ""
    page.route("**/v1/classify*", lambda route: answer_problem(route, now, 422))
    told = [slug for slug in TOLD if slug != "unauthorized"]  # which asks for a key: test_key.py
    for at, slug in enumerate([*told, "something-new"]):
        now = slug
        page.locator(".samples button").nth(at % 2 + 1).click()
        known = slug if slug in TOLD else "internal"
        expect(page.get_by_role("heading", name=WORDS["tr"][f"problem.{known}"]).first).to_be_visible()
    expect(page.get_by_text("istek r1").first).to_be_visible()  # what the operator needs to find it in the log
    assert violations(page) == []
    page.unroute("**/v1/classify*")
    page.locator(".samples button").first.click()
    expect(page.locator(".say")).to_have_text("Bu bir kedi.")


@pytest.mark.parametrize("slug", ["model-loading", "overloaded"])
def test_what_passes_is_waited_for(site, opened, slug: str) -> None:
    page = opened(site, "#/teach", expected=("status of 503",))
    asked: list[Route] = []
    told = slug != "model-loading"  # what is told is looked for before an answer takes it away

    def first_not(route: Route) -> None:
        asked.append(route)
        if len(asked) == 1 or not told:
            answer_problem(route, slug, 503, **{"Retry-After": "1"})
        else:
            route.continue_()

    page.route("**/v1/classify?model=cats-vs-dogs*", first_not)
    page.evaluate("location.hash = '#/classify?p=bernese'")
    if slug == "model-loading":
        warming = page.get_by_role("heading", name="Warming up")
        expect(warming).to_be_visible()
        # Another question is answered meanwhile: it ends no wait but its own.
        page.evaluate("""async () => {
            const loaded = performance.getEntriesByType("resource").map((one) => one.name);
            await (await import(loaded.find((one) => one.endsWith("/api.js")))).askJson("/v1/models");
            await new Promise(requestAnimationFrame);
        }""")
        assert warming.is_visible()
        told = True
    expect(page.locator(".say")).to_have_text("It is a dog.")
    expect(page.get_by_role("heading", name="Warming up")).to_have_count(0)
    assert len(asked) == 2 or (slug == "model-loading" and len(asked) > 2)  # it was asked as often as it was loading


def order(page: Page, *, steps: int) -> None:
    """Orders an ideal image."""
    page.get_by_text("raw", exact=True).click()
    page.get_by_text("Steps and seed").click()
    page.get_by_role("spinbutton", name="Steps").fill(str(steps))
    page.get_by_role("spinbutton", name="Seed").fill("3")
    page.get_by_role("button", name="Paint", exact=True).click()


def job_shown(page: Page) -> str:
    expect(page).to_have_url(re.compile("#/ideal/job_"))
    expect(page.get_by_role("heading", name="From other noise")).to_be_visible(timeout=120_000)
    found = re.search(r"job_\w+", page.url)
    assert found
    return found[0]


def test_a_full_queue_is_waited_for_and_an_expired_result_is_made_again(site, opened) -> None:
    page = opened(site, "#/ideal?m=cats-vs-dogs", expected=("status of 410", "status of 429"))
    refused: list[Route] = []

    def full_once(route: Route) -> None:
        if refused:
            route.continue_()
        else:
            refused.append(route)
            answer_problem(route, "queue-full", 429, **{"Retry-After": "3"})

    page.route("**/v1/ideal-images", full_once)
    order(page, steps=2)
    expect(page.get_by_role("heading", name="The queue is full")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile(r"Paint, in \d s"))).to_be_disabled()
    assert violations(page) == []
    old = job_shown(page)  # the order went on by itself
    page.route(f"**/v1/jobs/{old}", lambda route: answer_problem(route, "gone", 410))
    page.reload()
    expect(page.get_by_role("heading", name="Not kept any longer")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Run the recipe again").click()
    expect(page).not_to_have_url(re.compile(old))
    new = job_shown(page)
    with Client(site.url) as client:
        first, second = client.job(old), client.job(new)
    assert first["input"] == second["input"]


def test_more_seeds_make_a_sheet(site, opened) -> None:
    page = opened(site, "#/ideal?m=cats-vs-dogs")
    order(page, steps=2)
    job_shown(page)
    page.get_by_role("button", name="Paint 3 more").click(timeout=120_000)
    sheet = page.locator(".shelf").first
    for seed in (3, 4, 5, 6):
        expect(sheet.get_by_text(f"seed {seed}", exact=True)).to_be_visible(timeout=120_000)
    expect(sheet.locator("img")).to_have_count(4, timeout=120_000)
    sheet.get_by_text("seed 5").click()
    expect(page.get_by_text(re.compile("seed 5, raw"))).to_be_visible()


def test_two_tabs_follow_one_job_without_its_stream_and_with_it(site, opened) -> None:
    with Client(site.url) as client:
        job = client.draw(model="cats-vs-dogs", objective={"label": "dog"}, preset="raw", steps=2000, seed=1)["id"]
    here = opened(site, f"#/ideal/{job}")
    there = opened(site, "#/teach", expected=("ERR_FAILED",))
    there.route("**/events", lambda route: route.abort())
    there.evaluate("job => { location.hash = `#/ideal/${job}` }", job)
    for page in (here, there):
        expect(page.locator(".tag.t")).to_contain_text(re.compile(r"step [1-9]\d* of 2000"), timeout=240_000)
    expect(there.get_by_role("heading", name="Connection lost")).to_be_visible()
    assert violations(there) == []
    seen = there.locator(".tag.t").inner_text()
    expect(there.locator(".tag.t")).not_to_have_text(seen)  # by asking, where nothing is told
    here.get_by_role("button", name=re.compile("^Jobs")).click()
    here.get_by_role("button", name="Stop: Ideal: dog").click()
    for page in (here, there):
        expect(page.get_by_text("This is how far it had come.")).to_be_visible()


def test_a_queued_job_has_its_place_and_its_blot(site, opened) -> None:
    with Client(site.url) as client:
        done = client.draw(model="cats-vs-dogs", objective={"label": "dog"}, preset="raw", steps=1, seed=9)
        *_, _ = client.follow(done)
        job = {**client.job(done["id"]), "status": "queued", "result": None, "preview": None, "finished_at": None}
    waiting = {**job, "queue": {"position": 3, "eta_s": 130.0}}
    page = opened(site, "#/teach", locale="tr")
    page.route(f"**/v1/jobs/{job['id']}", lambda route: route.fulfill(json=waiting))
    page.route(f"**/v1/jobs/{job['id']}/events", lambda route: route.fulfill(status=204))
    page.evaluate("job => { location.hash = `#/ideal/${job}` }", job["id"])
    expect(page.get_by_text("Sırada 3.")).to_be_visible()
    expect(page.get_by_text("Önünde 2 iş var. Bitmesine yaklaşık 2 dk")).to_be_visible()
    expect(page.locator(".blotwait .blot path")).to_have_count(1)
    assert violations(page) == []


def test_two_hundred_pictures_are_dropped_at_once(site, opened) -> None:
    page = opened(site, "#/lesson")
    expect(page.get_by_role("link", name="Begin with this cat")).to_be_visible()
    open_requests: set[int] = set()
    most = 0

    def began(request) -> None:
        nonlocal most
        if "/v1/classify" in request.url:
            open_requests.add(id(request))
            most = max(most, len(open_requests))

    def ended(request) -> None:
        open_requests.discard(id(request))

    page.wait_for_load_state("networkidle")
    page.on("request", began)
    page.on("requestfinished", ended)
    page.evaluate(
        """async () => {
          const canvas = Object.assign(document.createElement("canvas"), { width: 48, height: 48 });
          const dropped = new DataTransfer();
          for (let n = 0; n < 200; n += 1) {
            const context = canvas.getContext("2d");
            context.fillStyle = `hsl(${n * 7} 60% 50%)`;
            context.fillRect(0, 0, 48, 48);
            const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
            dropped.items.add(new File([blob], `${n}.png`, { type: "image/png" }));
          }
          dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, cancelable: true }));
        }"""
    )
    expect(page.get_by_role("heading", name="200 pictures")).to_be_visible()
    expect(page.locator("tbody tr").first).to_be_visible()
    page.get_by_role("button", name="File").click()  # while the others are still on their way
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("File")
    expect(page.locator("tbody tr")).to_have_count(200, timeout=180_000)
    expect(page.locator("tbody tr td:nth-child(2)").first).to_have_text("199.png")
    expect(page.get_by_text("200 of 200")).to_be_visible()
    assert most <= 2  # word of the end of one may come after the beginning of the next
    assert violations(page) == []
    page.get_by_role("button", name="Look at 199.png").click()
    expect(page.locator(".say")).to_be_visible()


def test_a_slow_network_shows_the_page_and_then_the_answer(site, opened) -> None:
    page = opened(site, "#/teach")
    line = page.context.new_cdp_session(page)
    line.send("Network.enable")
    slow = {"offline": False, "latency": 300, "downloadThroughput": 90_000, "uploadThroughput": 40_000}
    line.send("Network.emulateNetworkConditions", slow)
    page.goto(f"{site.url}/?slow#/classify?p=basenji")
    expect(page.get_by_role("heading", name="What is this?")).to_be_visible()
    page.locator("#choose").set_input_files(SAMPLES / "bernese.png")
    expect(page.locator("[aria-busy=true]").first).to_be_visible()  # it says that it is not done
    expect(page.locator(".say")).to_have_text("It is a dog.")
    expect(page.locator(".hero-pic img").first).to_have_attribute("alt", "Your picture; the network says: dog")
