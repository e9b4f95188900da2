import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.vision.labels import Label, Labels, UnknownLabelError
from app.vision.words import forms, normalized
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def animals() -> Labels:
    return Labels(
        [
            Label(0, "tabby", {"en": "tabby cat", "tr": "tekir kedi"}),
            Label(1, "dog", {"en": "dog", "tr": "köpek"}),
            Label(2, "catfish", {"en": "catfish", "tr": "yayın balığı"}),
            Label(3, "Persian cat", {"en": "Persian cat", "tr": "İran kedisi"}),
        ]
    )


@pytest.mark.parametrize("name", ["tabby", "TABBY", "0", "tekir kedi", "TEKİR KEDİ", "tabby cat"])
def test_a_class_is_found_by_key_index_and_name_in_any_language(animals: Labels, name: str) -> None:
    assert animals.find(name).index == 0


def test_a_class_of_another_model_is_the_same_or_all_of_its_kind(animals: Labels, imagenet: Labels) -> None:
    siamese = Label(10, "Siamese", {"en": "Siamese cat", "tr": "Siyam kedisi"})
    assert {imagenet[index].label for index in imagenet.meant_by(siamese)} == {"Siamese cat"}
    assert imagenet.meant_by(Label(0, "tabby", {})) == {281}
    cats = {imagenet[index].label for index in imagenet.meant_by(Label(0, "cat", {"en": "cat"}))}
    assert cats >= {"tabby", "Persian cat"}
    assert not cats & {"beagle", "zebra"}
    assert imagenet.meant_by(Label(7, "7", {"en": "7"})) == set(), "a name of digits is no index"
    assert animals.meant_by(Label(0, "zebra", {"en": "zebra"})) == set()


@pytest.mark.parametrize("name", ["4", "-1", "²", ""])
def test_what_is_no_class_is_refused(animals: Labels, name: str) -> None:
    with pytest.raises(UnknownLabelError):
        animals.find(name)


def test_a_misspelt_label_suggests_the_nearest(animals: Labels) -> None:
    with pytest.raises(UnknownLabelError) as refused:
        animals.find("taby")
    assert refused.value.suggestions[0] == "tabby"


def test_search_puts_whole_words_before_parts(animals: Labels) -> None:
    assert [label.label for label in animals.search("cat", "en")] == ["tabby", "Persian cat", "catfish"]


@pytest.mark.parametrize("query", ["kedi", "KEDİ", "KEDI", "kedı"])
def test_search_does_not_mind_which_turkish_i_was_typed(animals: Labels, query: str) -> None:
    assert [label.index for label in animals.search(query, "tr")] == [0, 3]


@pytest.fixture(scope="module")
def imagenet() -> Labels:
    records = json.loads((ROOT / "models/imagenet/labels.json").read_text(encoding="utf-8"))
    return Labels.from_records(records, is_imagenet=True)


@pytest.mark.parametrize("query", ["köpek", "köpeği", "KÖPEKLER", "dog", "dogs"])
def test_search_finds_all_dogs_before_sharks(imagenet: Labels, query: str) -> None:
    found = imagenet.search(query, "tr")
    assert found[0].label == "golden retriever"
    assert {label.index for label in found[:118]} == set(range(151, 269))
    assert not {2, 3, 4} & {label.index for label in found[:118]}


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("cat", "tabby"), ("kedi", "tabby"), ("Kediler", "tabby"), ("bird", "robin"), ("kuş", "robin"),
        ("kus", "robin"), ("araba", "sports car"), ("arabası", "sports car"), ("vehicle", "sports car"),
        ("taşıt", "sports car"), ("horse", "sorrel"), ("elma", "Granny Smith"), ("kaplumbağası", "loggerhead"),
    ],
)  # fmt: skip
def test_a_kind_is_no_label_but_suggests_its_own(imagenet: Labels, name: str, first: str) -> None:
    with pytest.raises(UnknownLabelError, match="of it") as refused:
        imagenet.find(name)
    assert refused.value.suggestions[0] == first
    assert imagenet.search(name, "en")[0].label == first


def test_suggestions_go_by_whole_words_before_letters(imagenet: Labels) -> None:
    with pytest.raises(UnknownLabelError) as refused:
        imagenet.find("tiger cats")
    assert refused.value.suggestions == ("tiger cat",)
    with pytest.raises(UnknownLabelError) as refused:
        imagenet.find("zebr")
    assert refused.value.suggestions[0] == "zebra"
    assert next(iter(imagenet.search("arap", "tr"))).label == "bulbul"
    assert "bulbul" not in {label.label for label in imagenet.search("araba", "tr")}  # both have the stem `arap`


def test_other_classes_than_those_of_imagenet_have_no_kinds(animals: Labels) -> None:
    assert [label.index for label in animals.search("kediler", "tr")] == [0, 3]
    with pytest.raises(UnknownLabelError) as refused:
        animals.find("cat")
    assert refused.value.suggestions == ("tabby", "Persian cat")


def test_search_does_not_mind_missing_accents(animals: Labels) -> None:
    assert [label.label for label in animals.search("kopek", "en")] == ["dog"]


def test_a_language_without_a_name_falls_back_to_english(animals: Labels) -> None:
    assert Label(0, "x").display_in("tr") == "x"
    assert Label(0, "x", {"en": "an x"}).display_in("tr") == "an x"


@pytest.mark.parametrize(
    "records", [[{"label": "a"}, {"label": "a"}], [{"label": 1}], [{"label": "a", "display": "b"}]]
)
def test_records_that_are_no_labels_are_refused(records: list[dict[str, object]]) -> None:
    with pytest.raises(ValueError, match=r"label|Label"):
        Labels.from_records(records)


def test_the_names_of_imagenet_are_complete_and_distinct_in_both_languages() -> None:
    labels = Labels.from_records(json.loads((ROOT / "models/imagenet/labels.json").read_text(encoding="utf-8")))
    assert len(labels) == 1000
    for language in ("en", "tr"):
        names = [label.display[language] for label in labels]
        assert all(name.strip() == name and name for name in names)
        assert len({normalized(name) for name in names}) == 1000
    assert labels.find("tekir kedi").index == 281
    assert labels.find("zebra").index == 340


def test_threads_search_at_once_and_each_finds_what_it_asked_for(imagenet: Labels) -> None:
    """Of two threads with one stemmer, one read beyond the end of the other's word."""
    words = ["köpekler", "kediler", "kuşlar", "arabalar", "terriers", "ships", "boats", "spaniels"]
    forms.cache_clear()
    expected = {word: forms(word, "tr") for word in words}

    def look(word: str) -> bool:
        for _ in range(40):
            forms.cache_clear()
            if forms(word, "tr") != expected[word]:
                return False
        return bool(imagenet.search(word, "tr"))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(look, words))
