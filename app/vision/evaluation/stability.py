"""How firmly does an answer stand? One picture, asked about again after each kind of change at each strength."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.vision.ask import Pause, Steps
from app.vision.drawing.captions import caption
from app.vision.drawing.contact_sheet import Row, Tile, draw_contact_sheet
from app.vision.drawing.numbers import percent
from app.vision.encoding import Encoding, encoded
from app.vision.evaluation.changes import CHANGES, SEVERITIES, Change, changed
from app.vision.evaluation.page_words import CHANGE_NAMES
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.inspection.requests import Upload, Watch
from app.vision.labels import Labels, Scored

if TYPE_CHECKING:
    from app.vision.classifier import Classifier
    from app.vision.serving.runtimes import StagedFeatureExtractor

MILD: Final[tuple[tuple[Change, int], ...]] = (
    ("noise", 1),
    ("gaussian_blur", 1),
    ("jpeg", 1),
    ("rotation", 1),
    ("scale", 1),
    ("shift", 2),
    ("pixelate", 1),
    ("flip", 1),
)
"""What hardly changes a picture for a person, and undoes changes that were made for one canvas."""
LEAST_KEPT: Final = 0.5
"""The share of its score that an answer keeps on average, at least; with less it is suspicious.

Chosen by 170 photos (six fall below); of 200 others three do. A count of the changes that agree finds fewer attacks at
as many false alarms: minimal attacks only just change the answer.
"""


@dataclass(frozen=True, eq=False)
class StabilityRequest:
    """`target` is the class whose score is followed, by default the likeliest; without `form` there is no sheet."""

    changes: Sequence[Change] = CHANGES
    target: int | None = None
    language: str = "en"
    form: Encoding | None = None


@dataclass(frozen=True, eq=False)
class ChangedAnswer:
    """`first` is what the changed picture is taken for; `score` is the target's; it `holds` while the first class is
    that of the unchanged picture.
    """

    severity: int
    first: Scored
    score: float
    holds: bool


@dataclass(frozen=True, eq=False)
class ChangeAnswers:
    """From the mildest to the strongest."""

    change: Change
    answers: tuple[ChangedAnswer, ...]

    @property
    def flips_at(self) -> int | None:
        """The mildest strength at which the answer does not hold."""
        return next((one.severity for one in self.answers if not one.holds), None)


@dataclass(frozen=True, eq=False)
class Stability:
    """`first` is the answer to the unchanged picture, `target` the class that was followed."""

    upload: Upload
    first: Scored
    target: Scored
    unknown: float | None
    changes: tuple[ChangeAnswers, ...]
    body: bytes | None
    watch: Watch

    @property
    def stable_share(self) -> float:
        """Of all changed pictures, those whose answer holds."""
        every = [one.holds for change in self.changes for one in change.answers]
        return sum(every) / len(every)


@dataclass(frozen=True)
class MildStability:
    """Of a handful of mild changes: how many agree with the answer, and which share of its score is `kept` on average
    (above 1 if it rises).
    """

    agreeing: int
    of: int
    kept: float

    @property
    def suspicious(self) -> bool:
        """Whether the answer loses more than an unchanged photo's does."""
        return self.kept < LEAST_KEPT


def stability(
    classifier: "Classifier",
    forward: "StagedFeatureExtractor",
    data: bytes,
    limits: ImageLimits,
    wanted: StabilityRequest,
) -> Steps[Stability]:
    """A change at a time, its five strengths in batches. Raises what `Picture.read` raises, and `UnencodableError`."""
    watch = Watch()
    upload, canvas = _read(classifier, data, limits)
    watch.lap("decode")
    probabilities, unknown = _asked(classifier, forward, canvas[np.newaxis])
    start, labels = probabilities[0], classifier.labels
    first, target = int(start.argmax()), wanted.target
    target = first if target is None else target
    found, rows = [], []
    for change in wanted.changes:
        watch.lap("inference")
        yield Pause()
        watch.go_on()
        canvases = np.stack([changed(canvas, change, severity) for severity in SEVERITIES])
        probabilities, _ = _asked(classifier, forward, canvases)
        answers = _answers(probabilities, first, target, labels)
        found.append(ChangeAnswers(change, answers))
        if wanted.form:
            rows.append(_row(found[-1], canvases, wanted.language))
    watch.lap("inference")
    result = Stability(
        upload,
        Scored(labels[first], float(start[first])),
        Scored(labels[target], float(start[target])),
        unknown,
        tuple(found),
        None,
        watch,
    )
    if not wanted.form:
        return result
    yield Pause()
    watch.go_on()
    sheet = draw_contact_sheet(
        Image.fromarray(canvas), _titles(result, classifier.card.name, wanted.language), rows, start=result.target.score
    )
    body = encoded(sheet, wanted.form)
    watch.lap("drawing")
    return Stability(upload, result.first, result.target, unknown, result.changes, body, watch)


def mild_stability(
    classifier: "Classifier", forward: "StagedFeatureExtractor", data: bytes, limits: ImageLimits
) -> Steps[MildStability]:
    """Of the picture in an upload. Raises what `Picture.read` raises."""
    _, canvas = _read(classifier, data, limits)
    yield Pause()
    canvases = np.stack([canvas, *(changed(canvas, change, severity) for change, severity in MILD)])
    probabilities, _ = _asked(classifier, forward, canvases)
    return judged_stable(probabilities[0], probabilities[1:])


def judged_stable(start: Tensor, changed_ones: Tensor) -> MildStability:
    """Of the probabilities of the picture `(classes,)`, and after each mild change `(n, classes)`."""
    first = int(start.argmax())
    agreeing = int((changed_ones.argmax(1) == first).sum())
    return MildStability(agreeing, len(changed_ones), float(changed_ones[:, first].mean() / start[first]))


def _read(classifier: "Classifier", data: bytes, limits: ImageLimits) -> tuple[Upload, Canvas]:
    preprocessing = classifier.backbone.preprocessing
    picture = Picture.read(data, limits, preprocessing=preprocessing)
    return Upload.of(data, picture, preprocessing), picture.canvas(preprocessing)


def _asked(
    classifier: "Classifier", forward: "StagedFeatureExtractor", canvases: Canvas
) -> tuple[Tensor, float | None]:
    """Probabilities `(n, classes)`, and how surely the first is unknown."""
    size = forward.best_batch
    features = torch.cat([forward(canvases[start : start + size]) for start in range(0, len(canvases), size)])
    with torch.inference_mode():
        return classifier.head(features).softmax(1).cpu(), classifier.unknown(features[:1])[0]


def _answers(probabilities: Tensor, first: int, target: int, labels: Labels) -> tuple[ChangedAnswer, ...]:
    scores, taken = probabilities.max(1)
    ranked = zip(SEVERITIES, scores.tolist(), taken.tolist(), probabilities[:, target].tolist(), strict=True)
    return tuple(
        ChangedAnswer(severity, Scored(labels[index], score), followed, index == first)
        for severity, score, index, followed in ranked
    )


def _row(found: ChangeAnswers, canvases: Canvas, language: str) -> Row:
    tiles = [
        Tile(
            Image.fromarray(canvas),
            answer.first.label.display_in(language),
            answer.score,
            answer.holds,
        )
        for canvas, answer in zip(canvases, found.answers, strict=True)
    ]
    flips = found.flips_at
    note = caption("holds", language) if flips is None else caption("flips_at", language, severity=flips)
    return Row(CHANGE_NAMES[found.change][language == "tr"], note, tiles)


def _titles(found: Stability, model: str, language: str) -> tuple[str, str, str]:
    score = percent(found.target.score, language)
    followed = caption("followed", language, model=model, label=found.target.label.display_in(language), score=score)
    held = sum(one.holds for change in found.changes for one in change.answers)
    of = sum(len(change.answers) for change in found.changes)
    label = found.first.label.display_in(language)
    return caption("how_firm", language, label=label, held=held, of=of), followed, caption("red_flips", language)
