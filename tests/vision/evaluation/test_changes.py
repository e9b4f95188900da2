import numpy as np
import pytest

from app.vision.evaluation.changes import CHANGES, SEVERITIES, Change, changed
from app.vision.image import Canvas

ELSEWHERE = {"flip", "scale", "shift", "rotation"}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_makes_another_canvas_of_the_same_kind(cat_canvas: Canvas, change: Change) -> None:
    for severity in SEVERITIES:
        found = changed(cat_canvas, change, severity, seed=3)
        assert found.shape == cat_canvas.shape
        assert found.dtype == np.uint8
        assert not np.array_equal(found, cat_canvas)
        assert np.array_equal(found, changed(cat_canvas, change, severity, seed=3))


@pytest.mark.parametrize("change", [change for change in CHANGES if change not in ELSEWHERE])
def test_a_stronger_one_takes_the_picture_further_away(cat_canvas: Canvas, change: Change) -> None:
    def distance(severity: int) -> float:
        return float(np.abs(changed(cat_canvas, change, severity).astype(int) - cat_canvas).mean())

    found = [distance(severity) for severity in SEVERITIES]
    assert found == sorted(found)
    assert found[-1] > 1.5 * found[0]


def test_places_are_those_that_they_should_be() -> None:
    canvas = np.zeros((100, 100, 3), np.uint8)
    canvas[:, :10] = 255  # a white stripe at the left
    assert changed(canvas, "flip", 1)[:, 90:].min() == 255
    assert changed(canvas, "flip", 2)[90:].min() == 255  # a quarter turn to the left
    assert changed(canvas, "flip", 3)[:10].min() == 255
    assert changed(canvas, "flip", 4)[:, :10].min() == 255
    assert changed(canvas, "shift", 3)[50, 12:22].min() == 255
    assert changed(canvas, "scale", 3).max() == 0


def test_without_colour_the_channels_agree(cat_canvas: Canvas) -> None:
    grey = changed(cat_canvas, "grayscale", 5)
    assert np.ptp(grey.astype(int), axis=2).max() <= 1
