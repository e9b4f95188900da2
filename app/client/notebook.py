"""How answers and jobs show themselves in Jupyter; without it nothing is shown, and nothing of it is imported."""

import sys
from collections.abc import Callable, Iterable, Mapping
from html import escape
from json import dumps
from typing import Any, Final

from app.client.types import JobEvent

_WIDTH: Final = 220
"""Of a bar, in pixels."""
_SHOWN: Final = {
    "model": ("name", "version", "backbone", "num_classes", "description"),
    "job": ("id", "kind", "status", "created_at"),
}
"""Columns of a table, by what its rows are; of all else, each member that is no table itself."""


def html_of(body: Mapping[str, Any]) -> str:
    """Of one answer: predictions as bars, a job as its state and what came of it, all else as its members."""
    match body.get("object"):
        case "prediction":
            return _prediction(body)
        case "job":
            return _job(body)
    return f"<pre>{escape(dumps(body, ensure_ascii=False, indent=2))}</pre>"


def table_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """A row for each answer of a list."""
    found = list(rows)
    if not found:
        return "<p>–</p>"
    plain = tuple(name for name, value in found[0].items() if not isinstance(value, dict | list))
    columns = _SHOWN.get(found[0].get("object", ""), plain)
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(row.get(name)))}</td>" for name in columns) + "</tr>" for row in found
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def watcher() -> Callable[[JobEvent], None]:
    """Takes the events of a job: in a notebook a bar shows them."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return _Bar(ipython.display.display) if ipython and hasattr(shell, "kernel") else _unseen


class _Bar:
    """Of a job, drawn anew with each of its events."""

    def __init__(self, display: Callable[..., Any]) -> None:
        self._share, self._told = 0.0, ""
        self._handle = display(self, display_id=True)

    def __call__(self, event: JobEvent) -> None:
        data = event["data"]
        match event["event"]:
            case "queued":
                self._told = f"place {data['position']} in the queue, about {data['eta_s']:.0f} s"
            case "progress":
                self._share = data["step"] / data["steps"]
                score = "" if data.get("score") is None else f", {data['score']:.1%}"
                self._told = f"step {data['step']} of {data['steps']}{score}, {data['eta_s']:.0f} s left"
            case "end":
                self._share = 1.0 if data["status"] == "succeeded" else self._share
                self._told = data["status"]
            case _:
                return
        self._handle.update(self)

    def __repr__(self) -> str:
        return f"{self._share:.0%} {self._told}"

    def _repr_html_(self) -> str:
        return f"{_bar(self._share)} {escape(self._told)}"


def _unseen(event: JobEvent) -> None:
    pass


def _prediction(body: Mapping[str, Any]) -> str:
    rows = [(one["display"], one["score"]) for one in body["predictions"]]
    unknown = body.get("unknown")
    if unknown and unknown["is_unknown"]:
        rows.insert(0, ("unknown", unknown["score"]))
    cells = (f"<tr><td>{escape(name)}</td><td>{score:.1%}</td><td>{_bar(score)}</td></tr>" for name, score in rows)
    return f"<table><tbody>{''.join(cells)}</tbody></table>"


def _job(body: Mapping[str, Any]) -> str:
    progress = body["progress"]
    step = f", step {progress['step']} of {progress['steps']}" if progress else ""
    head = f"{escape(body['kind'].replace('_', ' '))} <b>{escape(body['status'])}</b>{step}"
    error = body["error"]
    lines = [escape(error["detail"] or error["title"])] if error else list(_facts(body["result"] or {}, body["input"]))
    return "<br>".join((f"{head} <code>{escape(body['id'])}</code>", *lines))


def _facts(result: Mapping[str, Any], given: Mapping[str, Any]) -> Iterable[str]:
    """What a result says of how well it went."""
    if "png_score" in result:
        yield _drawn(result, given["objective"])
        for check in result["checks"]:
            agrees = "agrees" if check["agrees"] else f"sees {escape(check['label'])}"
            yield f"{escape(check['model'])} {agrees} ({check['score']:.1%})"
    if "perturbation" in result:
        before, after = (f"{escape(one['label'])} ({one['score']:.1%})" for one in (result["before"], result["after"]))
        yield f"{before} → {after}, changed by at most {result['perturbation']['linf']}"
        held = [name for name, holds in result["verified"].items() if holds]
        yield f"still fools after: {', '.join(held) or 'nothing'}"
        if not result["success"]:
            yield escape(result["hint"])
    if "metrics" in result:
        low, high = result["metrics"]["accuracy_interval"]
        yield f"{result['metrics']['accuracy']:.1%} right (95 % interval {low:.1%} to {high:.1%})"


def _drawn(result: Mapping[str, Any], objective: Mapping[str, Any]) -> str:
    score = result["png_score"]
    if "layer" in objective:
        return (
            f"channel {objective['channel']} of {escape(objective['layer'])}: {result['start_score']:.3g} → {score:.3g}"
        )
    wanted = f"{escape(objective['label'])}: {score:.1%} for this network"
    return wanted if result["success"] else f"{wanted}, which sees {escape(result['label'])}"


def _bar(share: float) -> str:
    colours = ("#4457c0", "#d9d9e3")
    parts = (round(_WIDTH * share), _WIDTH - round(_WIDTH * share))
    return "".join(
        f'<span style="display:inline-block;height:0.6em;width:{width}px;background:{colour}"></span>'
        for width, colour in zip(parts, colours, strict=True)
    )
