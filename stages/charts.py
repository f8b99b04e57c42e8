"""Charts as SVG, drawn by Vega-Lite (vl-convert), the grammar that `dvc plots` uses too.

Nothing in a chart is placed by the width of a text, so the fonts of a machine change no byte; colours are the
page's CSS variables, so one chart serves light, dark and print. Each chart stands beside a table of its numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

COLORS = tuple(f"var(--c{number})" for number in range(1, 8))
WIDTH, STEP = 560, 24  # pixels: of the plot, and of one bar with its gap
FONT = "inherit"  # of the page
LEFT, RIGHT, TOP, BOTTOM = 240, 90, 6, 46

Spec = dict[str, Any]


def bars(rows: Sequence[Sequence[Any]], title: str, label: str) -> str:
    """One bar a row (name, value), with its number; `title` is the axis's, `label` says what the chart shows."""
    values = [{"name": name, "value": value, "shown": _number(value)} for name, value in rows]
    x = _axis("value", title)
    layers = [
        {"mark": {"type": "bar", "color": COLORS[0]}, "encoding": {"x": x}},
        {
            "mark": {"type": "text", "align": "left", "dx": 5, "color": "var(--ink)"},
            "encoding": {"x": x, "text": {"field": "shown"}},
        },
    ]
    return _drawn({"layer": layers, "encoding": {"y": _names(rows)}}, values, len(rows), label)


def stacked(rows: Sequence[tuple[str, str, float]], parts: Sequence[str], title: str, label: str) -> str:
    """Each name's parts as shares of its whole, in the order of `parts`."""
    values = [{"name": name, "part": part, "value": value, "at": parts.index(part)} for name, part, value in rows]
    names = list(dict.fromkeys(name for name, _, _ in rows))
    encoding = {
        "y": _names([(name, 0) for name in names]),
        "x": _axis("value", title) | {"stack": "normalize", "axis": _AXIS | {"format": ".0%", "title": title}},
        "color": {
            "field": "part", "type": "nominal", "legend": None,
            "scale": {"domain": list(parts), "range": list(COLORS[: len(parts)])},
        },
        "order": {"field": "at", "type": "quantitative"},
    }  # fmt: skip
    return _drawn({"mark": "bar", "encoding": encoding}, values, len(names), label)


def matrix(rows: Sequence[tuple[str, str, int]], names: Sequence[str], label: str) -> str:
    """Numbers of one name by another: the darker, the more, by their square root."""
    values = [{"row": row, "column": column, "value": value, "shown": f"{value:,}"} for row, column, value in rows]
    sort = list(names)
    place = {
        "y": {"field": "row", "type": "nominal", "sort": sort, "axis": _LABELS},
        "x": {
            "field": "column", "type": "nominal", "sort": sort,
            "axis": _LABELS | {"labelAngle": -35, "labelAlign": "right"},
        },
    }  # fmt: skip
    shade = {
        "field": "value", "type": "quantitative", "legend": None,
        "scale": {"type": "sqrt", "range": [0.06, 0.75], "domainMin": 0},
    }  # fmt: skip
    layers = [
        {"mark": {"type": "rect", "color": COLORS[0]}, "encoding": {"fillOpacity": shade}},
        {"mark": {"type": "text", "color": "var(--ink)"}, "encoding": {"text": {"field": "shown"}}},
    ]
    spec = {"layer": layers, "encoding": place}
    return _drawn(spec, values, len(names), label, step=34, bottom=100)


def ranges(rows: Sequence[tuple[str, int, int, int]], title: str, label: str) -> str:
    """For each name where half, 90 % and 99 % of the values lie, on a logarithmic axis."""
    values = [{"name": name, "p50": max(a, 1), "p90": max(b, 1), "p99": max(c, 1)} for name, a, b, c in rows]

    def axis(field: str) -> Spec:
        grid = _AXIS | {"title": title, "tickCount": 4, "format": ",d"}
        return _axis(field, title) | {"scale": {"type": "log", "nice": True}, "axis": grid}

    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "color": COLORS[6], "strokeWidth": 4},
            "encoding": {"x": axis("p50"), "x2": {"field": "p99"}},
        }
    ]
    for color, field in zip(COLORS, ("p50", "p90", "p99"), strict=False):
        mark = {"type": "point", "filled": True, "size": 90, "color": color, "opacity": 1}
        layers.append({"mark": mark, "encoding": {"x": axis(field)}})
    return _drawn({"layer": layers, "encoding": {"y": _names([(row[0], 0) for row in rows])}}, values, len(rows), label)


# --- drawing ---------------------------------------------------------------------------------------------------

_AXIS = {
    "labelColor": "var(--ink)", "titleColor": "var(--soft)", "gridColor": "var(--line)", "domainColor": "var(--line)",
    "tickColor": "var(--line)", "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
    "labelLimit": 0, "labelOverlap": False, "titlePadding": 8,
}  # fmt: skip
_LABELS = _AXIS | {"title": None, "ticks": False, "domain": False, "grid": False, "labelPadding": 8}


def _axis(field: str, title: str) -> Spec:
    return {"field": field, "type": "quantitative", "axis": _AXIS | {"title": title, "tickCount": 5}}


def _names(rows: Sequence[Sequence[Any]]) -> Spec:
    names = [row[0] for row in rows]
    return {"field": "name", "type": "nominal", "sort": names, "axis": _LABELS, "scale": {"paddingInner": 0.3}}


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _drawn(
    spec: Spec, values: list[dict[str, Any]], rows: int, label: str, *, step: int = STEP, bottom: int = BOTTOM
) -> str:
    import vl_convert

    whole = spec | {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "data": {"values": values},
        "width": WIDTH,
        "height": max(rows, 1) * step,
        "autosize": {"type": "none"},
        "padding": {"left": LEFT, "right": RIGHT, "top": TOP, "bottom": bottom},
        "background": None,
        "config": {"view": {"stroke": None}, "font": FONT, "text": {"fontSize": 12}, "aria": False},
    }
    svg: str = vl_convert.vegalite_to_svg(whole, allowed_base_urls=[])
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)
