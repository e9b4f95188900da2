"""Looking at the pictures of an archive for an evaluation, which may be interrupted and go on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from app.vision.ask import Pause, Progress, Steps
from app.vision.classifier import Classifier
from app.vision.evaluation.folders import Judging
from app.vision.image import Canvas, ImageLimits, Picture
from app.vision.serving.runtimes import StagedFeatureExtractor
from app.vision.transfer.archive import Archive
from app.vision.transfer.dataset import Entry, Skipped
from app.vision.transfer.examples import Examples
from app.vision.transfer.extraction import Extractor

State = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Judged:
    """A model, its quickest way to features, and the pictures that it learned from, where they are known."""

    classifier: Classifier
    forward: StagedFeatureExtractor
    learned: Examples | None


@dataclass
class Looker:
    """Counts the steps of an evaluation of `total` steps; `kept` is all that is not to be done again."""

    archive: Archive
    found: Judging
    limits: ImageLimits
    threads: int
    total: int
    kept: dict[str, Tensor] = field(default_factory=dict)
    done: int = 0

    def features(self, name: str, judged: Judged) -> Steps[tuple[Examples, list[Skipped]]]:
        """What a model's network makes of all pictures, which is kept under this name."""
        start = f"{name}."
        state = {key.removeprefix(start): one for key, one in self.kept.items() if key.startswith(start)}
        preprocessing = judged.classifier.backbone.preprocessing
        extractor = Extractor(judged.forward, preprocessing, self.limits, self.threads)
        entries = self.found.entries
        known = Examples.of_state(state) if state else None
        steps = extractor.extract(self.archive, entries, known, self.total, done=self.done, is_resumed=True)
        while True:
            try:
                pause = next(steps)
            except StopIteration as end:
                examples, skipped = end.value
                break
            yield replace(pause, state=pause.state and self._keeping(start, pause.state))
        self.done += len(entries)
        if len(examples):
            self._keep(start, examples.state())
        return examples, skipped

    def canvas(self, entry: Entry, judged: Judged) -> Canvas:
        """What a model's network sees of a picture that has been read before."""
        preprocessing = judged.classifier.backbone.preprocessing
        return Picture.read(self.archive.read(entry), self.limits, preprocessing=preprocessing).canvas(preprocessing)

    def went_on(self, steps: int = 0, **kept: Tensor) -> Pause:
        """After so many steps more, with what is to be kept of them."""
        self.done += steps
        self.kept |= kept
        return Pause(
            Progress(min(self.done, self.total), self.total), state=(lambda: dict(self.kept)) if kept else None
        )

    def _keeping(self, start: str, state: Callable[[], State]) -> Callable[[], State]:
        def keep() -> State:
            self._keep(start, state())
            return dict(self.kept)

        return keep

    def _keep(self, start: str, state: State) -> None:
        self.kept |= {f"{start}{key}": one for key, one in state.items()}
