"""How good is a model, on pictures that it never saw? From an archive of them to figures, a report and a table."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor

from app.vision.ask import Steps
from app.vision.evaluation import corruptions
from app.vision.evaluation.corruptions import accuracies, drawn, held
from app.vision.evaluation.figures import (
    Answers,
    accuracy_of,
    comparison_of,
    figures_of,
    understood_as,
    unknown_figures,
)
from app.vision.evaluation.folders import FolderMeaning, Judging, judging, understood_by_rival
from app.vision.evaluation.looking import Judged, Looker, State
from app.vision.evaluation.mistakes import Mistake, draw_mistakes, mistake_of, surest_mistakes
from app.vision.evaluation.page import page_of
from app.vision.evaluation.predictions import Row, Use, table_of
from app.vision.evaluation.remarks import Remark, counted, few_in
from app.vision.image import ImageLimits
from app.vision.transfer.archive import Archive
from app.vision.transfer.dataset import Entry, Skipped
from app.vision.transfer.examples import Examples
from app.vision.transfer.perceptual_hash import near_duplicates
from app.vision.transfer.report import copies_of

_LISTED: Final = 100
"""Names and answers in a list of the result; the table has all."""


@dataclass(frozen=True)
class Choices:
    """`told` are the classes that count as right for a folder, by its name."""

    told: Mapping[str, Sequence[str]]
    corruptions: bool = False
    seed: int = 0
    language: str = "en"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """`result` is JSON; its `files` say which of the files is what."""

    result: Mapping[str, Any]
    files: Mapping[str, bytes]


def evaluate(
    archive: Archive,
    judged: Judged,
    rival: Judged | None,
    choices: Choices,
    *,
    limits: ImageLimits,
    threads: int,
    resume: State | None = None,
) -> Steps[Evaluation]:
    """Ask a model, and perhaps a rival, about all pictures of an archive that was opened with `strangers_for`.

    What `resume` kept is not done again. Raises `UnknownLabelError`, `AmbiguousFolderError` or `NotEnoughImagesError`.
    """
    began = time.perf_counter()
    found = judging(archive, judged.classifier.labels, choices.told)
    theirs = rival and understood_by_rival(found.meanings, rival.classifier.labels, choices.told)
    has_own_network = rival is not None and rival.classifier.backbone is not judged.classifier.backbone
    total = len(found.entries) * (2 if has_own_network else 1) + 1
    if choices.corruptions:
        total += corruptions.COST * min(len(found.labelled), corruptions.MOST)
    looker = Looker(archive, found, limits, threads, total, dict(resume or {}))

    examples, skipped = yield from looker.features("pictures", judged)
    others = (yield from looker.features("rival", rival))[0] if rival and has_own_network else examples
    asked = _Asked(found, judged, rival, theirs or (), examples, others)
    changed = (yield from _corruptions(asked, looker, choices)) if choices.corruptions else None
    mistakes = yield from _mistakes(asked, looker)
    unplaced = {entry.name for entry in archive.unplaced}
    left_out = [one for one in archive.skipped if one.name not in unplaced] + skipped
    result = _result(asked, changed, left_out, archive.layout.detail) | {
        "seconds": round(time.perf_counter() - began, 2)
    }
    yield looker.went_on(1)
    return _written(asked, result, mistakes, left_out, choices.language)


@dataclass(frozen=True, eq=False)
class _Asked:
    """The answers to all pictures that could be read, a row each."""

    found: Judging
    judged: Judged
    rival: Judged | None
    rival_meanings: tuple[FolderMeaning, ...]
    examples: Examples
    rival_examples: Examples

    @cached_property
    def folders(self) -> tuple[str, ...]:
        return tuple(one.folder for one in self.found.meanings)

    @cached_property
    def entries(self) -> list[Entry]:
        by_name = {(entry.label, entry.name): entry for entry in self.found.entries}
        return [by_name[key] for key in zip(self.examples.labels, self.examples.names, strict=True)]

    @cached_property
    def answers(self) -> Answers:
        return Answers.of(self.judged.classifier, self.examples.features, self.found.meanings)

    @cached_property
    def copies(self) -> list[list[bool]]:
        """Of each model, whether a picture is one that it learned from."""
        learned = [one.learned for one in (self.judged, self.rival) if one]
        return [
            copies_of(self.examples.hashes, one.of("learning", "validation").hashes) if one else [False] * len(self)
            for one in learned
        ]

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def uses(self) -> list[Use]:
        """Of each row. A picture that the rival learned from counts for neither."""
        uses: list[Use] = []
        for entry, *copied in zip(self.entries, *self.copies, strict=True):
            use: Use = "unknown" if entry.group is not None else "counts" if entry.label else "no-label"
            if entry.label not in self.folders and use == "counts":
                use = "no-label"
            uses.append("learned" if any(copied) and use == "counts" else use)
        return uses

    def rows(self, use: Use) -> Tensor:
        return torch.tensor([row for row, one in enumerate(self.uses) if one == use], dtype=torch.long)

    @cached_property
    def counting(self) -> Tensor:
        return self.rows("counts")

    @cached_property
    def truth(self) -> Tensor:
        """The folder of each row that counts."""
        return torch.tensor([self.folders.index(self.entries[row].label) for row in self.counting.tolist()]).long()

    def names(self, rows: Sequence[bool]) -> list[str]:
        return [entry.name for entry, chosen in zip(self.entries, rows, strict=True) if chosen]


def _corruptions(asked: _Asked, looker: Looker, choices: Choices) -> Steps[Mapping[str, Any]]:
    rows = drawn(asked.truth, asked.counting, choices.seed)
    truth = torch.tensor([asked.folders.index(asked.entries[row].label) for row in rows.tolist()]).long()
    entries = [asked.entries[row] for row in rows.tolist()]
    table = yield from held(looker, asked.judged, entries, truth, asked.found.meanings, choices.seed)
    unchanged = asked.answers.chosen(rows).column == truth
    return {
        "corruptions": accuracies(table) if len(table) else [],
        "corrupted": {"pictures": len(rows), **accuracy_of(unchanged)},
    }


def _mistakes(asked: _Asked, looker: Looker) -> Steps[list[Mistake]]:
    answers, found = asked.answers.chosen(asked.counting), []
    for row in surest_mistakes(answers, asked.truth):
        entry = asked.entries[int(asked.counting[row])]
        meaning = asked.found.meanings[int(asked.truth[row])]
        found.append(mistake_of(asked.judged, looker.canvas(entry, asked.judged), answers, row, meaning, entry.name))
        yield looker.went_on()
    return found


def _result(
    asked: _Asked, changed: Mapping[str, Any] | None, skipped: Sequence[Skipped], layout: str
) -> dict[str, Any]:
    classifier, answers = asked.judged.classifier, asked.answers
    counting = answers.chosen(asked.counting)
    strange = answers.chosen(asked.rows("unknown")).unknown
    comparison = None
    if asked.rival:
        rivals = Answers.of(asked.rival.classifier, asked.rival_examples.features, asked.rival_meanings)
        comparison = comparison_of(counting, rivals.chosen(asked.counting), asked.truth)
        comparison["understood"] = [understood_as(one, asked.rival.classifier) for one in asked.rival_meanings]
    return {
        "model": classifier.card.name,
        "version": classifier.card.version,
        "layout": layout,
        "understood": [understood_as(one, classifier) for one in asked.found.meanings],
        "pictures": len(asked.counting),
        **figures_of(counting, asked.truth, asked.folders),
        "unknown": unknown_figures(counting.unknown, strange),
        "comparison": comparison,
        "corruptions": None,
        "corrupted": None,
        **(changed or {}),
        "listed": [vars(row) for row in _table(asked) if row.use == "no-label"][:_LISTED],
        "skipped": [{"name": one.name, "reason": one.reason} for one in skipped[:_LISTED]],
        "duplicates_of_training": asked.names([use == "learned" for use in asked.uses])[:_LISTED],
    }


def _remarks(asked: _Asked, skipped: Sequence[Skipped]) -> Iterator[Remark]:
    names = [entry.name for entry in asked.entries]
    yield from counted("skipped", [one.name for one in skipped])
    for one, copied in zip(filter(None, (asked.judged, asked.rival)), asked.copies, strict=True):
        if one.learned is None:
            yield Remark("learned-unknown", {"model": one.classifier.card.name})
        labelled = [is_copy and use == "learned" for is_copy, use in zip(copied, asked.uses, strict=True)]
        yield from counted("learned", asked.names(labelled), model=one.classifier.card.name)
    rows = asked.counting.tolist()
    pairs = near_duplicates(asked.examples.hashes[rows]) if rows else []
    yield from counted("copies", [names[rows[place]] for place in sorted({place for pair in pairs for place in pair})])
    yield from few_in(asked.folders, asked.truth.tolist())
    yield from counted("parts", [entry.name for entry in asked.found.left])
    yield from counted("no-label", [names[row] for row in asked.rows("no-label").tolist()])
    if asked.answers.unknown is None:
        strange = [names[row] for row in asked.rows("unknown").tolist()]
        yield from counted("no-unknown", strange, model=asked.judged.classifier.card.name)


def _table(asked: _Asked) -> Iterator[Row]:
    answers, labels = asked.answers, asked.judged.classifier.labels
    scores, unknown = answers.scores.tolist(), None if answers.unknown is None else answers.unknown.tolist()
    for row, (entry, use) in enumerate(zip(asked.entries, asked.uses, strict=True)):
        right = None
        if use in {"counts", "learned"}:
            right = asked.folders.index(entry.label) == int(answers.column[row])
        yield Row(
            name=entry.name,
            folder="" if use == "no-label" else entry.group or entry.label,
            predicted=labels[int(answers.predicted[row])].label,
            score=round(scores[row], 6),
            right=right,
            unknown=None if unknown is None else round(unknown[row], 4),
            use=use,
        )


def _written(
    asked: _Asked, result: Mapping[str, Any], mistakes: list[Mistake], skipped: Sequence[Skipped], language: str
) -> Evaluation:
    remarks = list(_remarks(asked, skipped))
    files = {"report.html": page_of(result, mistakes, remarks, language), "predictions.csv": table_of(_table(asked))}
    if mistakes:
        files["mistakes.png"] = draw_mistakes(mistakes, language)
    worst = []
    for number, one in enumerate(mistakes, 1):
        file = f"worst-{number:02}.jpg"
        files[file] = one.jpegs()[0]
        said = {"predicted": one.label.label, "display": one.label.display_in(language)}
        worst.append({"name": one.name, "true": one.folder, **said, "score": round(one.score, 4), "file": file})
    roles = {"report": "report.html", "predictions": "predictions.csv", "sheet": "mistakes.png"}
    told = {
        "worst": worst,
        "warnings": [
            {"kind": one.kind, "detail": one.text(language), "pictures": list(one.pictures)} for one in remarks
        ],
        "files": {role: name for role, name in roles.items() if name in files},
    }
    return Evaluation({**result, **told}, files)
