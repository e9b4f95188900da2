"""Fine-tuning: the backbone learns, too, from the head of a linear probe on, in small steps (Kornblith 2019)."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from app.vision.ask import Pause, Progress, Steps
from app.vision.image import Canvas, ImageLimits, Picture, Preprocessing
from app.vision.networks.backbones import Backbone
from app.vision.pixels import to_pixels
from app.vision.transfer.archive import Archive
from app.vision.transfer.dataset import Entry
from app.vision.transfer.linear_probe import LinearHead
from app.vision.transfer.report import point

_BATCH: Final = 16
_PART: Final = 4
"""Pictures between two pauses: a whole minibatch takes seconds on a CPU."""
_RATE: Final = 1e-4
_DECAY: Final = 0.05
_SMOOTHING: Final = 0.1

State = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Tuned:
    """`network` is the backbone's state in the format of its checkpoint; the head acts on its raw features.

    `logits` are those of the validation part by the best `epoch` (0 is the probe), `features` those of all pictures.
    """

    network: dict[str, Tensor]
    weights: LinearHead
    logits: Tensor
    features: Tensor
    loss: float
    epoch: int


@dataclass(frozen=True, eq=False)
class Pictures:
    """The readable entries of an archive, with the number of each one's class, and which of them only judge.

    Entries beyond the `labels` are of no class, and only looked at in the end.
    """

    archive: Archive
    entries: Sequence[Entry]
    labels: Tensor
    judging: Tensor
    limits: ImageLimits

    def canvas(self, index: int, preprocessing: Preprocessing) -> Canvas:
        """The canvas `(crop, crop, 3)` of a picture. Raises what `Picture.read` raises."""
        return Picture.read(self.archive.read(self.entries[index]), self.limits, preprocessing=preprocessing).canvas(
            preprocessing
        )


class Tuning:
    """A backbone on its device with BatchNorms that keep their statistics, its head, and AdamW (Loshchilov 2019)."""

    def __init__(self, backbone: Backbone, start: LinearHead, labels: Tensor) -> None:
        """`backbone` must be nobody else's, and not folded; `start` acts on its raw features."""
        self._backbone, self._labels = backbone, labels
        self.preprocessing, self._device = backbone.preprocessing, backbone.mean.device
        classes, features = start.weight.shape
        self.head = nn.Linear(features, classes)
        self.head.load_state_dict({"weight": start.weight, "bias": start.bias})
        self.head.to(self._device)
        backbone.network.requires_grad_()
        self._parameters = [*backbone.network.parameters(), *self.head.parameters()]
        self._optimizer = torch.optim.AdamW(self._parameters, lr=_RATE, weight_decay=_DECAY)

    def look(self, indices: Sequence[int], canvases: Sequence[Canvas], share: float) -> float:
        """Gather the gradient of a part of a minibatch, which is a `share` of it; returns the part's loss."""
        pixels = to_pixels(np.stack(canvases), self._device)
        wanted = self._labels[list(indices)].to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            logits = self.head(self._backbone(pixels))
            loss = functional.cross_entropy(logits.float(), wanted, label_smoothing=_SMOOTHING)
        torch.autograd.backward(loss * share)
        return float(loss.detach())

    def step(self, rate: float) -> None:
        """Along what was gathered since the last."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def features(self, canvases: Sequence[Canvas]) -> Tensor:
        """Features `(n, features)` by the network as it is now."""
        with torch.inference_mode():
            found: Tensor = self._backbone(to_pixels(np.stack(canvases), self._device))
            return found.cpu()

    def network(self) -> dict[str, Tensor]:
        """The tensors of the network without its head, by the names of the original."""
        state = self._backbone.network.state_dict()
        return {name: values.detach().cpu().clone().contiguous() for name, values in state.items()}

    def go_back(self, best: Tuned) -> None:
        """To an earlier epoch, for looking at pictures."""
        self._backbone.network.load_state_dict(best.network)

    def state(self) -> dict[str, Tensor]:
        """All that it takes to go on, bit for bit."""
        tensors = {f"network.{name}": values for name, values in self.network().items()}
        tensors |= {f"head.{name}": values.detach().cpu().clone() for name, values in self.head.state_dict().items()}
        for number, parameter in enumerate(self._parameters):
            for name, values in self._optimizer.state[parameter].items():
                tensors[f"optimizer.{number}.{name}"] = values.detach().cpu().clone()
        return tensors

    def restore(self, state: State) -> None:
        """Go on from a `state`."""
        self._backbone.network.load_state_dict(_under("network.", state))
        self.head.load_state_dict(_under("head.", state))
        for number, parameter in enumerate(self._parameters):
            moments = _under(f"optimizer.{number}.", state)
            if moments:
                self._optimizer.state[parameter] = {
                    name: values.clone() if name == "step" else values.to(parameter) for name, values in moments.items()
                }


def fine_tune(
    backbone: Backbone,
    probe: LinearHead,
    pictures: Pictures,
    *,
    epochs: int,
    augment: bool,
    seed: int,
    threads: int,
    done: int,
    total: int,
    resume: State | None = None,
) -> Steps[Tuned]:
    """The best epoch by the loss of the validation part, the probe itself being epoch 0: never worse than that.

    `done` of the `total` steps of progress lie behind it, and `steps_of` it makes.
    """
    tuning = Tuning(backbone, probe, pictures.labels)
    learning = (~pictures.judging).nonzero()[:, 0]
    batches = math.ceil(len(learning) / _BATCH)
    state = dict(resume or {})
    first = int(state.get("done", torch.tensor(0)))
    judging = pictures.judging.nonzero()[:, 0].tolist()
    if resume:
        tuning.restore(state)
    with ThreadPoolExecutor(threads) as pool:
        best = _kept(state) if resume else (yield from _judge(tuning, pictures, judging, pool, 0, done, total))
        for number in range(first, epochs * batches):
            epoch, batch = divmod(number, batches)
            indices = _shuffled(learning, seed, epoch)[batch * _BATCH : (batch + 1) * _BATCH]
            canvases = list(pool.map(partial(pictures.canvas, preprocessing=tuning.preprocessing), indices))
            if augment:
                canvases = _some_mirrored(canvases, seed, number)
            seen = done + epoch * len(learning) + batch * _BATCH
            loss = 0.0
            for start in range(0, len(indices), _PART):
                part = slice(start, start + _PART)
                share = len(indices[part]) / len(indices)
                loss += share * tuning.look(indices[part], canvases[part], share)
                # Gradients are gathered, and nothing has moved since the last step.
                yield Pause(Progress(seen + start, total, loss=loss), state=partial(_keep, tuning, best, number))
            tuning.step(_RATE * _warmed(number / max(1, epochs * batches)))
            seen += len(indices)
            if batch == batches - 1:
                found = yield from _judge(tuning, pictures, judging, pool, epoch + 1, seen, total)
                best = min(best, found, key=lambda one: one.loss)
            yield Pause(
                Progress(seen, total, loss=loss),
                metric={"epoch": epoch + 1, "split": "training", "loss": round(loss, 5)}
                if batch == batches - 1
                else None,
                state=partial(_keep, tuning, best, number + 1),
            )
        tuning.go_back(best)
        features = yield from _features(tuning, pictures, range(len(pictures.entries)), pool)
    return replace(best, features=features)


def steps_of(learning: int, epochs: int) -> int:
    """How many steps of progress fine-tuning on so many pictures makes."""
    return epochs * learning


def _judge(
    tuning: Tuning,
    pictures: Pictures,
    judging: Sequence[int],
    pool: ThreadPoolExecutor,
    epoch: int,
    done: int,
    total: int,
) -> Steps[Tuned]:
    """What the head makes of the pictures that judge."""
    features = yield from _features(tuning, pictures, judging, pool)
    weights = LinearHead(*(values.detach().cpu().clone() for values in (tuning.head.weight, tuning.head.bias)))
    logits, wanted = weights.logits(features), pictures.labels[list(judging)]
    loss = float(functional.cross_entropy(logits, wanted))
    right = float((logits.argmax(1) == wanted).float().mean())
    yield Pause(Progress(done, total, right, loss), metric=point("validation", loss, right, epoch=epoch))
    return Tuned(tuning.network(), weights, logits, features, loss, epoch)


def _features(tuning: Tuning, pictures: Pictures, indices: Sequence[int], pool: ThreadPoolExecutor) -> Steps[Tensor]:
    rows = []
    for start in range(0, len(indices), _BATCH):
        canvases = list(
            pool.map(partial(pictures.canvas, preprocessing=tuning.preprocessing), indices[start : start + _BATCH])
        )
        rows += [tuning.features(canvases[at : at + _PART]) for at in range(0, len(canvases), _PART)]
        yield Pause()
    return torch.cat(rows)


def _shuffled(learning: Tensor, seed: int, epoch: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order: list[int] = learning[torch.randperm(len(learning), generator=generator)].tolist()
    return order


def _some_mirrored(canvases: Sequence[Canvas], seed: int, number: int) -> list[Canvas]:
    chosen = np.random.default_rng([seed, number]).random(len(canvases)) < 0.5
    return [canvas[:, ::-1] if mirror else canvas for canvas, mirror in zip(canvases, chosen, strict=True)]


def _warmed(progress: float) -> float:
    """From a tenth up to one in the first tenth, then down with a cosine."""
    if progress < 0.1:
        return 0.1 + 9 * progress
    return 0.02 + 0.98 * (1 + math.cos(math.pi * (progress - 0.1) / 0.9)) / 2


def _keep(tuning: Tuning, best: Tuned, done: int) -> dict[str, Tensor]:
    kept = {f"best.network.{name}": values for name, values in best.network.items()}
    kept |= {f"best.{name}": values for name, values in (("logits", best.logits), ("features", best.features))}
    kept |= {"best.weight": best.weights.weight, "best.bias": best.weights.bias}
    scalars = {"done": torch.tensor(done), "best.epoch": torch.tensor(best.epoch), "best.loss": torch.tensor(best.loss)}
    return {**tuning.state(), **kept, **scalars}


def _kept(state: State) -> Tuned:
    weight, bias, logits, features = (state[f"best.{name}"] for name in ("weight", "bias", "logits", "features"))
    loss, epoch = float(state["best.loss"]), int(state["best.epoch"])
    return Tuned(_under("best.network.", state), LinearHead(weight, bias), logits, features, loss, epoch)


def _under(prefix: str, state: State) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): values for name, values in state.items() if name.startswith(prefix)}
