"""What pydantic finds wrong with a choice, as a sentence for a person."""

from collections.abc import Mapping
from typing import Any, Final

_OBJECT: Final = "It must be an object."
_SENTENCES: Final = {
    "missing": "It is missing.",
    "extra_forbidden": "There is no choice of this name.",
    "greater_than": "It must be more than {gt}.",
    "greater_than_equal": "It must be {ge} at least.",
    "less_than": "It must be less than {lt}.",
    "less_than_equal": "It must be {le} at most.",
    "literal_error": "It must be {expected}.",
    "int_parsing": "It must be a whole number.",
    "int_parsing_size": "It must be a whole number.",
    "int_type": "It must be a whole number.",
    "int_from_float": "It must be a whole number.",
    "float_parsing": "It must be a number.",
    "float_type": "It must be a number.",
    "finite_number": "It must be a finite number.",
    "bool_parsing": "It must be true or false.",
    "bool_type": "It must be true or false.",
    "string_type": "It must be a text.",
    "string_too_short": "It must have {min_length} characters at least.",
    "string_too_long": "It must have {max_length} characters at most.",
    "list_type": "It must be a list.",
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "json_invalid": "The body is not JSON.",
    "too_short": "It must have {min_length} entries at least.",
    "too_long": "It must have {max_length} entries at most.",
}
_PATTERNS: Final = {
    r"^[a-z0-9][a-z0-9_-]{0,63}$": "It must have small letters, digits, - and _, 64 at most, and begin with a letter "
    "or a digit.",
    r"^[a-z0-9][a-z0-9_-]*(\.[a-z0-9]+)?$": "It must be the name of a file, as `result.files` of the job has it.",
}


def sentence_of(error: Mapping[str, Any]) -> str:
    """Of one of the errors of a `RequestValidationError`."""
    context = error.get("ctx") or {}
    if error["type"] == "string_pattern_mismatch" and context.get("pattern") in _PATTERNS:
        return _PATTERNS[context["pattern"]]
    if error["type"] in _SENTENCES:
        sentence = _SENTENCES[error["type"]].format(**context)
        return sentence.replace(" 1 characters", " one character").replace(" 1 entries", " one entry")
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].upper() + message[1:] + ("" if message.endswith((".", "?", "!")) else ".")
