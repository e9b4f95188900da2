"""The report of an evaluation: one HTML file in both languages, to read and print, which asks nobody for anything."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from app.vision.drawing.numbers import number, percent
from app.vision.evaluation.figures import OTHER
from app.vision.evaluation.mistakes import Mistake
from app.vision.evaluation.page_style import STYLE
from app.vision.evaluation.page_words import CHANGE_NAMES, HOW, WORDS
from app.vision.evaluation.remarks import Remark

_MOST_COLUMNS: Final = 20
"""Folders of which a table of confusions is drawn; of more, the commonest confusions are listed."""
_SIDE: Final = 260
LANGUAGES: Final = ("en", "tr")


def page_of(
    result: Mapping[str, Any], mistakes: Sequence[Mistake], remarks: Sequence[Remark], language: str = "en"
) -> bytes:
    """Of a result as it goes over the wire; `language` is the one that it opens in."""
    sections = [
        _headline(result),
        _remarks(remarks),
        _understood(result),
        _classes(result),
        _confusion(result),
        _calibration(result),
        _unknown(result),
        _comparison(result),
        _corruptions(result),
        _mistakes(mistakes),
        f"<footer>{_both('method')}</footer>",
    ]
    checked = {one: " checked" if one == language else "" for one in LANGUAGES}
    body = "\n".join(filter(None, sections))
    html = f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(result["model"])}: {escape(WORDS["title"][LANGUAGES.index(language)])}</title>
<style>{STYLE}</style>
</head>
<body>
<nav><input type="radio" name="language" id="en"{checked["en"]}><label for="en" lang="en">English</label>
<input type="radio" name="language" id="tr"{checked["tr"]}><label for="tr" lang="tr">Türkçe</label></nav>
<main>
{body}
</main>
</body>
</html>
"""
    return html.encode()


def _both(word: str, **parts: object) -> str:
    """The text in both languages; parts that are pairs have one for each."""
    texts = []
    for place, language in enumerate(LANGUAGES):
        own = {name: escape(str(part[place] if isinstance(part, tuple) else part)) for name, part in parts.items()}
        texts.append(f'<span lang="{language}">{WORDS[word][place].format(**own)}</span>')
    return "".join(texts)


def _pair(english: str, turkish: str) -> str:
    if english == turkish:
        return escape(english)
    return f'<span lang="en">{escape(english)}</span><span lang="tr">{escape(turkish)}</span>'


def _percents(share: float | None) -> tuple[str, str]:
    return ("–", "–") if share is None else (percent(share, "en"), percent(share, "tr"))


def _share(share: float | None) -> str:
    return _pair(*_percents(share))


def _section(word: str, content: str) -> str:
    return f"<section><h2>{_both(word)}</h2>{content}</section>"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{one}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(*contents: str) -> list[str]:
    first, *rest = contents
    return [f"<th>{first}</th>", *(f"<td>{one}</td>" for one in rest)]


def _headline(result: Mapping[str, Any]) -> str:
    title = f"<h1>{_both('heading', model=result['model'])}</h1>"
    if result["accuracy"] is None:
        return f"{title}<p>{_both('nothing')}</p>"
    low, high = result["interval_95"]
    right = sum(row[place] for place, row in enumerate(result["confusion"]["counts"]))
    lead = _both(
        "lead",
        right=right,
        n=result["pictures"],
        accuracy=_percents(result["accuracy"]),
        low=_percents(low),
        high=_percents(high),
    )
    balanced = _both("balanced", balanced=_percents(result["balanced_accuracy"]))
    width = f'<div class="bar" aria-hidden="true"><i style="left:{low:.2%};width:{high - low:.2%}"></i>'
    point = f'<b style="left:{result["accuracy"]:.2%}"></b></div>'
    return f'{title}<p class="lead">{lead}</p>{width}{point}<p>{balanced}</p>'


def _remarks(remarks: Sequence[Remark]) -> str:
    items = "".join(f"<li>{_pair(one.text('en'), one.text('tr'))}</li>" for one in remarks)
    return f'<section class="remarks"><h2>{_both("remarks")}</h2><ul>{items}</ul></section>' if items else ""


def _understood(result: Mapping[str, Any]) -> str:
    rows = []
    for one in result["understood"]:
        shown, more = one["classes"][:8], len(one["classes"]) - 8
        names = ", ".join(shown) + (f" … (+{more})" if more > 0 else "")
        rows.append(_cells(escape(one["folder"]), _pair(*HOW[one["how"]]), escape(names)))
    if not rows:
        return ""
    table = _table((_both("folder"), _both("because"), _both("counts_as")), rows)
    table = table.replace("<table>", '<table class="text">')
    return _section("understood", f'<p lang="en">{escape(result["layout"])}</p>{table}')


def _classes(result: Mapping[str, Any]) -> str:
    rows = [
        _cells(escape(one["label"]), str(one["n"]), *(_share(one[name]) for name in ("recall", "precision", "f1")))
        for one in result["per_class"]
    ]
    if not rows:
        return ""
    heads = (_both(name) for name in ("folder", "pictures", "recall", "precision", "f1"))
    return _section("per_class", _table(heads, rows))


def _confusion(result: Mapping[str, Any]) -> str:
    labels, counts = result["confusion"]["labels"], result["confusion"]["counts"]
    if not counts:
        return ""
    names = [_both("other") if name == OTHER and place == len(counts) else escape(name)
             for place, name in enumerate(labels)]  # fmt: skip
    if len(counts) > _MOST_COLUMNS:
        pairs = [
            (count, names[row], names[column])
            for row, line in enumerate(counts)
            for column, count in enumerate(line)
            if row != column and count
        ]
        rows = [_cells(one, other, str(count)) for count, one, other in sorted(pairs, reverse=True)[:_MOST_COLUMNS]]
        return _section("confusion", _table((_both("folder"), _both("taken_for"), _both("pictures")), rows))
    rows = []
    for row, line in enumerate(counts):
        most = max(1, sum(line))
        cells = (
            f'<td class="{"hit" if row == column else "miss"}" style="--share:{count / most:.3f}">{count}</td>'
            for column, count in enumerate(line)
        )
        rows.append([f"<th>{names[row]}</th>", *cells])
    note = f"<p>{_both('confusion_note')}</p>"
    return _section("confusion", note + _table(("", *names), rows))


def _calibration(result: Mapping[str, Any]) -> str:
    told = result["calibration"]
    if not told:
        return ""
    text = _both(
        "calibration_note",
        ece=_percents(told["ece"]),
        brier=(number(told["brier"], "en"), number(told["brier"], "tr")),
    )
    return _section("calibration", f"<p>{text}</p>{_diagram(told['bins'])}")


def _diagram(bins: Sequence[Mapping[str, Any]]) -> str:
    """Across how sure it was, upwards how often it was right; the diagonal is honest, the dots are as large as their
    numbers of pictures are.
    """
    most = max(one["n"] for one in bins)
    dots = "".join(
        f'<circle cx="{_SIDE * one["confidence"]:.1f}" cy="{_SIDE * (1 - one["accuracy"]):.1f}" '
        f'r="{3 + 9 * (one["n"] / most) ** 0.5:.1f}"><title>{one["n"]}</title></circle>'
        for one in bins
    )
    grid = "".join(
        f'<path d="M{place} 0V{_SIDE}M0 {place}H{_SIDE}"/>'
        for place in (0, _SIDE // 4, _SIDE // 2, 3 * _SIDE // 4, _SIDE)
    )
    marks = "".join(
        f'<text x="{_SIDE * tenth // 4}" y="{_SIDE + 20}" text-anchor="middle">{tenth * 25}</text>'
        f'<text x="-8" y="{_SIDE - _SIDE * tenth // 4 + 4}" text-anchor="end">{tenth * 25}</text>'
        for tenth in range(5)
    )
    return (
        f'<figure class="diagram"><svg viewBox="-40 -14 {_SIDE + 60} {_SIDE + 44}" role="img">'
        f'<g class="grid">{grid}</g><path class="honest" d="M0 {_SIDE}L{_SIDE} 0"/>{dots}{marks}</svg>'
        f"<figcaption>{_both('diagram')}</figcaption></figure>"
    )


def _unknown(result: Mapping[str, Any]) -> str:
    told = result["unknown"]
    if not told:
        return ""
    text = _both("false_alarms", share=_percents(told["false_alarms"])) if told["false_alarms"] is not None else ""
    if told["found"] is not None:
        auroc = ("–", "–") if told["auroc"] is None else (number(told["auroc"], "en"), number(told["auroc"], "tr"))
        text = _both("found", n=told["pictures"], share=_percents(told["found"]), auroc=auroc) + " " + text
    return _section("unknown", f"<p>{text}</p>")


def _comparison(result: Mapping[str, Any]) -> str:
    told = result["comparison"]
    if not told or told["accuracy"] is None:
        return ""
    first, second = escape(result["model"]), escape(told["model"])
    table = _table(
        ("", _both("right_by", model=told["model"]), _both("wrong_by", model=told["model"])),
        [
            _cells(_both("right_by", model=result["model"]), str(told["both_right"]), str(told["only_first"])),
            _cells(_both("wrong_by", model=result["model"]), str(told["only_second"]), str(told["both_wrong"])),
        ],
    )
    p = told["mcnemar_p"]
    verdict = _both("chance" if p >= 0.05 else "no_chance", p=(number(p, "en"), number(p, "tr")))
    accuracies = f"{first}: {_share(result['accuracy'])} · {second}: {_share(told['accuracy'])}"
    return _section("comparison", f"<p>{accuracies}</p>{table}<p>{verdict}</p>")


def _corruptions(result: Mapping[str, Any]) -> str:
    told = result["corruptions"]
    if not told:
        return ""
    rows: dict[str, list[str]] = {}
    for one in told:
        row = rows.setdefault(one["name"], [f"<th>{_pair(*CHANGE_NAMES[one['name']])}</th>"])
        row.append(f'<td class="hit" style="--share:{one["accuracy"]:.3f}">{_share(one["accuracy"])}</td>')
    heads = (_both("change"), *(str(severity) for severity in range(1, 6)))
    unchanged = result["corrupted"]
    note = _both("corruptions_note", n=unchanged["pictures"], accuracy=_percents(unchanged["accuracy"]))
    return _section("corruptions", f"<p>{note}</p>{_table(heads, rows.values())}")


def _mistakes(mistakes: Sequence[Mistake]) -> str:
    figures = []
    for one in mistakes:
        photo, said, true = (f'<img alt="" src="data:image/jpeg;base64,{b64encode(data).decode()}">'
                             for data in one.jpegs())  # fmt: skip
        label = (one.label.display_in("en"), one.label.display_in("tr"))
        sure = _both("mistake", label=label, score=_percents(one.score))
        figures.append(
            f"<figure><div>{photo}{said}{true}</div><figcaption><b>{escape(one.folder)}</b> · {sure}"
            f"<br><small>{escape(one.name)}</small></figcaption></figure>"
        )
    if not figures:
        return ""
    return _section("mistakes", f'<p>{_both("mistakes_note")}</p><div class="mistakes">{"".join(figures)}</div>')
