"""What no class can be called, by whichever way the name comes in."""

from typing import Final

NO_CLASS_NAMES: Final = (
    *("", " ", "\xa0", "\u200d"),  # nobody sees these
    *("red\x1b[2J", "\u202eder", "one\ntwo", "\x00", "\x7f", "\x9b2J"),  # these do something to what shows them
    *("\ud800", "\ufeff", "\ue000"),  # these are no text
    "x" * 101,
)
