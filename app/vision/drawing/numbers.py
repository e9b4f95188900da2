"""Numbers as a language writes them."""


def number(value: float, language: str) -> str:
    """Three digits that count: `−0.52`, `12.4`; in Turkish with a comma."""
    size = abs(value)
    if 1000 <= size < 1e5:
        short = f"{value:.0f}"
    else:
        short = f"{value:.3g}" if size == 0 or 1e-3 <= size < 1000 else f"{value:.1e}"
    return _written(short.replace("-", "−"), language)


def signed(value: float, language: str) -> str:
    """Two decimals and always a sign: `+0.44`."""
    return _written(f"{round(value, 2) + 0.0:+.2f}".replace("-", "−"), language)  # never −0.00


def decimal(value: float, places: int, language: str) -> str:
    """So many digits behind the point or comma."""
    return _written(f"{value:.{places}f}", language)


def percent(share: float, language: str) -> str:
    """A share of 0 to 1 as the language writes it: 48.3 % or %48,3."""
    return f"%{_written(f'{share * 100:.1f}', language)}" if language == "tr" else f"{share:.1%}"


def _written(text: str, language: str) -> str:
    return text.replace(".", ",") if language == "tr" else text
