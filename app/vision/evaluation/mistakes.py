"""The surest mistakes, and where in each picture the network found evidence for what it said and for what is true."""

from dataclasses import dataclass
from io import BytesIO
from typing import Final

from PIL import Image
from torch import Tensor

from app.vision.drawing.captions import caption
from app.vision.drawing.gallery import draw_gallery
from app.vision.drawing.numbers import percent
from app.vision.drawing.overlay import OverlayStyle, draw_overlay
from app.vision.encoding import encoded
from app.vision.evaluation.figures import Answers
from app.vision.evaluation.folders import FolderMeaning
from app.vision.evaluation.looking import Judged
from app.vision.image import Canvas
from app.vision.inspection.activations import look_into
from app.vision.inspection.explanations import grad_cam
from app.vision.labels import Label

MOST: Final = 12
_STYLE: Final = OverlayStyle("inferno")
_ACROSS: Final = 2
"""Mistakes in a row of the sheet."""
_SMALL: Final = 176


@dataclass(frozen=True, eq=False)
class Mistake:
    """`score` is how sure it was; `said` and `true` show where the evidence for either lies."""

    name: str
    folder: str
    label: Label
    score: float
    photo: Image.Image
    said: Image.Image
    true: Image.Image

    def jpegs(self) -> tuple[bytes, bytes, bytes]:
        """Small pictures for a report: the photo, and both heat maps over it."""
        return _jpeg(self.photo), _jpeg(self.said), _jpeg(self.true)


def surest_mistakes(answers: Answers, truth: Tensor) -> list[int]:
    """Indices of the wrong answers, the surest first, at most twelve."""
    wrong = (answers.column != truth).nonzero()[:, 0]
    order = answers.confidences()[wrong].argsort(descending=True, stable=True)
    found: list[int] = wrong[order][:MOST].tolist()
    return found


def mistake_of(
    judged: Judged, canvas: Canvas, answers: Answers, row: int, meaning: FolderMeaning, name: str
) -> Mistake:
    """Of one picture; the evidence for what is true is that for the likeliest class of its folder."""
    classifier = judged.classifier
    layer = classifier.backbone.card.stages[-1]
    said = look_into(classifier, canvas, [layer], int(answers.predicted[row]), forward=judged.forward)
    members = list(meaning.classes)
    likeliest = members[int(said.logits[members].argmax())]
    true = look_into(classifier, canvas, [layer], likeliest, forward=judged.forward)
    photo = Image.fromarray(canvas)
    box = (0.0, 0.0, float(photo.width), float(photo.height))
    heats = (draw_overlay(photo, grad_cam(one, layer).heat_map, box, _STYLE) for one in (said, true))
    label = classifier.labels[int(answers.predicted[row])]
    return Mistake(name, meaning.folder, label, float(answers.confidences()[row]), photo, *heats)


def draw_mistakes(mistakes: list[Mistake], language: str) -> bytes:
    """A PNG: of each mistake the photo, and where the evidence for what was said and for what is true lies."""
    rows = []
    for start in range(0, len(mistakes), _ACROSS):
        row = []
        for one in mistakes[start : start + _ACROSS]:
            said = caption("taken_for", language, label=one.label.display_in(language))
            score = percent(one.score, language)
            row += [
                (one.photo, (one.folder, one.name.rpartition("/")[2])),
                (one.said, (said, caption("sure", language, score=score))),
                (one.true, (caption("evidence_for", language, label=one.folder), "")),
            ]
        rows.append(row)
    return encoded(draw_gallery(rows), "PNG")


def _jpeg(image: Image.Image) -> bytes:
    file = BytesIO()
    image.resize((_SMALL, _SMALL), Image.Resampling.LANCZOS).save(file, "JPEG", quality=82)
    return file.getvalue()
