"""One self-contained HTML page of a training run: losses, experts, data, and what went wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openzaya.data.manifest import column
from openzaya.report import plots
from openzaya.report.style import HEAD

_PAGE = (
    HEAD
    + """<h1>{{ title }}</h1>
<p>{{ "{:,}".format(last.step) }} steps, {{ "{:,}".format(last.tokens) }} tokens,
loss {{ "%.4f" | format(last.loss) }} at the last step
{%- if held_out %}; held-out loss {{ "%.4f" | format(held_out[0].held_out_loss) }} at step
{{ held_out[0].step }}, {{ "%.4f" | format(held_out[-1].held_out_loss) }} at step
{{ held_out[-1].step }}, over {{ "{:,}".format(held_out[-1].held_out_tokens) }} tokens{% endif %}.
Median {{ "{:,.0f}".format(speed) }} tokens per second.</p>
{% if result is none %}<p class="warn">This run has not come to its end.</p>{% endif %}
{% for entry in left_out %}<p class="warn">Batch {{ entry.batch }} was left out at step
{{ entry.step }}: {{ entry.reason }}.</p>{% endfor %}

<h2>Loss</h2>{{ figures.loss | safe }}
<h2>Experts</h2>{{ figures.load | safe }}
{% if data %}<h2>Data</h2>
<div class="scroll"><table><tr><th>source{% for name in data.sources %}<th>{{ name }}{% endfor %}
</tr>{% for label, values in rows %}<tr><td>{{ label }}
{% for value in values %}<td>{{ value }}{% endfor %}</tr>{% endfor %}</table></div>
<p>Windows of {{ data.recipe.window }} tokens; fingerprint <code>{{ data.fingerprint }}</code>.</p>
{% endif %}
<h2>Configuration</h2><pre>{{ config }}</pre>
</body></html>
"""
)


def write_training_page(folder: Path, metrics: list[dict[str, Any]]) -> Path:
    """Write `report.html` of a run with logged steps; it may still be going on."""
    import jinja2
    import numpy as np

    steps = [m for m in metrics if "loss" in m]
    data = _json(folder / "data.json")
    figures = {"loss": plots.losses(metrics), "load": plots.load(metrics)}
    page = jinja2.Environment(autoescape=True).from_string(_PAGE).render(
        title=f"Training: {folder.name}",
        last=steps[-1],
        held_out=[m for m in metrics if "held_out_loss" in m],
        speed=float(np.median([m["tokens_per_second"] for m in steps])),
        result=_json(folder / "result.json"),
        left_out=_json(folder / "skipped.json") or [],
        data=data,
        rows=_data_rows(data) if data else [],
        figures=figures,
        config=(folder / "config.toml").read_text(),
    )  # fmt: skip
    path = folder / "report.html"
    path.write_text(page)
    return path


def _data_rows(manifest: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """(what is counted, its value for every source)."""
    columns = [column(facts) for facts in manifest["sources"].values()]
    return [(label, [values[label] for values in columns]) for label in columns[0]]


def _json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.is_file() else None
