"""Which classes count as right for a folder."""

import pytest

from app.vision.classifier import Classifier
from app.vision.evaluation.folders import AmbiguousFolderError, strangers_for, understood
from app.vision.labels import Labels, UnknownLabelError

PETS = Labels.from_records(
    [
        {"label": "cat", "display": {"en": "cat", "tr": "kedi"}},
        {"label": "dog", "display": {"en": "dog", "tr": "köpek"}},
        {"label": "7"},
        {"label": "guinea pig"},
    ]
)


@pytest.mark.parametrize(
    ("folder", "label", "how"),
    [
        ("cat", "cat", "class"),
        ("Kedi", "cat", "class"),
        ("KÖPEK", "dog", "class"),
        ("cats", "cat", "form"),
        ("köpekler", "dog", "form"),
        ("guinea_pigs", "guinea pig", "form"),
        ("7", "7", "class"),
    ],
)
def test_a_folder_is_called_as_people_call_a_class(folder: str, label: str, how: str) -> None:
    (meaning,) = understood([folder], PETS, {})
    assert [PETS[index].label for index in meaning.classes] == [label]
    assert meaning.how == how


@pytest.mark.parametrize("folder", ["cat", "cats", "kedi", "kediler"])
def test_a_kind_of_things_is_all_its_classes(imagenet: Classifier, folder: str) -> None:
    (meaning,) = understood([folder], imagenet.labels, {})
    names = {imagenet.labels[index].label for index in meaning.classes}
    assert meaning.how == "kind"
    assert {"tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"} <= names
    assert not names & {"golden retriever", "zebra"}


def test_what_was_told_is_taken_whatever_the_folder_is_called(imagenet: Classifier) -> None:
    one, other = understood(["pets", "x"], imagenet.labels, {"pets": ["tabby", "beagle"], "x": ["bird"]})
    assert [imagenet.labels[index].label for index in one.classes] == ["tabby", "beagle"]
    assert other.how == "told"
    assert len(other.classes) > 20


@pytest.mark.parametrize("folder", ["1", "0", "robots", "photos"])
def test_a_folder_that_is_called_after_nothing_is_refused_with_advice(folder: str) -> None:
    with pytest.raises(UnknownLabelError, match="labels="):
        understood([folder], PETS, {})


def test_the_nearest_names_are_suggested() -> None:
    with pytest.raises(UnknownLabelError) as refused:
        understood(["catt"], PETS, {})
    assert "cat" in refused.value.suggestions


def test_classes_for_a_folder_that_is_not_there_are_refused() -> None:
    with pytest.raises(UnknownLabelError, match="no folder 'katze'"):
        understood(["cat"], PETS, {"katze": ["cat"]})
    with pytest.raises(UnknownLabelError):
        understood(["cat"], PETS, {"cat": ["lion"]})


def test_classes_for_a_folder_are_refused_where_there_is_none_at_all() -> None:
    with pytest.raises(UnknownLabelError, match="found: none"):
        understood([], PETS, {"cat": ["cat"]})


def test_a_class_that_would_count_for_two_folders_is_refused(imagenet: Classifier) -> None:
    with pytest.raises(AmbiguousFolderError, match="'cat' and 'tabby'"):
        understood(["cat", "tabby"], imagenet.labels, {})
    with pytest.raises(AmbiguousFolderError):
        understood(["cat", "kedi"], PETS, {})


def test_a_name_that_two_classes_have_is_refused_unless_it_was_told() -> None:
    labels = Labels.from_records(
        [{"label": "crane", "display": {"en": "crane"}}, {"label": "machine", "display": {"en": "crane"}}]
    )
    with pytest.raises(AmbiguousFolderError, match="'crane' and 'machine'"):
        understood(["crane"], labels, {})
    (meaning,) = understood(["crane"], labels, {"crane": ["machine"]})
    assert meaning.classes == (1,)


def test_a_class_that_is_called_unknown_is_a_class() -> None:
    assert "unknown" in strangers_for(PETS)
    assert "unknown" not in strangers_for(Labels.from_records([{"label": "unknown"}, {"label": "known"}]))
