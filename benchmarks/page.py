"""How quick the page is: `python -m benchmarks.page [URL]`, beside a service that has nothing else to do.

Prints how long after the address was entered a view can be used, what it loads, how far things moved by themselves, and
how many frames a second the compare slider is drawn in while it is dragged. Needs Chromium and Playwright.
"""

import statistics
import sys
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
VIEWS = ("lesson", "classify", "inside", "ideal", "fool", "teach")
TIMES = 11
DRAG_MS = 3000
WATCH = """
  window.shifted = 0;
  const add = (one) => { if (!one.hadRecentInput) shifted += one.value; };
  new PerformanceObserver((list) => list.getEntries().forEach(add)).observe({ type: "layout-shift", buffered: true });
  const look = () => {
    if (document.querySelector("#view h1")) window.usable = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
"""
LOADED = """() => performance.getEntriesByType("resource").filter((one) => /\\.(m?js|css)$/.test(one.name))
  .map((one) => ({ ours: !one.name.includes("/vendor/"), bytes: one.decodedBodySize, sent: one.transferSize }))"""
DRAG = """(milliseconds) => new Promise((resolve) => {
  const slider = document.querySelector(".compare input");
  const stamps = [];
  const frame = (now) => {
    stamps.push(now);
    slider.value = String(50 + 50 * Math.sin(now / 200));
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    if (now - stamps[0] < milliseconds) requestAnimationFrame(frame);
    else resolve(stamps.slice(1).map((one, at) => one - stamps[at]));
  };
  requestAnimationFrame(frame);
})"""


def main() -> None:
    server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        print(f"{'view':10} usable after (median, best of {TIMES})   own, unpacked   borrowed   sent   moved")
        for view in VIEWS:
            print(row(view, [loaded(browser, f"{server}/#/{view}") for _ in range(TIMES)]))
        print(dragged(browser, server))
        browser.close()


def loaded(browser: Browser, url: str) -> dict[str, float]:
    """A first visit: nothing is cached."""
    with browser.new_context(viewport={"width": 1280, "height": 900}, locale="en", reduced_motion="reduce") as context:
        context.add_init_script(WATCH)
        page = context.new_page()
        page.goto(url)
        page.wait_for_load_state("networkidle")
        files: list[dict[str, Any]] = page.evaluate(LOADED)
        return {
            "usable": page.evaluate("usable"),
            "moved": page.evaluate("shifted"),
            "ours": sum(one["bytes"] for one in files if one["ours"]),
            "borrowed": sum(one["bytes"] for one in files if not one["ours"]),
            "sent": sum(one["sent"] for one in files),
        }


def row(view: str, seen: list[dict[str, float]]) -> str:
    usable = [one["usable"] for one in seen]
    kilobytes = "   ".join(f"{seen[0][key] / 1000:.0f} kB" for key in ("ours", "borrowed", "sent"))
    moved = max(one["moved"] for one in seen)
    return f"{view:10} {statistics.median(usable):.0f} ms, {min(usable):.0f} ms   {kilobytes}   {moved:.3f}"


def dragged(browser: Browser, server: str) -> str:
    with browser.new_context(viewport={"width": 1280, "height": 900}, locale="en") as context:
        page: Page = context.new_page()
        page.goto(f"{server}/#/lesson/3")
        expect(page.locator("#lesson-3")).to_be_focused()
        page.wait_for_load_state("networkidle")
        gaps: list[float] = page.evaluate(DRAG, DRAG_MS)
    late = sum(gap > 1000 / 30 for gap in gaps)
    return f"compare slider: {1000 / statistics.mean(gaps):.1f} frames a second, {late} of {len(gaps)} later than 33 ms"


if __name__ == "__main__":
    main()
