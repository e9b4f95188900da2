import json

import pytest

from app.vision.taxonomy import children_of, parent_called, parents
from app.vision.words import normalized
from tests.support.paths import ROOT


def test_cats_are_the_tabby_first_and_no_lemur() -> None:
    assert children_of("cat") == (281, 282, 283, 284, 285, 286, 287)
    assert children_of("ev kedisi") == (281, 282, 283, 284, 285)
    assert sorted(children_of("dog")) == list(range(151, 269))
    assert 383 in children_of("lemur")  # the Madagascar cat


@pytest.mark.parametrize("name", ["kuş", "KUŞLAR", "kuşu", "birds", "Bird"])
def test_a_kind_is_found_by_every_form_of_its_name(name: str) -> None:
    parent = parent_called(name)
    assert parent is not None
    assert parent.names["en"] == ("bird",)


@pytest.mark.parametrize("name", ["", "  ", "tabby", "catamaran", "kedi gözü"])
def test_what_is_no_kind_has_no_children(name: str) -> None:
    assert children_of(name) == ()


def test_the_table_names_each_kind_once_in_both_languages() -> None:
    labels = json.loads((ROOT / "models/imagenet/labels.json").read_text(encoding="utf-8"))
    called: dict[str, str] = {}
    for parent in parents():
        assert parent.names["en"]
        assert parent.names["tr"]
        assert len(set(parent.classes)) == len(parent.classes) > 0
        assert all(0 <= index < len(labels) for index in parent.classes)
        for names in parent.names.values():
            for name in names:
                assert called.setdefault(normalized(name), parent.synset) == parent.synset, name
