"""What several tests do with a page: wait until it has settled, let axe-core look at it, walk it by keyboard."""

import json
from typing import Any

from playwright.sync_api import Locator, Page, Route, expect

from tests.support.paths import ROOT

WORDS = {
    name: json.loads((ROOT / "app" / "web" / "page" / "words" / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("en", "tr")
}
AXE = (ROOT / "tests" / "web" / "vendor" / "axe.min.js").read_text(encoding="utf-8")


def settle(page: Page) -> None:
    """Until what the view asked for is there."""
    expect(page.locator("#view h1").first).to_be_visible()
    expect(page.locator("#view [aria-busy=true]:not(figure)")).to_have_count(0)
    expect(page.locator("#view :not(figure) > .blotwait:has(.vh)")).to_have_count(0)


def violations(page: Page, *, rule: str | None = None) -> list[str]:
    """What axe-core finds serious or critical; by one rule, or by all."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    rules = [rule] if rule else ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
    found: list[dict[str, Any]] = page.evaluate(
        "rules => axe.run(document, {resultTypes: ['violations'], runOnly: rules}).then((result) => result.violations)",
        rules,
    )
    return [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"][:3]
    ]


def tab_to(page: Page, place: Locator, *, at_most: int = 80) -> None:
    """Tab, and nothing else, leads there."""
    for _ in range(at_most):
        if place.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{place} is not reached by {at_most} tabs")


def answer_problem(route: Route, slug: str, status: int, **headers: str) -> None:
    """Answers as the service does when this goes wrong."""
    body = {
        "type": f"/problems/{slug}",
        "title": slug,
        "status": status,
        "detail": "What happened.",
        "request_id": "r1",
    }
    route.fulfill(status=status, content_type="application/problem+json", headers={**headers}, body=json.dumps(body))
