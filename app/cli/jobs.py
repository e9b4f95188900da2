"""Slow work: a bar that shows how it goes, and `inkblot jobs`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.files import Overwrite, places_for, stem_of
from app.cli.terminal import AsJson, Lang, Server, page, plain, print_json, problems_told, say, spoken, tell
from app.cli.words import word
from app.client import DEFAULT_URL, Client, Job
from app.vision.drawing.numbers import decimal, number, percent

_INTERRUPTED: Final = 130
_BAR: Final = 20
_COLOURS: Final = {"succeeded": "green", "failed": "red", "canceled": "yellow", "running": "cyan", "queued": "blue"}
_ENDINGS: Final = {
    "final": ".png",
    "animation": ".webp",
    "adversarial": ".png",
    "original": "-original.png",
    "perturbation": "-change.png",
    "patch": "-patch.png",
    "recipe": "-recipe.json",
}
"""What is added to the name that all files of a job have in common."""
Detach = Annotated[bool, typer.Option("--detach", help="Hand it in and end; `inkblot jobs` shows how it goes.")]


def add_to(app: typer.Typer) -> None:
    app.command()(jobs)


def jobs(
    job: Annotated[str | None, typer.Argument(help="One job; default: the last ones.")] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop this job.")] = False,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Save the files of this job here, named after target and seed.")
    ] = False,
    overwrite: Overwrite = False,
    limit: Annotated[int, typer.Option(help="How many of the last ones.", min=1, max=100)] = 20,
    lang: Lang = None,
    server: Server = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show your jobs, stop one, or fetch what it made."""
    if (cancel or fetch) and not job:
        raise typer.BadParameter(f"Which job? `inkblot jobs ID {'--cancel' if cancel else '--fetch'}`.")
    language = spoken(lang)
    with problems_told(), Client(server) as client:
        one = client.cancel if cancel else client.job
        found = [one(job)] if job else client.jobs(limit=limit)
        saved = _fetched(client, found[0], language, overwrite=overwrite) if fetch else []
    if as_json:
        print_json(found[0] if job else found)
    elif fetch:
        for path in saved:
            say(str(path), "bold")
    else:
        page().print(table_of(found, language))


def table_of(found: Sequence[Job], language: str) -> Table:
    """A row for each job; its id is there to be copied, and never broken, however narrow the terminal."""
    table = Table(box=None, pad_edge=False)
    table.add_column(word("job", language), no_wrap=True, min_width=max((len(one["id"]) for one in found), default=0))
    for title in ("kind", "state", "step", "about"):
        table.add_column(word(title, language), overflow="fold")
    for shown in found:
        progress = shown["progress"]
        step = f"{progress['step']}/{progress['steps']}" if progress else ""
        state = Text(word(shown["status"], language), _COLOURS[shown["status"]])
        table.add_row(shown["id"], word(shown["kind"], language), state, step, plain(_about(shown)))
    return table


def named_after(job: Job) -> str:
    """A name for the files of a job, by what it was to show and the seed that makes it again."""
    return f"{stem_of(_about(job) or 'fooled')}-seed{job['input'].get('seed', 0)}"


def done(client: Client, job: Job, what: str, language: str, *, detach: bool, as_json: bool) -> Job | None:
    """The job when it has ended well; None if nobody waits for it. Ctrl-C cancels it."""
    if detach:
        if as_json:
            print_json(job)
        else:
            say(job["id"])
        return None
    try:
        ended = _follow(client, job, what, language)
    except KeyboardInterrupt:
        client.cancel(job["id"])
        tell(word("canceled_now", language))
        raise typer.Exit(_INTERRUPTED) from None
    if ended["status"] == "succeeded":
        if as_json:
            print_json(ended)
        return ended
    _tell_how_it_ended(ended, language)
    raise typer.Exit(1)


def _tell_how_it_ended(job: Job, language: str) -> None:
    error = job["error"]
    tell(error["detail"] if error else word("ended", language, state=word(job["status"], language)))


def _fetched(client: Client, job: Job, language: str, *, overwrite: bool) -> list[Path]:
    if job["status"] != "succeeded":
        _tell_how_it_ended(job, language)
        raise typer.Exit(1)
    files = (job["result"] or {}).get("files", {})
    if not files:
        tell(word("no_files", language))
        raise typer.Exit(1)
    endings = [_ENDINGS.get(role, f"-{Path(path).name}") for role, path in files.items()]
    places = places_for(named_after(job), endings, overwrite=overwrite)
    for place, path in zip(places, files.values(), strict=True):
        place.write_bytes(client.file(path))
    return places


def _follow(client: Client, job: Job, what: str, language: str) -> Job:
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(what, total=None, told="")
        for event in client.follow(job):
            data = event["data"]
            if event["event"] == "end":
                ended: Job | None = data["job"]
                return ended or client.job(job["id"])  # one that was deleted meanwhile is refused as unknown
            if event["event"] == "queued":
                told = word("place", language, position=data["position"], seconds=f"{data['eta_s']:.0f}")
                progress.update(bar, told=told)
            elif event["event"] == "progress":
                score = "" if data["score"] is None else f", {percent(data['score'], language)}"
                left = f"{data['eta_s']:.0f}"
                told = word("steps", language, step=data["step"], steps=data["steps"], score=score, seconds=left)
                progress.update(bar, total=data["steps"], completed=data["step"], told=told)
            elif event["event"] == "metric":
                progress.console.print(point_told(data, language))
    return client.job(job["id"])


def point_told(metric: Mapping[str, Any], language: str) -> Text:
    """Of a learning curve, drawn downwards: an epoch of fine-tuning, or one of the strengths that a probe tries."""
    if "l2_penalty" in metric:
        place = word("attempt", language, l2=number(metric["l2_penalty"], language))
    else:
        place = word("epoch", language, split=word(metric["split"], language), epoch=metric["epoch"])
    line = f"  {place:22}  {word('loss', language, loss=decimal(metric['loss'], 4, language))}"
    accuracy = metric.get("accuracy")
    bar = "" if accuracy is None else f"  {percent(accuracy, language):>6} {'━' * round(accuracy * _BAR)}"
    return Text(line + bar, "dim")


def _about(job: Job) -> str:
    given = job["input"]
    wanted = given.get("objective", given)
    if "layer" in wanted:
        return f"{wanted['layer']} {wanted['channel']}"
    about = wanted.get("label") or wanted.get("target") or given.get("name")
    return str(about or (given["model"] if "corrections" in given else ""))
