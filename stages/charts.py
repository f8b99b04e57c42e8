"""Charts as SVG, drawn by Vega-Lite (vl-convert), the grammar that `dvc plots` uses too.

Nothing in a chart is placed by the width of a text, so the fonts of a machine change no byte; colours are the
page's CSS variables, so one chart serves light, dark and print. Each chart is drawn twice, and the page's style shows
one: on a telephone the names stand above what they name. Each chart stands beside a table of its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any, NamedTuple

from stages.errors import PipelineError

COLORS = tuple(f"var(--c{number})" for number in range(1, 8))
FONT = "inherit"  # of the page
LETTER = 7.4  # pixels, no less than the mean letter of a name takes at 12 pixels
MOST = 0.5  # opacity of a matrix's darkest field: its number stays readable in both themes

Spec = dict[str, Any]


class Size(NamedTuple):
    """Pixels: of the plot, of its margins, and of one bar with its gap."""

    plot: int
    right: int
    top: int
    step: int
    above: bool  # names stand above their bars, not left of them


WIDE, NARROW = Size(560, 90, 6, 24, False), Size(268, 62, 10, 40, True)


def bars(rows: Sequence[Sequence[Any]], title: str, label: str) -> str:
    """One bar a row (name, value), with its number; `title` is the axis's, `label` says what the chart shows."""
    names = [row[0] for row in rows]
    values = [{"name": name, "value": value, "shown": _number(value)} for name, value in rows]

    def draw(size: Size) -> str:
        x = _axis("value", title, size)
        layers = [
            {"mark": {"type": "bar", "color": COLORS[0]}, "encoding": {"x": x}},
            {
                "mark": {"type": "text", "align": "left", "dx": 5, "color": "var(--ink)"},
                "encoding": {"x": x, "text": {"field": "shown"}},
            },
        ]
        return _named(layers, values, names, label, size)

    return _twice(draw)


def stacked(rows: Sequence[tuple[str, str, float]], parts: Sequence[str], title: str, label: str) -> str:
    """Each name's parts as shares of its whole, in the order of `parts`."""
    values = [{"name": name, "part": part, "value": value, "at": parts.index(part)} for name, part, value in rows]
    names = list(dict.fromkeys(name for name, _, _ in rows))

    def draw(size: Size) -> str:
        axis = _axis("value", title, size)
        encoding = {
            "x": axis | {"stack": "normalize", "axis": axis["axis"] | {"format": ".0%"}},
            "color": {
                "field": "part", "type": "nominal", "legend": None,
                "scale": {"domain": list(parts), "range": list(COLORS[: len(parts)])},
            },
            "order": {"field": "at", "type": "quantitative"},
        }  # fmt: skip
        return _named([{"mark": "bar", "encoding": encoding}], values, names, label, size)

    return _twice(draw)


def matrix(rows: Sequence[tuple[str, str, int]], names: Sequence[str], label: str) -> str:
    """Numbers of one name by another: the darker, the more, by their square root."""
    values = [{"row": row, "column": column, "value": value, "shown": f"{value:,}"} for row, column, value in rows]
    sort = list(names)
    shade = {
        "field": "value", "type": "quantitative", "legend": None,
        "scale": {"type": "sqrt", "range": [0.06, MOST], "domainMin": 0},
    }  # fmt: skip
    layers = [
        {"mark": {"type": "rect", "color": COLORS[0]}, "encoding": {"fillOpacity": shade}},
        {"mark": {"type": "text", "color": "var(--ink)"}, "encoding": {"text": {"field": "shown"}}},
    ]

    def draw(size: Size) -> str:
        slant = {"labelAngle": -90 if size.above else -35, "labelAlign": "right", "labelBaseline": "middle"}
        place = {
            "y": {"field": "row", "type": "nominal", "sort": sort, "axis": _LABELS},
            "x": {"field": "column", "type": "nominal", "sort": sort, "axis": _LABELS | slant},
        }
        plot = len(names) * 38 if size.above else size.plot
        spec = {"layer": layers, "encoding": place}
        tall = _letters(names) if size.above else _letters(names) * 0.6
        narrow = size._replace(right=8)
        return _drawn(spec, values, label, narrow, (plot, len(names) * 34), _letters(names), round(tall))

    return _twice(draw)


def ranges(rows: Sequence[tuple[str, int, int, int]], title: str, label: str) -> str:
    """For each name where half, 90 % and 99 % of the values lie, on a logarithmic axis."""
    values = [{"name": name, "p50": max(a, 1), "p90": max(b, 1), "p99": max(c, 1)} for name, a, b, c in rows]

    def axis(field: str, size: Size) -> Spec:
        made = _axis(field, title, size)
        grid = made["axis"] | {"tickCount": 4, "format": "~s" if size.above else ",d"}
        return made | {"scale": {"type": "log", "nice": True}, "axis": grid}

    def draw(size: Size) -> str:
        layers: list[Spec] = [
            {
                "mark": {"type": "rule", "color": COLORS[6], "strokeWidth": 4},
                "encoding": {"x": axis("p50", size), "x2": {"field": "p99"}},
            }
        ]
        for color, field in zip(COLORS, ("p50", "p90", "p99"), strict=False):
            mark = {"type": "point", "filled": True, "size": 90, "color": color, "opacity": 1}
            layers.append({"mark": mark, "encoding": {"x": axis(field, size)}})
        return _named(layers, values, [row[0] for row in rows], label, size)

    return _twice(draw)


# --- drawing ---------------------------------------------------------------------------------------------------

_AXIS = {
    "labelColor": "var(--ink)", "titleColor": "var(--soft)", "gridColor": "var(--line)", "domainColor": "var(--line)",
    "tickColor": "var(--line)", "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
    "labelLimit": 0, "labelOverlap": False, "titlePadding": 8,
}  # fmt: skip
_LABELS = _AXIS | {"title": None, "ticks": False, "domain": False, "grid": False, "labelPadding": 8}


def _twice(draw: Callable[[Size], str]) -> str:
    return f'<div class="wide">{draw(WIDE)}</div><div class="narrow">{draw(NARROW)}</div>'


def _axis(field: str, title: str, size: Size) -> Spec:
    ticks = 3 if size.above else 5
    return {"field": field, "type": "quantitative", "axis": _AXIS | {"title": title, "tickCount": ticks}}


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _letters(names: Sequence[str]) -> int:
    """Pixels that the longest name takes, and a gap."""
    return round(max((len(name) for name in names), default=0) * LETTER) + 12


def _named(layers: list[Spec], values: list[Spec], names: Sequence[str], label: str, size: Size) -> str:
    """Layers over one band a name."""
    scale = {"type": "band", "paddingInner": 0.6 if size.above else 0.3, "paddingOuter": 0.3 if size.above else 0.15}
    axis = None if size.above else _LABELS
    y = {"field": "name", "type": "nominal", "sort": list(names), "axis": axis, "scale": scale}
    if size.above:
        mark = {"type": "text", "align": "left", "baseline": "bottom", "dy": -9, "color": "var(--ink)"}
        once = [{"name": name} for name in names]
        text = {"x": {"value": 0}, "text": {"field": "name"}}
        layers = [*layers, {"mark": mark, "data": {"values": once}, "encoding": text}]
    spec = {"layer": layers, "encoding": {"y": y}}
    height = max(len(names), 1) * size.step
    return _drawn(spec, values, label, size, (size.plot, height), 6 if size.above else _letters(names), 46)


def _drawn(
    spec: Spec, values: list[Spec], label: str, size: Size, plot: tuple[int, int], left: int, bottom: int
) -> str:
    _need_room()
    import vl_convert

    whole = spec | {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "data": {"values": values},
        "width": plot[0],
        "height": plot[1],
        "autosize": {"type": "none"},
        "padding": {"left": left, "right": size.right, "top": size.top, "bottom": bottom},
        "background": None,
        "config": {"view": {"stroke": None}, "font": FONT, "text": {"fontSize": 12}, "aria": False},
    }
    svg: str = vl_convert.vegalite_to_svg(whole, allowed_base_urls=[])
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)


FILES, ADDRESSES = 32, 80 << 30  # that the engine behind vl-convert opens, and bytes that it reserves and does not use


def _need_room() -> None:
    """Raise PipelineError where a limit of this process would make the drawing engine abort the whole process."""
    try:
        import resource
    except ImportError:  # no such limits on Windows
        return
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
    if files != resource.RLIM_INFINITY and files < FILES:
        raise PipelineError(
            f"charts need {FILES} open files, and this process may have {files}: raise `ulimit -n` to 256"
        )
    if addresses != resource.RLIM_INFINITY and addresses < ADDRESSES:
        raise PipelineError(
            f"charts need {ADDRESSES >> 30} GiB of addresses (reserved, not used as memory), and this process may have "
            f"{addresses >> 30}: `ulimit -v unlimited` and run again; `ulimit -d` limits memory itself"
        )
