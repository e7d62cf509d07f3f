"""The pieces a report is made of: text, numbers, tables and pictures as HTML, all escaped and nothing fetched."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG_LIMIT = 120_000  # bytes; a figure with more in it is smaller, and drawn faster, as pixels
_LONG = 160  # characters of a value that is folded away

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --paper: #ffffff; --soft: #5b6670; --line: #d8dde2; --card: #f4f6f8;
  --accent: #0072b2; --bad: #b23c00; --good: #1b6e2d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --paper: #14181c; --soft: #9aa5b0; --line: #343b43;
  --card: #1d2329; --accent: #62b5e5; --bad: #ff8a50; --good: #7dce8e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p, li { max-width: 60rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .6rem 0 0; }
a { color: var(--accent); }
.banner { background: #f0c419; color: #1d2329; padding: .6rem 1rem; border-radius: .3rem; font-weight: 600; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .8rem; }
.card { background: var(--card); border-radius: .4rem; padding: .8rem 1rem; }
.card strong { display: block; font-size: 1.6rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.card span, .soft { color: var(--soft); font-size: .87rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .4rem 0; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { color: var(--soft); font-weight: 600; }
td.best { font-weight: 700; }
tr.own td, tr.own th { background: var(--card); }
tbody th { font-weight: 400; }
table.facts td, table.facts th { text-align: left; white-space: normal; overflow-wrap: anywhere; vertical-align: top; }
abbr { text-decoration: underline dotted; cursor: help; }
.absent { color: var(--soft); font-size: .85em; letter-spacing: .02em; }
.pass { color: var(--good); font-weight: 700; } .fail { color: var(--bad); font-weight: 700; }
figure { margin: .8rem 0; } figcaption { color: var(--soft); font-size: .9rem; }
img { max-width: 100%; height: auto; background: #ffffff; border-radius: .3rem; border: 1px solid var(--line); }
"""


def text(value: object) -> str:
    """Text for HTML, safe inside of tags and of attributes.

    >>> text('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return escape(str(value), quote=True)


def number(value: Any) -> str:
    """A value of metrics.json as HTML: three decimals, NOT_MEASURED as such, null as a dash.

    >>> number(0.95481), number(12345), number(None), number({"mean": 0.9, "std": 0.01})
    ('0.955', '12,345', '<span class="absent">–</span>', '0.900 ± 0.010')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float) and math.isfinite(value):
        if value and abs(value) < 0.001:
            return f"{value:.1e}"
        return f"{value:,.3f}" if abs(value) < 1000 else f"{value:,.0f}"
    if value is None:
        return '<span class="absent">–</span>'
    if isinstance(value, Mapping) and set(value) == {"mean", "std"}:
        return number(value["mean"]) + (f" ± {number(value['std'])}" if value["std"] is not None else "")
    if isinstance(value, str | float):
        return f'<span class="absent">{text(value)}</span>'
    return text(value)


def table(
    header: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Any]]],
    *,
    explain: Mapping[str, str] | None = None,
    best: Mapping[str, bool] | None = None,
    own: str | None = None,
) -> str:
    """A table of numbers with a name at the head of each row.

    explain gives columns a note that shows when pointed at; best names the columns whose best value is set in bold,
    True where larger is better; own is the row to be set off.
    """
    notes, better = explain or {}, best or {}
    winners: dict[int, float] = {}
    for column, name in enumerate(header[1:]):
        known = [float(cells[column]) for _, cells in rows if _is_number(cells[column])]
        if name in better and len(set(known)) > 1:
            winners[column] = max(known) if better[name] else min(known)
    head = "".join(f'<th scope="col">{_explained(name, notes.get(name))}</th>' for name in header)
    body = []
    for name, cells in rows:
        shown = "".join(
            f"<td{' class=best' if column in winners and _is_number(cell) and float(cell) == winners[column] else ''}>"
            f"{number(cell)}</td>"
            for column, cell in enumerate(cells)
        )
        body.append(f'<tr{" class=own" if name == own else ""}><th scope="row">{text(name)}</th>{shown}</tr>')
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def _listed(values: Sequence[Any]) -> str:
    shown = text(", ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in values))
    if len(shown) > _LONG:
        return f"<details><summary>{len(values)} values</summary>{shown}</details>"
    return shown or "none"


def _explained(name: str, note: str | None) -> str:
    return f'<abbr title="{text(note)}">{text(name)}</abbr>' if note else text(name)


def facts(values: Mapping[str, Any]) -> str:
    """Names and values beneath each other, mappings within mappings as dotted names; long values are folded away."""
    rows = []
    for name, value in flatten(values).items():
        if isinstance(value, list | tuple):
            cell = _listed(value)
        else:
            cell = text(value) if isinstance(value, str) else number(value)
        rows.append(f'<tr><th scope="row">{text(name)}</th><td>{cell}</td></tr>')
    return f'<div class="wide"><table class="facts"><tbody>{"".join(rows)}</tbody></table></div>'


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Mappings within mappings as one with dotted names; a mean with its spread stays together.

    >>> flatten({"a": {"b": 1, "c": {"mean": 2.0, "std": None}}})
    {'a.b': 1, 'a.c': {'mean': 2.0, 'std': None}}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and set(value) != {"mean", "std"}:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def picture(figure: Figure, caption: str, *, dense: bool = False) -> str:
    """A figure inside the page: as SVG, or as PNG where it is dense or turns out to be large."""
    image = None if dense else _svg(figure)
    if image is None or len(image) > _SVG_LIMIT:
        kind, image = "png", _png(figure)
    else:
        kind = "svg+xml"
    data = base64.b64encode(image).decode("ascii")
    return (
        f'<figure><img alt="{text(caption)}" src="data:image/{kind};base64,{data}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _svg(figure: Figure) -> bytes:
    import matplotlib as mpl

    held = io.BytesIO()
    # The salt makes the ids inside the file, and with them the report, the same each time.
    with mpl.rc_context({"svg.hashsalt": "conv2d"}):
        figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    return held.getvalue()


def _png(figure: Figure) -> bytes:
    """256 colours, which a drawing does not exceed by much and which makes it a third of the size."""
    from PIL import Image

    held, reduced = io.BytesIO(), io.BytesIO()
    figure.savefig(held, format="png")
    with Image.open(held) as image:
        few = image.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        few.save(reduced, format="PNG", compress_level=9)
    return reduced.getvalue()


def page(title: str, opening: str, sections: Sequence[tuple[str, str]]) -> str:
    """The whole document; the policy in its head forbids it to fetch anything, whatever stands in it."""
    links = "".join(f'<a href="#s{index}">{text(name)}</a>' for index, (name, _) in enumerate(sections))
    body = "".join(f'<h2 id="s{index}">{text(name)}</h2>{content}' for index, (name, content) in enumerate(sections))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{text(title)}</h1>{opening}<nav>{links}</nav>{body}</body></html>\n"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
