"""How accuracy holds when pictures are changed: each kind of change at each strength (Hendrycks & Dietterich 2019)."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from app.vision.ask import Steps
from app.vision.evaluation.changes import CHANGES, SEVERITIES, changed
from app.vision.evaluation.figures import Answers
from app.vision.evaluation.folders import FolderMeaning
from app.vision.evaluation.looking import Judged, Looker
from app.vision.image import Canvas
from app.vision.transfer.dataset import Entry

MOST: Final = 100
"""Pictures that are changed, drawn evenly from all folders: each takes seventy forwards."""
COST: Final = 28
"""Steps of progress of one of them: half a forward each, since nothing is decoded."""


def drawn(truth: Tensor, rows: Tensor, seed: int) -> Tensor:
    """At most `MOST` of the rows, in turns from every folder; `truth` `(n,)` is theirs."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    turn = torch.zeros(len(rows), dtype=torch.long)
    for folder in sorted(set(truth.tolist())):
        mine = order[truth[order] == folder]
        turn[mine] = torch.arange(len(mine))
    return rows[turn.argsort(stable=True)[:MOST].sort().values]


def held(
    looker: Looker,
    judged: Judged,
    entries: Sequence[Entry],
    truth: Tensor,
    meanings: Sequence[FolderMeaning],
    seed: int,
) -> Steps[Tensor]:
    """Whether each picture is still taken for what it is, `(pictures, changes, severities)`."""
    table = looker.kept.get("changed", torch.zeros(0, len(CHANGES), len(SEVERITIES), dtype=torch.bool))
    looker.done += COST * len(table)
    for number in range(len(table), len(entries)):
        canvas = looker.canvas(entries[number], judged)
        row = torch.zeros(1, len(CHANGES), len(SEVERITIES), dtype=torch.bool)
        for place, change in enumerate(CHANGES):
            canvases = np.stack([changed(canvas, change, severity, seed=seed + number) for severity in SEVERITIES])
            features = features_of(judged, canvases)
            row[0, place] = Answers.of(judged.classifier, features, meanings).column == truth[number]
            yield looker.went_on()
        table = torch.cat([table, row])
        yield looker.went_on(COST, changed=table)
    return table


def features_of(judged: Judged, canvases: Canvas) -> Tensor:
    """`(n, features)` of canvases `(n, H, W, 3)`, in batches that suit the runtime."""
    size = judged.forward.best_batch
    return torch.cat([judged.forward(canvases[start : start + size]).cpu() for start in range(0, len(canvases), size)])


def accuracies(table: Tensor) -> list[dict[str, Any]]:
    """Of each change at each strength, as JSON."""
    means = table.double().mean(0)
    return [
        {"name": change, "severity": severity, "accuracy": round(float(means[row, column]), 4)}
        for row, change in enumerate(CHANGES)
        for column, severity in enumerate(SEVERITIES)
    ]
