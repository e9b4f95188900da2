from app.cli.words import taken_for


def test_a_class_of_an_unknown_picture_comes_after_that_it_is_unknown() -> None:
    dog = {"label": "dog", "score": 0.954, "unknown": {"is_unknown": True, "score": 0.98}}
    assert taken_for(dog, "en") == "unknown (98.0%), nearest dog (95.4%)"
    assert taken_for(dog, "tr") == "bilinmiyor (%98,0), en yakını dog (%95,4)"
    for known in ({"is_unknown": False, "score": 0.1}, None):
        assert taken_for(dog | {"unknown": known}, "tr") == "dog (%95,4)"
