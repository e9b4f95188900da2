"""Pages for people: the API's documentation and what each problem means. Nothing on them leaves the origin."""

import re
from html import escape
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from app.api.problem_types import KINDS

WEB: Final = Path(__file__).resolve().parent.parent.parent / "web"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_PROBLEM: Final = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
    <title>{title} ({status}) · Inkblot</title>
    <style>
      body {{ font: 1.1rem/1.6 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem; }}
      code {{ background: #8882; padding: .1em .3em; border-radius: .2em; }}
      @media (prefers-color-scheme: dark) {{ body {{ background: #16161a; color: #eee; }} a {{ color: #9bf; }} }}
    </style>
  </head>
  <body>
    <p><code>/problems/{slug}</code> · HTTP {status} {phrase}</p>
    <h1>{title}</h1>
    <p>{advice}</p>
    <p>An answer with this <code>type</code> is a problem of
      <abbr title="Problem Details for HTTP APIs">RFC 9457</abbr>: its <code>detail</code> says what happened
      this time, its <code>request_id</code> finds it in the log.</p>
    <p><a href="/docs/">All paths of the API</a></p>
  </body>
</html>
"""

router = APIRouter(include_in_schema=False)


@router.get("/")
async def home() -> RedirectResponse:
    return RedirectResponse("/docs/")


@router.get("/problems/{slug}")
async def problem(slug: str) -> HTMLResponse:
    if slug not in KINDS:
        raise HTTPException(404)
    kind = KINDS[slug]
    page = _PROBLEM.format(
        slug=slug,
        status=int(kind.status),
        phrase=kind.status.phrase,
        title=escape(kind.title),
        advice=re.sub(r"`(.+?)`", r"<code>\1</code>", escape(kind.advice)),
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})


class Docs(StaticFiles):
    """swagger-ui as its makers built it, under a policy that lets it talk to this origin only."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 -- as in StaticFiles
        response = super().file_response(*args, **kwargs)
        response.headers["Content-Security-Policy"] = _POLICY
        return response


def install(app: FastAPI) -> None:
    app.include_router(router)
    app.mount("/docs", Docs(directory=WEB / "docs", html=True))
