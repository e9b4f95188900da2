"""`inkblot classify`: what is in pictures and in folders of them, as a table or in files."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.answers import Answer, Source, ask, sources_of
from app.cli.files import Overwrite, place_for
from app.cli.summary import Summary, csv_file, json_lines, print_summary
from app.cli.terminal import AsJson, Lang, Model, Server, page, plain, print_json, problems_told, say, spoken, tell
from app.cli.words import word
from app.client import DEFAULT_URL, Client, Prediction
from app.vision.drawing.numbers import percent

_BAR: Final = 20
_FORMS: Final = {"--csv": (csv_file, (".csv",)), "--jsonl": (json_lines, (".jsonl", ".ndjson"))}


def add_to(app: typer.Typer) -> None:
    app.command()(classify)


def classify(
    pictures: Annotated[list[str], typer.Argument(help="Files, folders, http(s) addresses, or - for standard input.")],
    model: Model = None,
    top_k: Annotated[int, typer.Option(help="How many classes.", min=1, max=1000)] = 5,
    min_score: Annotated[float, typer.Option(help="Leave out less likely classes.", min=0, max=1)] = 0.0,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Of a folder also the pictures in the folders below it.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="File for a table with a line for each picture.")] = None,
    jsonl: Annotated[Path | None, typer.Option(help="File for the whole answers, a line of JSON for each.")] = None,
    summary: Annotated[
        bool,
        typer.Option("--summary", help="Count the classes; where folders are called like classes, what was right."),
    ] = False,
    overwrite: Overwrite = False,
    lang: Lang = None,
    server: Server = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Say what is in pictures."""
    language = spoken(lang)
    choices = {"model": model, "top_k": top_k, "min_score": min_score, "lang": language}
    files = {option: path for option, path in (("--csv", csv), ("--jsonl", jsonl)) if path}
    for option, path in files.items():
        place_for(path, "", _FORMS[option][1], overwrite=overwrite, option=option)
    sources = [one for name in pictures for one in _sources(name, language, recursive=recursive)]
    answers = []
    with problems_told(), ExitStack() as opened, _progress(len(sources), language) as step:
        writers = [opened.enter_context(_FORMS[option][0](path)) for option, path in files.items()]
        for answer in ask(server, sources, choices):
            answers.append(answer)
            for write in writers:
                write(answer)
            step()
    if summary:
        _summarize(answers, server, language, as_json=as_json)
    elif as_json:
        objects = [answer.json() for answer in answers]
        print_json(objects if len(objects) > 1 else objects[0])
    elif not files and any(answer.prediction for answer in answers):
        _print_table(answers, language)
    if not as_json:
        for path in files.values():
            say(word("wrote", language, path=path, number=len(answers)))
    failed = [answer for answer in answers if answer.error]
    for message in dict.fromkeys(map(Answer.sentence, failed)):  # a service that is gone is missed once
        tell(message)
    raise typer.Exit(1 if failed else 0)


def _sources(name: str, language: str, *, recursive: bool) -> list[Source]:
    found = sources_of(name, recursive=recursive)
    if not found:
        tell(word("no_pictures" if recursive else "no_pictures_here", language, folder=name))
        raise typer.Exit(1)
    return found


@contextmanager
def _progress(pictures: int, language: str) -> Iterator[Callable[[], None]]:
    """To be called after each picture; nothing is shown unless a terminal shows it."""
    console = Console(stderr=True)
    if pictures < 2 or not console.is_terminal:
        yield lambda: None
        return
    # Here alone: it costs every other command 30 ms.
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(word("looking", language), total=pictures)
        yield lambda: progress.advance(task)


def _summarize(answers: Sequence[Answer], server: str, language: str, *, as_json: bool) -> None:
    model = next((one.prediction["model"]["name"] for one in answers if one.prediction), None)
    with problems_told(), Client(server) as client:
        labels = client.labels(model, lang=language) if model else []
    summary = Summary.of(answers, labels)
    if as_json:
        print_json(summary.json())
    elif model:
        print_summary(summary, {one["label"]: one["display"] for one in labels}, language)


def _print_table(answers: Sequence[Answer], language: str) -> None:
    console = page()
    stroke = "-" if console.options.ascii_only else "━"
    table = Table(box=None, pad_edge=False)
    table.add_column(word("picture", language), overflow="fold")
    table.add_column(word("class", language), overflow="fold")
    table.add_column(word("score", language), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for answer in answers:
        if answer.prediction is None:
            continue
        name = plain(answer.source.name, "bold")
        for text, score, style in _lines(answer.prediction, language):
            shown, bar = ("", "") if score is None else (percent(score, language), stroke * round(score * _BAR))
            table.add_row(name, plain(text, style), Text(shown, style), Text(bar, style or "cyan"))
            name = Text()
    console.print(table)


def _lines(prediction: Prediction, language: str) -> Iterator[tuple[str, float | None, str]]:
    """Text, score and style of each line of a picture: that it is unknown comes first, and makes the rest faint."""
    unknown = prediction["unknown"]
    is_unknown = unknown is not None and unknown["is_unknown"]
    if unknown and is_unknown:
        yield word("unknown", language), unknown["score"], "yellow"
    for one in prediction["predictions"]:
        yield one["display"], one["score"], "dim" if is_unknown else ""
    if not prediction["predictions"]:
        yield word("too_unlikely", language), None, "dim"
