"""Pages for people: the page itself, the API's documentation, what each problem means. Nothing leaves the origin."""

import mimetypes
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from app.api.page_files import PageFiles
from app.api.problem_types import KINDS

WEB: Final = Path(__file__).resolve().parent.parent.parent / "web"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_STRICT: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": _STRICT,
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
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


class Files(StaticFiles):
    """Files of the repository, all with the same headers."""

    def __init__(self, *args: Any, headers: Mapping[str, str], **kwargs: Any) -> None:  # noqa: ANN401 -- as in StaticFiles
        super().__init__(*args, **kwargs)
        self._headers = headers

    def file_response(self, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 -- as in StaticFiles
        response = super().file_response(*args, **kwargs)
        response.headers.update(self._headers)
        return response


def install(app: FastAPI) -> None:
    # Bare machines do not know it, and a browser runs no module that is called application/octet-stream.
    mimetypes.add_type("text/javascript", ".mjs")
    mimetypes.add_type("image/webp", ".webp")
    app.include_router(router)
    # swagger-ui is as its makers built it, under a policy that lets it talk to this origin only.
    app.mount("/docs", Files(directory=WEB / "docs", html=True, headers={"Content-Security-Policy": _POLICY}))
    page = PageFiles(WEB / "page", _PAGE_HEADERS)
    app.add_api_route("/", page.home, include_in_schema=False)
    app.mount("/page", page)
    app.mount("/samples", Files(directory=WEB / "samples", headers={"Cache-Control": "no-cache"}))
