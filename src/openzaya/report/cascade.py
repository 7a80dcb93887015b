"""One self-contained HTML page of an RL cascade: what each stage gained, and how its run went."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openzaya.report import plots
from openzaya.report.style import HEAD
from openzaya.run_dir import RunDir

_PAGE = (
    HEAD
    + """<h1>RL cascade: {{ title }}</h1>
<p>{{ r.planned | length }} stages from <code>{{ r.init_from }}</code>. The start and every stage
answered the same {{ total }} unseen problems of the {{ r.split }} split, {{ r.samples }} rollouts
of at most {{ r.budget }} tokens each. Errors are standard errors over problems; differences are
paired over problems, with 95% intervals from resampling them. A stage whose interval holds 0 has
<b>no gain</b>.</p>
{% if not r.finished %}<p class="warn">This cascade has not come to its end: {{ r.stages | length }}
of {{ r.planned | length }} stages are done. The same command goes on.</p>{% endif %}

<h2>What each stage gained</h2>{{ figures.accuracy | safe }}{{ figures.gains | safe }}
<div class="scroll"><table><tr><th>stage<th>all tasks, %<th>against the stage before, points
<th><th>against the start, points<th><th>steps<th>tokens<th>seconds</tr>
<tr><td>start<td>{{ pct(r.start) }}<td><td><td><td><td><td><td></tr>
{% for s in r.stages %}<tr><td>{{ s.name }}<td>{{ pct(s.evaluation) }}<td>{{ points(s.gain) }}
<td>{{ verdict(s.gain) }}<td>{{ points(s.over_start) }}<td>{{ verdict(s.over_start) }}
<td>{{ s.steps }}<td>{{ "{:,}".format(s.tokens) }}<td>{{ "%.0f" | format(s.seconds) }}</tr>
{% endfor %}</table></div>

<h2>Task by task</h2>
<div class="scroll"><table><tr><th>task<th>problems<th>start, %
{% for s in r.stages %}<th>{{ s.name }}{% endfor %}</tr>
{% for t, n in r.problems.items() %}<tr><td>{{ t }}<td>{{ n }}<td>{{ task_pct(r.start, t) }}
{% for s in r.stages %}<td>{{ task_pct(s.evaluation, t) }}<br>{{ verdict(s.tasks[t]) }}
{{ points(s.tasks[t]) }}{% if t in s.trains_on %} *{% endif %}{% endfor %}</tr>
{% endfor %}</table></div><p>* The stage trains on this task.</p>

{% for s in stages %}<h2>Stage: {{ s.name }}</h2>
{% if s.row is none %}<p class="warn">Not finished: {{ s.steps }} steps are logged.</p>{% endif %}
{{ s.figure | safe }}
{% if s.row %}<p>{% if s.moved %}Difficulty:
{% for name, first, last in s.moved %}{{ name }} {{ first }} &rarr; {{ last }}
{{- ", " if not loop.last }}{% endfor %}.{% else %}The difficulty stayed where it was.{% endif %}
{% if s.row.dropped %}Dropped: {% for reason, n in s.row.dropped.items() %}{{ reason }} {{ n }}
{{- ", " if not loop.last }}{% endfor %}.{% endif %}</p>{% endif %}
<details><summary>configuration</summary><pre>{{ s.config }}</pre></details>
{% endfor %}
</body></html>
"""
)


def write_cascade_page(folder: Path) -> Path:
    """Write `report.html` of a cascade, finished or not, and return its path."""
    import jinja2
    from markupsafe import Markup

    result = json.loads((folder / "cascade.json").read_text())
    done = {row["name"]: row for row in result["stages"]}
    stages = []
    for name in result["planned"]:
        if not (folder / name / "config.toml").is_file():
            continue
        metrics = RunDir.open(folder / name).metrics()
        row = done.get(name)
        stages.append(
            {
                "name": name,
                "row": row,
                "steps": len([m for m in metrics if "reward" in m]),
                "moved": _moved(row["difficulty"]) if row else [],
                "figure": plots.rl_stage(metrics),
                "config": (folder / name / "config.toml").read_text(),
            }
        )
    figures = {
        "accuracy": plots.cascade_accuracy(result),
        "gains": plots.cascade_gains(result["stages"]) if done else "",
    }

    def verdict(g: dict[str, Any]) -> Markup:
        kind = {"gain": "holds", "loss": "lacks"}.get(g["verdict"], "")
        return Markup('<span class="{}">{}</span>').format(kind, g["verdict"])

    page = jinja2.Environment(autoescape=True).from_string(_PAGE).render(
        title=folder.name, r=result, total=sum(result["problems"].values()), stages=stages,
        figures=figures, pct=_percent, task_pct=lambda e, t: _mean(e["tasks"][t]), points=_points,
        verdict=verdict,
    )  # fmt: skip
    path = folder / "report.html"
    path.write_text(page)
    return path


def _moved(difficulty: dict[str, dict[str, int]]) -> list[tuple[str, int, int]]:
    first, last = difficulty["first"], difficulty["last"]
    return [(name, first[name], last[name]) for name in last if first[name] != last[name]]


def _percent(row: dict[str, Any]) -> str:
    return f"{100 * row['accuracy']:.1f} ± {100 * row['stderr']:.1f}"


def _mean(score: dict[str, Any]) -> str:
    values = score["values"]
    return f"{100 * sum(values) / len(values):.1f} ± {100 * score['stderr']:.1f}"


def _points(g: dict[str, float]) -> str:
    low, high = 100 * g["low"], 100 * g["high"]
    return f"{100 * g['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"
