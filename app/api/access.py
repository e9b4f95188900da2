"""Which route needs which key. What the table does not name is for admins alone: nothing is open by mistake."""

import re
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI

from app.api.problems import responses
from app.keys import Scope

_ANY: Final[tuple[Scope, ...]] = ("predict", "jobs", "teach")
SCHEME: Final = "key"
_DESCRIPTION: Final = (
    "Of a service that has keys (`INKBLOT_API_KEYS`): `Authorization: Bearer …`. Each operation names the scopes of "
    "which one is enough; `admin` includes all. A service without keys answers without."
)


@dataclass(frozen=True)
class Rule:
    """One of the `scopes` is enough; with none, everybody may. `path` is a regular expression of whole paths."""

    methods: str
    path: str
    scopes: tuple[Scope, ...]

    def is_of(self, method: str, path: str) -> bool:
        return method in self.methods.split() and re.fullmatch(self.path, path) is not None


RULES: Final = (
    Rule("GET", "/|/(docs|page|samples)(/.*)?|/problems/[^/]+|/openapi.json", ()),
    Rule("GET", "/healthz|/readyz|/v2/health/(live|ready)|/v1/privacy", ()),
    Rule("GET", "/v2|/v1/models|/v1/models/[^/]+(/labels|/layers)?|/v1/backbones", _ANY),
    Rule("GET", "/v2/models/[^/]+(/versions/[^/]+)?(/ready)?", _ANY),
    Rule("POST", "/v1/(classify|feature-maps|features|explanations|stability|neighbors)", ("predict",)),
    Rule("POST", "/v2/models/[^/]+(/versions/[^/]+)?/infer|/hf/models/[^/]+", ("predict",)),
    Rule("POST", "/v1/(ideal-images|adversarial-images|evaluations)", ("jobs",)),
    Rule("GET DELETE", "/v1/jobs|/v1/jobs/[^/]+|/v1/jobs/[^/]+/(events|files/[^/]+)", ("jobs", "teach")),
    Rule("POST", "/v1/jobs/[^/]+/cancel", ("jobs", "teach")),
    Rule("POST", "/v1/models|/v1/models/[^/]+/corrections", ("teach",)),
    Rule("DELETE", "/v1/models/[^/]+", ("teach",)),
    Rule("GET", "/v1/models/[^/]+/export", ("teach",)),
    Rule("GET", "/metrics", ("admin",)),
)


def scopes_of(method: str, path: str) -> tuple[Scope, ...] | None:
    """Of which one is needed; none if everybody may. None if nobody has decided. HEAD and OPTIONS are as GET."""
    asked = "GET" if method in {"HEAD", "OPTIONS"} else method
    return next((rule.scopes for rule in RULES if rule.is_of(asked, path)), None)


def is_known(path: str) -> bool:
    """Whether the table names it, with whatever method."""
    return any(re.fullmatch(rule.path, path) for rule in RULES)


def describe(app: FastAPI) -> None:
    """Let the contract say which operation needs which key, and what is answered without one.

    FastAPI's own way to extend it is to replace the method.
    """
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _add_keys(plain())
        assert app.openapi_schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_keys(schema: dict[str, Any]) -> None:
    scheme = {"type": "http", "scheme": "bearer", "description": _DESCRIPTION}
    schema["components"].setdefault("securitySchemes", {})[SCHEME] = scheme
    refusals = responses("unauthorized", "forbidden", "foreign-origin", "rate-limited")
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            scopes = scopes_of(method.upper(), path)
            if scopes != ():
                operation["security"] = [{SCHEME: list(scopes or ("admin",))}, {}]
                _add_refusals(operation["responses"], refusals)


def _add_refusals(told: dict[str, Any], refusals: dict[int | str, dict[str, Any]]) -> None:
    """Beside what the operation itself answers with that status."""
    for status, refusal in refusals.items():
        if int(status) not in {401, 403, 429}:
            continue
        before = told.get(str(status), {}).get("description", "")
        slugs = dict.fromkeys([*filter(None, before.split(" or ")), *str(refusal["description"]).split(" or ")])
        told[str(status)] = {**refusal, "description": " or ".join(slugs)}
