"""`inkblot ideal`, `fool` and `jobs`: slow work, with a bar that shows how it goes."""

import sys
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from app.cli.files import Overwrite, place_for, stem_of, write_picture
from app.cli.terminal import AsJson, Server, plain, print_json, tell
from app.cli.words import taken_for
from app.client import DEFAULT_URL, Client, ClientError, Job, read_picture

_INTERRUPTED: Final = 130
_PAGE: Final = 1000
"""Columns where no terminal says how many there are."""
_COLOURS: Final = {"succeeded": "green", "failed": "red", "canceled": "yellow", "running": "cyan", "queued": "blue"}
PICTURES: Final = (".png", ".webp")
Out = Annotated[
    Path | None, typer.Option(help="File ending in .png or .webp (lossless); default: named after target and seed.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Hand it in and end; `inkblot jobs` shows how it goes.")]
Seed = Annotated[int | None, typer.Option(help="The same seed makes the same picture.", min=0)]
Steps = Annotated[int | None, typer.Option(help="How many; default: as the method or preset has it.", min=1)]
Model = Annotated[str | None, typer.Option(help="Name of a model; default: the service's.")]


def add_to(app: typer.Typer) -> None:
    for command in (ideal, fool, jobs):
        app.command()(command)


def ideal(
    label: Annotated[str | None, typer.Argument(help="What to draw: a class of the model, such as zebra.")] = None,
    layer: Annotated[str | None, typer.Option(help="Instead of a class: the channel of a layer.")] = None,
    channel: Annotated[int | None, typer.Option(help="Which channel of the layer.", min=0)] = None,
    preset: Annotated[str, typer.Option(help="clear, fine, quick, lesson or raw.")] = "clear",
    partners: Annotated[
        list[str] | None, typer.Option("--with", help="A further network that shall see it, too; may be repeated.")
    ] = None,
    size: Annotated[int, typer.Option(help="Width and height in pixels.", min=64, max=512)] = 224,
    model: Model = None,
    steps: Steps = None,
    seed: Seed = None,
    out: Out = None,
    overwrite: Overwrite = False,
    detach: Detach = False,
    server: Server = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Let the network draw what it looks for."""
    if (label is None) == (layer is None) or (layer is None) != (channel is None):
        raise typer.BadParameter("Name a class, or a --layer and its --channel.")
    objective: Mapping[str, Any] = {"label": label} if label else {"layer": layer, "channel": channel}
    name = label or f"{layer}-{channel}"
    if partners and not model:
        raise typer.BadParameter("--with needs the --model that comes first.")
    models = [model, *partners] if partners else None
    choices = {"objective": objective, "preset": preset, "size": size, "steps": steps, "seed": seed}
    choices |= {"models": models} if models else {"model": model}
    path = place_for(out, "", PICTURES, overwrite=overwrite) if out else None
    with problems_told(), Client(server) as client:
        job = done(client, client.draw(**choices), f"drawing {name}", detach=detach, as_json=as_json)
        if job and job["result"]:
            path = path or _named(name, job, overwrite=overwrite)
            write_picture(path, client.file(job["result"]["files"]["final"]))
            _report_ideal(job, path, as_json=as_json)


def fool(
    picture: Annotated[str, typer.Argument(help="A file or an http(s) address.")],
    target: Annotated[
        str | None, typer.Option("--as", help="What it shall be taken for; default: anything else.")
    ] = None,
    method: Annotated[str, typer.Option(help="robust, minimal, pgd, fgsm or lesson.")] = "robust",
    epsilon: Annotated[str | None, typer.Option(help="Largest change, such as 4/255; default: the method's.")] = None,
    space: Annotated[
        Literal["original", "model"],
        typer.Option(help="Change the picture, or the small canvas that the network sees."),
    ] = "original",
    model: Model = None,
    steps: Steps = None,
    seed: Seed = None,
    out: Out = None,
    overwrite: Overwrite = False,
    detach: Detach = False,
    server: Server = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Change a picture invisibly until the network takes it for something else."""
    choices: dict[str, Any] = {"target": target, "method": method, "epsilon": epsilon, "space": space}
    choices |= {"model": model, "steps": steps, "seed": seed}
    path = place_for(out, "", PICTURES, overwrite=overwrite) if out else None
    with problems_told(), Client(server) as client:
        job = client.fool(read_picture(picture), **choices)
        ended = done(client, job, f"fooling with {Path(picture).name}", detach=detach, as_json=as_json)
        if ended and ended["result"]:
            path = path or _named(f"{Path(picture).stem}-{target or 'fooled'}", ended, overwrite=overwrite)
            write_picture(path, client.file(ended["result"]["files"]["adversarial"]))
            _report_fooled(ended["result"], path, as_json=as_json)


def jobs(
    job: Annotated[str | None, typer.Argument(help="One job; default: the last ones.")] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop this job.")] = False,
    limit: Annotated[int, typer.Option(help="How many of the last ones.", min=1, max=100)] = 20,
    server: Server = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show your jobs, or stop one."""
    if cancel and not job:
        raise typer.BadParameter("Which job? `inkblot jobs ID --cancel`.")
    with problems_told(), Client(server) as client:
        one = client.cancel if cancel else client.job
        found = [one(job)] if job else client.jobs(limit=limit)
    if as_json:
        print_json(found[0] if job else found)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("job", "kind", "state", "step", "about"):
        table.add_column(title, no_wrap=title == "job", overflow="fold")  # an id is there to be copied
    for shown in found:
        progress = shown["progress"]
        step = f"{progress['step']}/{progress['steps']}" if progress else ""
        state = Text(shown["status"], _COLOURS[shown["status"]])
        table.add_row(shown["id"], shown["kind"].replace("_", " "), state, step, plain(_about(shown)))
    Console(width=None if sys.stdout.isatty() else _PAGE).print(table)


@contextmanager
def problems_told() -> Any:  # noqa: ANN401 -- a context manager
    try:
        yield
    except ClientError as error:
        tell(str(error))
        raise typer.Exit(1) from None
    except OSError as error:
        tell(f"{error.filename} cannot be written: {error.strerror}.")
        raise typer.Exit(1) from None


def done(client: Client, job: Job, what: str, *, detach: bool, as_json: bool) -> Job | None:
    """The job when it has ended well; None if nobody waits for it. Ctrl-C cancels it."""
    if detach:
        if as_json:
            print_json(job)
        else:
            Console().print(plain(job["id"]))
        return None
    try:
        ended = _follow(client, job, what)
    except KeyboardInterrupt:
        client.cancel(job["id"])
        tell("Canceled.")
        raise typer.Exit(_INTERRUPTED) from None
    if ended["status"] == "succeeded":
        if as_json:
            print_json(ended)
        return ended
    tell(ended["error"]["detail"] if ended["error"] else f"The job was {ended['status']}.")
    raise typer.Exit(1)


def _follow(client: Client, job: Job, what: str) -> Job:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(what, total=None, told="")
        for event in client.follow(job):
            data = event["data"]
            if event["event"] == "end":
                ended: Job | None = data["job"]
                return ended or client.job(job["id"])  # one that was deleted meanwhile is refused as unknown
            if event["event"] == "queued":
                progress.update(bar, told=f"place {data['position']} in the queue, about {data['eta_s']:.0f} s")
            elif event["event"] == "progress":
                score = "" if data["score"] is None else f", {data['score']:.1%}"
                told = f"step {data['step']} of {data['steps']}{score}, {data['eta_s']:.0f} s left"
                progress.update(bar, total=data["steps"], completed=data["step"], told=told)
            elif event["event"] == "metric":
                progress.console.print(_point(data))
    return client.job(job["id"])


def _point(metric: Mapping[str, Any]) -> Text:
    """Of a learning curve, drawn downwards."""
    line = f"  {metric['split']:10} {metric['epoch']:3}  loss {metric['loss']:.4f}"
    accuracy = metric.get("accuracy")
    return Text(line if accuracy is None else f"{line}  {accuracy:6.1%} {'━' * round(accuracy * 20)}", "dim")


def _report_ideal(job: Job, path: Path, *, as_json: bool) -> None:
    result = job["result"] or {}
    if not as_json:
        console, score = Console(), result["png_score"]
        is_class = "label" in job["input"]["objective"]
        reached = f"{score:.1%} for this network" if is_class else f"the channel is at {score:.3g}"
        console.print(Text.assemble((str(path), "bold"), f": {reached}"), soft_wrap=True)
        for check in result["checks"]:
            mark = "agrees, " if check["agrees"] else "sees "
            took_part = ", which took part," if check["took_part"] else ""
            console.print(plain(f"  {check['model']}{took_part} {mark}{taken_for(check, 'en')}"), soft_wrap=True)
    _fail_unless_successful(result)


def _report_fooled(result: Mapping[str, Any], path: Path, *, as_json: bool) -> None:
    if as_json:
        _fail_unless_successful(result)
        return
    before, after, change = result["before"], result["after"], result["perturbation"]
    console = Console()
    line = f": {taken_for(before, 'en')} → {taken_for(after, 'en')}"
    console.print(Text.assemble((str(path), "bold"), line), soft_wrap=True)
    console.print(f"  changed by at most {change['linf']} (L2 {change['l2']:.2f}, SSIM {change['ssim']:.3f})")
    held = [name for name, holds in result["verified"].items() if holds]
    console.print(f"  still fools after: {', '.join(held) or 'nothing'}", soft_wrap=True)
    _fail_unless_successful(result)


def _fail_unless_successful(result: Mapping[str, Any]) -> None:
    if not result["success"]:
        tell(result["hint"])
        raise typer.Exit(1)


def _about(job: Job) -> str:
    given = job["input"]
    wanted = given.get("objective", given)
    if "layer" in wanted:
        return f"{wanted['layer']} {wanted['channel']}"
    about = wanted.get("label") or wanted.get("target") or given.get("name")
    return str(about or (given["model"] if "corrections" in given else ""))


def _named(what: str, job: Job, *, overwrite: bool) -> Path:
    """After what it shows and the seed that makes it again."""
    return place_for(None, f"{stem_of(what)}-seed{job['input']['seed']}.png", PICTURES, overwrite=overwrite)
