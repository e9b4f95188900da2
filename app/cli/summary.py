"""The answers to many pictures as files for programs, and counted for people."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from app.cli.answers import Answer
from app.cli.terminal import page, plain, say
from app.cli.words import word
from app.client import Label
from app.vision.drawing.numbers import percent

Writer = Callable[[Answer], None]
_COLUMNS: Final = ("picture", "label", "display", "score", "unknown", "unknown_score", "error")


@contextmanager
def csv_file(path: Path) -> Iterator[Writer]:
    """A line for each picture, written as it comes: its likeliest class, or why there is none."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, restval="")
        writer.writeheader()

        def write(answer: Answer) -> None:
            writer.writerow({"picture": answer.source.path, **_columns(answer)})
            file.flush()

        yield write


@contextmanager
def json_lines(path: Path) -> Iterator[Writer]:
    """An object for each picture, written as it comes: the whole answer, or the problem."""
    with path.open("w", encoding="utf-8") as file:

        def write(answer: Answer) -> None:
            file.write(json.dumps({"picture": answer.source.path, **answer.json()}, ensure_ascii=False) + "\n")
            file.flush()

        yield write


@dataclass(frozen=True)
class Summary:
    """How many pictures were taken for each class; of those in folders called like a class how many for this one.

    `named` has the number of pictures in such folders, `right` those of them that were recognised, by class.
    """

    pictures: int
    classes: Mapping[str, int]
    unknown: int
    unread: int
    named: Mapping[str, int]
    right: Mapping[str, int]

    @classmethod
    def of(cls, answers: Sequence[Answer], labels: Iterable[Label]) -> "Summary":
        """A picture that is found to be unknown is taken for no class, so that it is not right."""
        by_name = {_folded(name): one["label"] for one in labels for name in (one["display"], one["label"])}
        taken, named, right = Counter[str](), Counter[str](), Counter[str]()
        unknown = 0
        for answer in (one for one in answers if one.prediction):
            found = _label(answer)
            unknown += answer.is_unknown
            taken.update([found] if found else ())
            if true := by_name.get(_folded(answer.source.folder)):
                named[true] += 1
                right[true] += found == true
        unread = sum(1 for one in answers if one.error)
        return cls(len(answers), dict(taken.most_common()), unknown, unread, named, right)

    def json(self) -> dict[str, Any]:
        return vars(self)


def print_summary(summary: Summary, display: Mapping[str, str], language: str) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column(word("class", language), overflow="fold")
    for title in ("pictures", "share", *(("right",) if summary.named else ())):
        table.add_column(word(title, language), justify="right", no_wrap=True)
    rows = [(display.get(label, label), summary.classes.get(label, 0), label) for label in _labels(summary)]
    rows += [(word("unknown_class", language), summary.unknown, "")] if summary.unknown else []
    rows += [(word("unread", language), summary.unread, "")] if summary.unread else []
    for name, number, label in rows:
        known = summary.named.get(label)
        right = "" if known is None else f"{summary.right.get(label, 0)} / {known}"
        table.add_row(plain(name), str(number), percent(number / summary.pictures, language), right)
    page().print(table)
    if summary.named:
        recognised, judged = sum(summary.right.values()), sum(summary.named.values())
        share = percent(recognised / judged, language)
        say(word("right_of", language, right=recognised, judged=judged, share=share))
        if others := summary.pictures - summary.unread - judged:
            say(word("not_judged", language, number=others))


def _labels(summary: Summary) -> list[str]:
    """The most frequent first, and those that nothing was taken for although there are folders of them."""
    return [*summary.classes, *(label for label in summary.named if label not in summary.classes)]


def _label(answer: Answer) -> str | None:
    """What a picture was taken for, if for anything."""
    if answer.prediction is None or answer.is_unknown or not answer.prediction["predictions"]:
        return None
    return answer.prediction["predictions"][0]["label"]


def _columns(answer: Answer) -> dict[str, Any]:
    if answer.prediction is None:
        return {"error": str(answer.error)}
    unknown, best = answer.prediction["unknown"], answer.prediction["predictions"][:1]
    told = {"unknown": str(unknown["is_unknown"]).lower(), "unknown_score": unknown["score"]} if unknown else {}
    return {**told, **({name: best[0][name] for name in ("label", "display", "score")} if best else {})}


def _folded(name: str) -> str:
    """As people write a class's name as a folder's: `Golden_Retriever`."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
