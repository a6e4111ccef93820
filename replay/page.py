"""The report of a replay as one page that needs nothing beside it: tables, curves and a histogram of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Row = Mapping[str, Any]

WIDTH, HEIGHT, LEFT, BELOW, ABOVE = 640, 240, 56, 40, 12
COLOURS = {"BETTER": "#1a7f4b", "WORSE": "#b3261e", "CANNOT TELL": "#8a6100"}
POLICY, LOGGING = "#2458c5", "#8a8f98"
STYLE = """
:root{color-scheme:light;--ink:#1c1f24;--soft:#5d636d;--line:#e3e6ea;--fill:#f6f7f9}
*{box-sizing:border-box}body{margin:0;background:#fff;color:var(--ink);font:15px/1.55 system-ui,sans-serif}
main{max-width:920px;margin:0 auto;padding:40px 24px 80px}h1{font-size:26px;margin:0 0 4px}
h2{font-size:20px;margin:48px 0 8px;padding-top:24px;border-top:1px solid var(--line);overflow-wrap:anywhere}
h3{font-size:15px;margin:28px 0 6px}p{margin:6px 0;max-width:74ch}.soft{color:var(--soft)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;margin:6px 0}
th,td{text-align:right;padding:5px 10px;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:500}th:first-child,td:first-child{text-align:left;padding-left:0}
.verdict{display:flex;gap:14px;align-items:baseline;background:var(--fill);border-radius:8px;
padding:12px 16px;margin:8px 0}
.verdict b{white-space:nowrap}svg{display:block;width:100%;height:auto;max-width:660px}
svg text{font:11px system-ui,sans-serif;fill:#5d636d}code{font-size:13px;overflow-wrap:anywhere}
.key{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 5px 0 14px}
"""


def page(result: Mapping[str, Any]) -> str:
    """The page of what `judging` found, as the command keeps it in JSON."""
    about = result["log"]
    body = [
        "<h1>Replay</h1>",
        f"<p class=soft><code>{escape(about['path'])}</code> &middot; verdicts by {escape(result['estimator'])} "
        f"&middot; intervals of 95%, clustered by user</p>",
        *(
            _verdict(each["name"], name, found)
            for each in result["policies"]
            for name, found in each["verdicts"].items()
        ),
        "<h3>The log</h3>",
        _log(about),
        *(_policy(each) for each in result["policies"]),
        _meaning(),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    return (
        f'<!doctype html><html lang="en"><head>{head}<title>Replay</title><style>{STYLE}</style></head>'
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _verdict(name: str, other: str, found: Row) -> str:
    apart = found["difference"]
    reasons = "; ".join(found["reasons"])
    colour = COLOURS[found["outcome"]]
    said = f"{number(apart['value'], '+')} [{number(apart['low'], '+')}, {number(apart['high'], '+')}]"
    return (
        f'<div class=verdict><b style="color:{colour}">{found["outcome"]}</b>'
        f"<span>{escape(name)} beside {escape(other)}: "
        f"{said}{'<br><span class=soft>' + escape(reasons) + '</span>' if reasons else ''}</span></div>"
    )


def _log(about: Row) -> str:
    names = {
        "decisions": "decisions", "users": "users", "events": "events", "bad_rows": "bad rows",
        "not_shown": "never shown", "repeated": "repeated rows", "unordered": "rows out of order",
    }  # fmt: skip
    rows = [[label, f"{about[name]:,}"] for name, label in names.items()]
    if about["reproduced"] is not None:
        rows.append(["histories as they were served, by watermark", f"{about['reproduced']:.2%}"])
    out = table(["", ""], rows)
    if about["bad"]:
        bad = [[rule, f"{n:,}"] for rule, n in about["bad"].items()]
        out += "<h3>Bad rows</h3>" + table(["rule", "rows"], bad)
        for rule, rows_ in about["sample"].items():
            lines = "".join(f"<p><code>{escape(row)}</code></p>" for row in rows_)
            out += f"<details><summary>{escape(rule)}: examples</summary>{lines}</details>"
    return out


def _policy(each: Row) -> str:
    found = each["estimates"]
    values = [
        [name, number(e["value"]), f"{number(e['low'])} to {number(e['high'])}", number(e["error"])]
        for name, e in found.items()
    ]
    diagnostics = [
        [name.replace("_", " "), number(value)] for name, value in each["diagnostics"].items() if value is not None
    ]
    ranking = [[name, number(value)] for name, value in each["ranking"].items()]
    unknown = each["unknown"]
    lost = f" &middot; {unknown:,} decisions show items that it does not know" if unknown else ""
    keys = f'<p class=soft><span class=key style="background:{POLICY};margin-left:0"></span>policy (snips)' + (
        f'<span class=key style="background:{LOGGING}"></span>as logged</p>'
    )
    return "".join(
        [
            f"<h2>{escape(each['name'])}</h2><p class=soft>version <code>{escape(each['version'])}</code> &middot; "
            f"adapter {escape(each['adapter'])}{lost}</p>",
            "<h3>Value of a decision</h3>" + table(["estimator", "value", "95% interval", "error"], values),
            "<h3>Value by events that the user had</h3>" + keys + curve(each["by_events"]),
            "<h3>Value by segment of the log</h3>" + segments(each["by_segment"]),
            "<h3>Whether the log can answer</h3>" + table(["", ""], diagnostics),
            "<h3>Importance weights, decimal logarithm</h3>" + bars(each["weights"]),
            "<h3>Rankings of what users liked, and exposure</h3>" + table(["", ""], ranking),
        ]
    )


def _meaning() -> str:
    return (
        "<h2>What these numbers mean</h2><p>Every value is the reward of a decision, had the policy taken it in the "
        "place of the one that logged: at the logged histories, with a copy of itself that has learnt from exactly the "
        "events that were known then. What would follow from other histories, had it decided all along, is not in it. "
        "Rankings and exposure are among the candidates of each decision; only what was shown could be liked.</p>"
    )


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names) if any(names) else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{'<tr>' + head + '</tr>' if head else ''}{body}</table>"


def segments(rows: Sequence[Row]) -> str:
    """Values by segment, those without an interval too."""
    cells = []
    for row in rows:
        both = [
            f"{number(row[k]['value'])} [{number(row[k]['low'])}, {number(row[k]['high'])}]" if k in row else "-"
            for k in ("policy", "logging")
        ]
        cells.append([row["label"], f"{row['decisions']:,}", f"{row['users']:,}", *both])
    return table(["segment", "decisions", "users", "policy", "as logged"], cells)


def curve(rows: Sequence[Row]) -> str:
    """Values by number of events with their intervals, policy and log."""
    points = [row for row in rows if "policy" in row]
    if not points:
        return "<p class=soft>too few users for intervals</p>"
    every = [row[k][end] for row in points for k in ("policy", "logging") for end in ("low", "high", "value")]
    finite = [value for value in every if math.isfinite(value)]
    low, high = min(0.0, *finite), max(finite)
    span = (high - low) or 1.0
    step = (WIDTH - LEFT - 10) / max(len(points), 1)

    def y(value: float) -> float:
        bounded = min(max(value, low), high)
        return float(ABOVE + (HEIGHT - ABOVE - BELOW) * (1 - (bounded - low) / span))

    parts = [_frame(low, high, y)]
    for k, colour, shift in (("logging", LOGGING, 5), ("policy", POLICY, -5)):
        line = []
        for i, row in enumerate(points):
            x, e = LEFT + step * (i + 0.5) + shift, row[k]
            line.append(f"{x:.1f},{y(e['value']):.1f}")
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y(e["low"]):.1f}" y2="{y(e["high"]):.1f}" stroke="{colour}" '
                f'stroke-width="1.5" opacity=".55"/>'
                f'<circle cx="{x:.1f}" cy="{y(e["value"]):.1f}" r="3.2" fill="{colour}"/>'
            )
        parts.append(f'<polyline points="{" ".join(line)}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
    for i, row in enumerate(points):
        x = LEFT + step * (i + 0.5)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 22}" text-anchor="middle">{escape(row["label"])}</text>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">n {row["decisions"]:,}</text>')
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="value by events">{"".join(parts)}</svg>'


def bars(histogram: Row) -> str:
    """The histogram of weights."""
    zero = f"<p class=soft>{histogram['zero']:,} decisions have weight 0</p>"
    if not histogram["count"]:
        return zero
    edges, count = histogram["edges"], histogram["count"]
    most = max(count)
    step = (WIDTH - LEFT - 10) / len(count)

    def y(value: float) -> float:
        return float(ABOVE + (HEIGHT - ABOVE - BELOW) * (1 - value / most))

    parts = [_frame(0, most, y)]
    for i, n in enumerate(count):
        top = y(n)
        parts.append(
            f'<rect x="{LEFT + step * i + 1:.1f}" y="{top:.1f}" width="{step - 2:.1f}" '
            f'height="{HEIGHT - BELOW - top:.1f}" rx="1.5" fill="{POLICY}" opacity=".8"/>'
        )
    for i in range(0, len(edges), 6):
        x = LEFT + step * i
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 22}" text-anchor="middle">{edges[i]:.2f}</text>')
    return f'{zero}<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="weights">{"".join(parts)}</svg>'


def _frame(low: float, high: float, y: Any) -> str:
    lines = []
    for i in range(5):
        value = low + (high - low) * i / 4
        at = y(value)
        lines.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{at:.1f}" y2="{at:.1f}" stroke="#e3e6ea"/>'
            f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{number(value)}</text>'
        )
    return "".join(lines)


def number(value: float, sign: str = "") -> str:
    """A number of four figures."""
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) >= 1000):
        return f"{int(value):{sign},}"
    return f"{value:{sign}.4g}"
