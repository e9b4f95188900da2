"""Makes the pictures of the page, `docs/page/views.webp` and `docs/page/lesson.webp`, from a service that is running.

    make serve & .venv/bin/python -m docs.make_page_pictures [http://127.0.0.1:8000]

Every frame is a screenshot of the page at work; it needs what the tests of the page need (`make test` installs it), and
Chromium.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from app.client import Client

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "page"
SAMPLES = ROOT / "app" / "web" / "samples"
CHROMIUM = "/usr/bin/chromium"
GAP = 12
SHEET = (760, 560)
FILM = (720, 450)
GLIDE = 5
"""Frames from one place to the next."""
PATIENCE_MS = 240_000
Theme = Literal["light", "dark"]


def main() -> None:
    server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    OUT.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        film(browser, server)
        sheet(browser, server)
        browser.close()


@contextmanager
def opened(browser: Browser, server: str, size: tuple[int, int], language: str, theme: Theme) -> Iterator[Page]:
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
        base_url=server,
        locale=language,
        color_scheme=theme,
    )
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


def shot(page: Page, size: tuple[int, int]) -> Image.Image:
    picture = Image.open(BytesIO(page.screenshot()))
    return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)


# The Lesson in twenty seconds.


class Film:
    """Screenshots of a page, each with the milliseconds that it stays."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[Image.Image] = []
        self.stays: list[int] = []

    def take(self, stay: int) -> None:
        frame = shot(self.page, FILM)
        if self.frames and frame.tobytes() == self.frames[-1].tobytes():
            self.stays[-1] += stay
        else:
            self.frames.append(frame)
            self.stays.append(stay)

    def glide(self, place: str, stay: int) -> None:
        """Scroll there in a few frames."""
        top, header = self.page.locator(place).evaluate("one => one.getBoundingClientRect().top"), 64
        start = self.page.evaluate("scrollY")
        for at in range(1, GLIDE + 1):
            eased = 1 - (1 - at / GLIDE) ** 3
            self.page.evaluate("to => scrollTo(0, to)", start + (top - header) * eased)
            self.take(60 if at < GLIDE else stay)

    def save(self, path: Path) -> None:
        first, *rest = self.frames
        first.save(path, save_all=True, append_images=rest, duration=self.stays, loop=0, quality=60, method=6)


def film(browser: Browser, server: str) -> None:
    with opened(browser, server, (1200, 750), "en", "light") as page:
        page.goto("/#/lesson")
        expect(page.get_by_text("flatworm")).to_be_visible()
        expect(page.locator("#lesson-1 .bars li.first")).to_be_visible()
        expect(page.locator("#lesson-2 canvas")).to_be_visible()
        expect(page.locator("#lesson-4 .bars li.first")).to_have_count(2)
        made = Film(page)
        made.take(2400)
        made.glide("#lesson-1", 900)
        for head, answer in (("1000 things", "Egyptian cat"), ("37 breeds", "Bengal")):
            page.locator("#lesson-1").get_by_text(head).click()
            expect(page.locator("#lesson-1 .bars li.first")).to_contain_text(answer)
            made.take(900)
        made.glide("#lesson-2", 500)
        for stage in ("photo", "1", "2", "3", "4", "5"):
            page.locator("#lesson-2 .seg").get_by_text(stage, exact=True).click()
            made.take(550)
        made.glide("#lesson-3", 300)
        for frame in range(8):
            page.get_by_role("slider", name="From noise to cat").fill(str(frame))
            page.locator("#lesson-3 .film img").evaluate("one => one.decode()")
            made.take(240)
        for share in (30, 10, 50, 90):
            page.locator("#lesson-3 .compare input").fill(str(share))
            made.take(200)
        made.glide("#lesson-4", 900)
        page.locator("#lesson-4 .flip").dispatch_event("pointerdown")
        made.take(1100)
        page.locator("#lesson-4 .flip").dispatch_event("pointerup")
        made.take(700)
        made.glide("#lesson-5", 700)
        page.get_by_role("button", name="Teach these four now").click()
        expect(page.locator("#lesson-5").get_by_text("right, of 24 pictures")).to_be_visible(timeout=PATIENCE_MS)
        made.take(1400)
        for amount in ("20", "100", "1,000"):
            page.locator("#lesson-5 .seg").get_by_text(amount, exact=True).click()
            made.take(700)
        made.glide("#view > section:last-child", 2000)
        made.save(OUT / "lesson.webp")


# One of each view, in both languages, light and dark.


def sheet(browser: Browser, server: str) -> None:
    with Client(server) as client:
        bernese = (SAMPLES / "bernese.png").read_bytes()
        ideal = client.draw(model="imagenet", objective={"label": "Persian cat"}, preset="fine", seed=3)
        fooled = client.fool(bernese, model="cats-vs-dogs", target="cat", method="robust", seed=1)
        lesson = next(job["id"] for job in client.jobs(limit=60) if job["kind"] == "model" and job["result"])
        for job in (ideal, fooled):
            *_, _ = client.follow(job)
    views: list[tuple[str, Theme, str, str]] = [
        ("en", "light", "lesson", "#lesson-2 canvas"),
        ("tr", "dark", "classify?p=bernese&m=imagenet", ".two .bars"),
        ("en", "light", "inside?p=cat&stage=4", ".nine canvas"),
        ("tr", "dark", f"ideal/{ideal['id']}", ".bars.held"),
        ("en", "light", f"fool/{fooled['id']}", ".ways"),
        ("tr", "dark", f"teach/{lesson}", ".matrix"),
    ]
    shots = [shown(browser, server, *view) for view in views]
    width, height = SHEET
    paper = Image.new("RGB", (2 * width + 3 * GAP, 3 * height + 4 * GAP), "#8a8d86")
    for at, picture in enumerate(shots):
        paper.paste(picture, (GAP + (at % 2) * (width + GAP), GAP + (at // 2) * (height + GAP)))
    paper.save(OUT / "views.webp", quality=82, method=6)


def shown(browser: Browser, server: str, language: str, theme: Theme, view: str, ready: str) -> Image.Image:
    width, height = SHEET
    with opened(browser, server, (width * 8 // 5, height * 8 // 5), language, theme) as page:
        page.goto(f"/#/{view}")
        expect(page.locator(ready).first).to_be_visible(timeout=PATIENCE_MS)
        if view.startswith("classify"):
            page.locator(".onpic").click()
            expect(page.locator(".pic .over")).to_be_visible(timeout=PATIENCE_MS)
        expect(page.locator("#view [aria-busy=true]")).to_have_count(0, timeout=PATIENCE_MS)
        page.wait_for_load_state("networkidle")
        return shot(page, SHEET)


if __name__ == "__main__":
    main()
