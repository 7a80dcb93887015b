"""One self-contained page, and the same as Markdown, of one or several evaluations.

What was measured here and what the report published stand in one table and never look alike:
published figures are grey and in brackets.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openzaya.errors import RunError
from openzaya.report import plots, published
from openzaya.report.compare import compare
from openzaya.report.style import HEAD

RESULT_FILE = "evaluation.json"
LARGEST = 1_500_000
"""Bytes that the drill-down may take: the page stays below 2 MB."""
SHOWN, QUESTION, SAID = 60, 900, 300
"""Problems of a task in the drill-down, characters of a question, and of an answer's end."""
NOT_MEASURED = "not measured"
TAGS = 150
"""Bytes of markup around each draw."""
Run = dict[str, Any]

_PAGE = (
    HEAD
    + """<style>.pub { color: #888 } .pub::before { content: "[" } .pub::after { content: "]" }
td.wrap { white-space: normal; min-width: 9rem } .gap { color: #888 }
.bad { background: #fff3cd } details.p { border-bottom: 1px solid #eee; padding: .15rem 0 }
details.p pre { white-space: pre-wrap; margin: .3rem 0 }
.ok { color: #1b7f3b } .no { color: #b02a37 }
.bar { display: inline-block; height: .6rem; background: #1b7f3b; vertical-align: middle }
</style><h1>{{ title }}</h1>
<p>Scores are means over problems with their standard error and a 95% bootstrap interval, both by
problem: a problem's samples come together. What has no verdict is in no score.
<span class="pub">Grey figures in brackets</span> were published in arXiv 2605.05365; they were not
measured here.</p>
{% for name, run in runs %}{% for task, t in run.tasks.items() if not t.whole %}
<p class="warn"><b>{{ name }}, {{ task }}: incomplete.</b> {{ t.failed_samples }} samples and
{{ t.lost_draws }} draws have no verdict{% if t.score %}; with them the score lies between
{{ pct(t.score.bounds[0]) }} and {{ pct(t.score.bounds[1]) }}{% endif %}.
{% for f in t.failures[:5] %}<br><code>{{ f.id }}</code> epoch {{ f.epoch }}: {{ f.why }}
{% endfor %}</p>
{% endfor %}{% endfor %}
<h2>Scores</h2><div class="scroll"><table>
<tr><th>run, task<th>score, %<th>95% interval<th>avg@<th>problems<th>answer given<th>truncated
<th>unparseable<th>written per run<th>read<th>maj@k<th>pass@k<th>T / top-p / top-k<th>max tokens
{% for name, run in runs %}{% for task, t in run.tasks.items() %}
<tr{% if not t.whole %} class="bad"{% endif %}><td>{{ name }}: <b>{{ task }}</b>
<td>{{ est(t.score) }}<td>{{ interval(t.score) }}<td>{{ draws(t) }}
<td>{{ t.n_scored }} of {{ t.n_problems }}<td>{{ est(t.vote) }}
<td>{{ pct(t.truncated) }}<td>{{ pct(t.unparseable) }}
<td>{{ "{:,.0f}".format(t.tokens.written_per_run) }}<td>{{ "{:,}".format(t.tokens.read) }}
<td>{% if t.majority %}{{ est(t.majority) }} (k = {{ t.majority.k }}){% endif %}
<td class="wrap">{% for k, e in t.pass.items() %}{{ pct(e.mean) }} ({{ k }}) {% endfor %}
<td>{{ t.temperature }} / {{ t.top_p }} / {{ t.top_k }}<td>{{ t.max_tokens }}
{% endfor %}{% endfor %}</table></div>
{{ figures.scores | safe }}
{% if figures.rounds %}<h2>By round</h2>{{ figures.rounds | safe }}{% endif %}
{% if compared %}<h2>Compared</h2><p>First minus second, paired over the problems that both have
scored. p is of a sign-flip test: no normal distribution is assumed.</p><div class="scroll"><table>
<tr><th>task<th>first<th>second<th>what<th>problems<th>difference<th>95% interval<th>p
<th>tokens per problem{% for c in compared %}
<tr><td>{{ c.task }}<td>{{ c.first }}<td>{{ c.second }}<td class="wrap">{{ c.what }}
<td>{{ c.problems }}{% if c.left_out %} ({{ c.left_out }} not shared){% endif %}
<td>{{ signed(c.gap) }} ± {{ pct(c.stderr) }}
<td>{{ signed(c.interval[0]) }} .. {{ signed(c.interval[1]) }}<td>{{ "%.3f" | format(c.p) }}
<td>{{ "{:,.0f}".format(c.tokens[0]) }}, {{ "{:,.0f}".format(c.tokens[1]) }}
{% endfor %}</table></div>{% endif %}
<h2>Beside the report</h2>
{% for table in tables %}<h3>{{ table.title }}</h3><div class="scroll"><table>
<tr><th>{{ table.corner }}{% for c in table.columns %}<th>{{ c.text }}{% endfor %}
{% for row in table.rows %}<tr><td>{{ row.name }}{% for cell in row.cells %}
<td>{% if cell.text in gaps %}<span class="gap">{{ cell.text }}</span>
{%- elif cell.published %}<span class="pub">{{ cell.text }}</span>
{%- else %}<b>{{ cell.text }}</b>{% endif %}{% endfor %}{% endfor %}</table></div>{% endfor %}
<h2>Problems</h2>
{% for name, run in runs %}{% for task, t in run.tasks.items() %}
<details><summary><b>{{ name }}: {{ task }}</b>, {{ t.problems | length }} problems
{%- if t.dropped %}, the first {{ t.problems | length - t.dropped }} shown{% endif %}</summary>
{% for p in t.problems[:t.kept] %}<details class="p"><summary>
<span class="bar" style="width: {{ 60 * p.mean }}px"></span> {{ p.right }} of {{ p.draws | length }}
&nbsp; {{ p.id }}: {{ p.question[:90] }}</summary><pre>{{ p.question }}</pre>
<p>answer <code>{{ p.target }}</code>; {{ "{:,}".format(p.written) }} tokens written</p>
{% for d in p.draws %}<p class="{{ 'ok' if d.reward > 0.999 else 'no' }}">{{ d.outcome }}
{%- if d.cut %}, cut{% endif %}, {{ d.written }} tokens; answer
<code>{{ d.answer if d.answer is not none else "none" }}</code> {{ d.reason }}</p>
{% if d.said and d.said != d.answer %}<pre>{{ d.said }}</pre>{% endif %}
{% endfor %}</details>{% endfor %}</details>
{% endfor %}{% endfor %}
<h2>What was run</h2><div class="scroll"><table><tr><th>run, task<th>model<th>questions<th>digest
<th>notes<th>log{% for name, run in runs %}{% for task, t in run.tasks.items() %}
<tr><td>{{ name }}: {{ task }}<td>{{ run.model }}<td>{{ t.origin }}
<td><code>{{ t.digest[:16] }}</code><td class="wrap">{{ t.notes | join("; ") }}
<td>{{ t.log }}{% endfor %}{% endfor %}</table></div>
{% for name, run in runs %}<p>{{ name }}: {% for k, v in run.environment.items() %}{{ k }} {{ v }}
{{- ", " if not loop.last }}{% endfor %}; {{ "%.0f" | format(run.seconds) }} s in the last call.</p>
<details><summary>configuration</summary><pre>{{ run.config }}</pre></details>{% endfor %}
</body></html>
"""
)


def write_evaluation_page(folders: Sequence[Path], out: Path) -> Path:
    """Write `report.html` and `report.md` of finished evaluations into `out`. RunError for a
    folder that holds none."""
    import jinja2

    runs = [(name, _read(folder)) for name, folder in _named(folders)]
    compared = compare(runs)
    tables = tables_of(runs)
    for _, run in runs:
        _cut(run, LARGEST // max(sum(len(r["tasks"]) for _, r in runs), 1))
    figures = {"scores": plots.scores(runs), "rounds": plots.score_by_round(runs)}
    page = (
        jinja2.Environment(autoescape=True)
        .from_string(_PAGE)
        .render(
            title="Evaluation: " + ", ".join(name for name, _ in runs),
            runs=runs,
            compared=compared,
            tables=tables,
            figures=figures,
            pct=_percent,
            est=_estimate,
            interval=_interval,
            draws=_draws,
            signed=_signed,
            gaps=("-", NOT_MEASURED),
        )
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.md").write_text(_markdown(runs, compared, tables), encoding="utf-8")
    path = out / "report.html"
    path.write_text(page.encode("utf-8", "replace").decode(), encoding="utf-8")
    return path


def _named(folders: Sequence[Path]) -> list[tuple[str, Path]]:
    """Short names, that tell the folders apart."""
    names = [f.resolve().name for f in folders]
    if len(set(names)) < len(names):
        names = [str(f) for f in folders]
    return list(zip(names, folders, strict=True))


def _read(folder: Path) -> Run:
    file = folder / RESULT_FILE
    if not file.is_file():
        raise RunError(
            f"{folder} holds no {RESULT_FILE}: its evaluation has not come to its end",
            "run the same `zaya eval` line again, it goes on where it stopped",
        )
    config = folder / "config.toml"
    return json.loads(file.read_text()) | {"config": config.read_text() if config.is_file() else ""}


def _cut(run: Run, room: int) -> None:
    """What the drill-down shows of each task: few enough problems, short enough texts."""
    for task in run["tasks"].values():
        kept, size = 0, 0
        for p in task["problems"]:
            p["question"] = p["question"][:QUESTION]
            p["target"] = p["target"][:SAID]
            rewards = [d["reward"] for d in p["draws"]]
            p["right"] = sum(r > 0.999 for r in rewards)
            p["mean"] = max(0.0, sum(rewards) / len(rewards)) if rewards else 0.0
            for d in p["draws"]:
                d["said"] = d["said"][-SAID:]
                d["answer"] = None if d["answer"] is None else d["answer"][:SAID]
            size += len(html.escape(json.dumps(p))) + TAGS * (len(p["draws"]) + 4)
            if kept < SHOWN and size < room:
                kept += 1
        task["kept"], task["dropped"] = kept, len(task["problems"]) - kept


def tables_of(runs: Sequence[tuple[str, Run]]) -> list[dict[str, Any]]:
    """The report's tables, each with a column or row for what was measured here."""
    single = [(n, r) for n, r in runs if r["method"] == "single"]
    reasoned = [(n, r) for n, r in runs if r["method"] != "single"]
    main = {
        "title": "Main table",
        "corner": "benchmark",
        "columns": [{"text": f"{n} (here)"} for n, _ in single]
        + [{"text": c} for c in published.MAIN_COLUMNS],
        "rows": [
            {
                "name": name,
                "cells": [_here(r, name) for _, r in single] + [_cell(v) for v in values],
            }
            for name, values in published.MAIN.items()
        ],
    }
    larger = {
        "title": "Larger models",
        "corner": "model",
        "columns": [{"text": c} for c in published.LARGER_COLUMNS],
        "rows": [
            {"name": f"{n} (here)", "cells": [_here(r, c) for c in published.LARGER_COLUMNS]}
            for n, r in single
        ]
        + [
            {"name": name, "cells": [_cell(v) for v in values]}
            for name, values in published.LARGER.items()
        ],
    }
    return [main, _ttc(single, reasoned), larger]


def _ttc(single: list[tuple[str, Run]], reasoned: list[tuple[str, Run]]) -> dict[str, Any]:
    """Test-time compute: configuration, scores, tokens per problem."""
    columns = published.TTC_COLUMNS
    rows = [
        {
            "name": f"{n} (here), single",
            "cells": [
                *(_own(v) for v in ("-", "1", "-", "-", "-")),
                *(_here(r, c) for c in columns),
                _own(""),
            ],
        }
        for n, r in single
    ]
    for name, run in reasoned:
        first = next(iter(run["tasks"].values()))
        shape = [_own(str(first["rsa"][k])) for k in ("T", "N", "C", "beta", "tau")]
        spent = [t["tokens"]["written_per_run"] for t in run["tasks"].values()]
        rows.append(
            {
                "name": f"{name} (here), {run['method']}",
                "cells": [
                    *shape,
                    *(_here(run, c) for c in columns),
                    _own(f"{sum(spent) / len(spent):,.0f}"),
                ],
            }
        )
    rows.append(
        {
            "name": "single rollout",
            "cells": [
                *(_cell(v) for v in ("-", "1", "-", "-", "-")),
                *(_cell(published.TTC_SINGLE.get(c)) for c in columns),
                _cell(None),
            ],
        }
    )
    realised = {
        (16384, 4096): "about 440K",
        (40960, 4096): "about 740K",
        (32768, 4096): "about 5.5M",
    }
    for name, t, n, c, beta, tau, scores in published.TTC:
        told = realised.get((beta, tau)) if t == 2 or n == 32 else None
        rows.append(
            {
                "name": name,
                "cells": [
                    *(_cell(v) for v in (t, n, c, beta, tau)),
                    *(_cell(scores.get(k)) for k in columns),
                    _cell(told),
                ],
            }
        )
    return {
        "title": "Test-time compute",
        "corner": "method",
        "columns": [
            {"text": c} for c in ("T", "N", "C", "beta", "tau", *columns, "tokens written")
        ],
        "rows": rows,
    }


def _here(run: Run, published_name: str) -> dict[str, Any]:
    for t in run["tasks"].values():
        if t["published"] == published_name:
            gap = "" if t["whole"] else " (incomplete)"
            return _own(_estimate(t["score"]) + gap)
    return _own(NOT_MEASURED)


def _own(text: str) -> dict[str, Any]:
    return {"text": text, "published": False}


def _cell(value: float | int | str | None) -> dict[str, Any]:
    return {"text": "-" if value is None else str(value), "published": True}


def _markdown(runs: list[tuple[str, Run]], compared: list[Any], tables: list[Any]) -> str:
    """Published figures are in brackets."""
    parts = ["# Evaluation\n", "Figures in [brackets] were published in arXiv 2605.05365.\n"]
    rows = [
        [
            f"{name}: {task}",
            _estimate(t["score"]),
            _interval(t["score"]),
            _draws(t),
            f"{t['n_scored']} of {t['n_problems']}",
            _estimate(t["vote"]),
            _percent(t["truncated"]),
            _percent(t["unparseable"]),
            f"{t['tokens']['written_per_run']:,.0f}",
            ""
            if t["whole"]
            else f"INCOMPLETE: {t['failed_samples']} samples, {t['lost_draws']} draws",
        ]
        for name, run in runs
        for task, t in run["tasks"].items()
    ]
    head = [
        "run, task",
        "score, %",
        "95% interval",
        "avg@",
        "problems",
        "answer given",
        "truncated",
        "unparseable",
        "written per run",
        "gaps",
    ]
    parts.append(_grid(head, rows))
    if compared:
        parts.append("\n## Compared\n")
        parts.append(
            _grid(
                ["task", "first", "second", "what", "problems", "difference", "95% interval", "p"],
                [
                    [
                        c.task,
                        c.first,
                        c.second,
                        c.what,
                        str(c.problems),
                        f"{_signed(c.gap)} ± {_percent(c.stderr)}",
                        f"{_signed(c.interval[0])} .. {_signed(c.interval[1])}",
                        f"{c.p:.3f}",
                    ]
                    for c in compared
                ],
            )
        )
    for table in tables:
        parts.append(f"\n## {table['title']}\n")
        cells = [
            [
                row["name"],
                *(
                    f"[{c['text']}]" if c["published"] and c["text"] != "-" else c["text"]
                    for c in row["cells"]
                ),
            ]
            for row in table["rows"]
        ]
        parts.append(_grid([table["corner"], *(c["text"] for c in table["columns"])], cells))
    return "\n".join(parts) + "\n"


def _grid(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in lines)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}"


def _estimate(e: dict[str, Any] | None) -> str:
    if e is None:
        return ""
    return _percent(e["mean"]) + (f" ± {_percent(e['stderr'])}" if e["stderr"] is not None else "")


def _interval(e: dict[str, Any] | None) -> str:
    if e is None or e["interval"] is None:
        return ""
    return " .. ".join(map(_percent, e["interval"]))


def _draws(t: Run) -> str:
    return f"{t['n_draws'] / max(t['n_scored'], 1):g}"
