from pathlib import Path

import pytest
import torch

from app.vision.models.repository import ModelRepository
from app.vision.serving.precision import Precision
from app.vision.serving.predictor import Predictor
from app.vision.serving.runtimes import Runtime


@pytest.mark.parametrize(
    ("precision", "engine", "cores", "threads"),
    [
        ("exact", "auto", 2, 2),
        ("fast", "auto", 2, 3),
        ("fast", "torch", 2, 2),
        ("exact", "auto", 1, 1),
        ("fast", "auto", 1, 2),
    ],
)
def test_one_thread_more_feeds_the_second_of_two_queues_and_longer_work_never_has_it(
    tmp_path: Path, precision: Precision, engine: Runtime, cores: int, threads: int
) -> None:
    models = ModelRepository([], weights_dir=tmp_path, device=torch.device("cpu"))
    predictor = Predictor(
        models, default_model="imagenet", engine=engine, precision=precision, cache_dir=tmp_path, threads=cores
    )
    predictor.close()
    batcher = predictor._batcher
    assert len(batcher._threads) == threads
    assert batcher._most_in_steps == 1  # of two cores; of one there is no other
