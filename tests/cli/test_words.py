import ast
import re
from pathlib import Path

from app.cli import words
from app.cli.words import _WORDS, taken_for, word


def test_a_class_of_an_unknown_picture_comes_after_that_it_is_unknown() -> None:
    dog = {"label": "dog", "score": 0.954, "unknown": {"is_unknown": True, "score": 0.98}}
    assert taken_for(dog, "en") == "unknown (98.0%), nearest dog (95.4%)"
    assert taken_for(dog, "tr") == "bilinmiyor (%98,0), en yakını dog (%95,4)"
    for known in ({"is_unknown": False, "score": 0.1}, None):
        assert taken_for(dog | {"unknown": known}, "tr") == "dog (%95,4)"


def test_both_languages_have_the_same_parts_and_every_word_is_used() -> None:
    for name, (english, turkish) in _WORDS.items():
        assert sorted(re.findall(r"{(\w+)", english)) == sorted(re.findall(r"{(\w+)", turkish)), name
        assert english
        assert turkish
    folder = Path(words.__file__).parent
    texts = {
        node.value
        for path in folder.glob("*.py")
        if path.name != "words.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    from_the_service = {
        "ideal_image",
        "adversarial_image",
        "correction",
        "queued",
        "running",
        "succeeded",
        "failed",
        "canceled",
        "png",
        "reupload",
        "jpeg_q95",
        "jpeg_q90",
        "jpeg_q75",
        "half_size",
        "messenger",
        "crop",
        "mirror",
        "turn",
        "margin",
        "cross-validation",
        "hold-out",
        "training",
        "validation",
        "unknown_picture",
    }
    assert set(_WORDS) - texts - from_the_service == set()


def test_what_a_newer_service_names_speaks_for_itself() -> None:
    assert word("new_kind", "tr") == "new kind"
