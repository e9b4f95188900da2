"""What is to be said of ideal images, measured on the files that are saved."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.vision.ask import Activity, Algorithm, Ask
from app.vision.classifier import Classifier
from app.vision.image import ImageLimits, Picture
from app.vision.pixels import pixels_of, to_levels
from app.vision.synthesis.descent import diversity_layer
from app.vision.synthesis.objectives import ClassObjective, ImageObjective, channel_objective
from app.vision.synthesis.outcome import Outcome, outcomes_of
from app.vision.synthesis.priors import gram_similarity
from app.vision.synthesis.resize import ResizeOperator
from app.vision.synthesis.transformations import png_of


@dataclass(frozen=True)
class Check:
    """What another network takes the saved picture for; unless it took part, it is held out. It agrees if that is the
    class, or a kind of it: a tabby is a cat.
    """

    classifier: Classifier
    taken: Outcome
    agrees: bool
    took_part: bool


@dataclass(frozen=True)
class Facet:
    """One picture. `score` is that of the picture in memory, `png_score` that of the saved file through the
    classification path; both are probabilities for a class, and mean activations for a channel.

    `similarity` is how alike it is to the others, see `gram_similarity`; None if there are none.
    """

    success: bool
    score: float
    png_score: float
    taken: Outcome
    similarity: float | None
    checks: Sequence[Check]
    final: bytes


def facets_of(
    classifier: Classifier,
    aim: ImageObjective,
    finals: Tensor,
    start: float,
    partners: Sequence[Classifier],
    others: Sequence[Classifier],
) -> Algorithm[Sequence[Facet]]:
    """Each of the pictures `(n, 3, size, size)` that were drawn, as it is saved. A channel must have risen above
    `start`; of a class, partners and others are asked what they see.
    """
    text = {"Software": "Inkblot", "Description": _note(classifier, aim)}
    pngs = [png_of(levels, text) for levels in to_levels(finals)]
    files = _canvases(classifier, pngs)
    scores, saved, taken = yield from _own_scores(classifier, aim, finals, files)
    similarities = yield from _similarities(classifier, files)
    checks: list[list[Check]] = [[] for _ in pngs]
    for other in (*partners, *others) if isinstance(aim, ClassObjective) else ():
        seen = yield Ask(other, _canvases(other, pngs), verifies=True)
        wanted = other.labels.meant_by(classifier.labels[aim.index])  # type: ignore[union-attr]
        for row, found in zip(checks, outcomes_of(other, seen), strict=True):
            row.append(Check(other, found, found.index in wanted, other in partners))
    return [
        Facet(
            success=taken[place].index == aim.index if isinstance(aim, ClassObjective) else saved[place] > start,
            score=scores[place],
            png_score=saved[place],
            taken=taken[place],
            similarity=similarities[place],
            checks=checks[place],
            final=png,
        )
        for place, png in enumerate(pngs)
    ]


def _own_scores(
    classifier: Classifier, aim: ImageObjective, finals: Tensor, files: Tensor
) -> Algorithm[tuple[list[float], list[float], list[Outcome]]]:
    """Of the pictures in memory, and of the files' canvases with what they are taken for."""
    resize = ResizeOperator(to_levels(finals[0]), classifier.backbone.preprocessing)
    rows, columns = resize.region
    in_memory = [resize.project(one[:, rows, columns]).clamp(0, 1) for one in finals]
    drawn, number = torch.stack(in_memory), len(files)
    if isinstance(aim, ClassObjective):
        seen = yield Ask(classifier, drawn)
        answered = yield Ask(classifier, files, verifies=True)
        scores = torch.cat([seen.logits, answered.logits]).softmax(1)[:, aim.index].tolist()
    else:
        answered = yield Ask(classifier, torch.cat([drawn, files]), channel_objective(aim), layers=(aim.layer,))
        scores = answered.scores.tolist()
    return scores[:number], scores[number:], outcomes_of(classifier, answered)[-number:]


def _similarities(classifier: Classifier, files: Tensor) -> Algorithm[Sequence[float | None]]:
    if len(files) == 1:
        return [None]
    layer = diversity_layer(classifier)

    def alike(seen: Activity) -> Tensor:
        return gram_similarity(seen.layers[layer], len(files))

    answered = yield Ask(classifier, files, alike, layers=(layer,))
    similarities: list[float] = answered.scores.tolist()
    return similarities


def _canvases(classifier: Classifier, pngs: Sequence[bytes]) -> Tensor:
    """What the network sees of the saved files, `(n, 3, crop, crop)`."""
    preprocessing = classifier.backbone.preprocessing
    return pixels_of(*(Picture.read(png, ImageLimits()).canvas(preprocessing) for png in pngs))


def _note(classifier: Classifier, aim: ImageObjective) -> str:
    what = (
        classifier.labels[aim.index].label
        if isinstance(aim, ClassObjective)
        else f"channel {aim.channel} of {aim.layer}"
    )
    return f"Ideal image of {what!r}, drawn by gradient descent on the input of the model {classifier.card.name}."
