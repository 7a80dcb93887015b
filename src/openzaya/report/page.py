"""Put figures, tables and examples on one page that opens without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openzaya.report import plots
from openzaya.report.collect import collect
from openzaya.report.style import HEAD

_PAGE = (
    HEAD
    + """<h1>OpenZAYA: the whole road, small</h1>
<p>A tiny ZAYA (compressed convolutional attention, MLP router with depth averaging, top-1 experts)
trained from scratch on this machine, fine-tuned, reinforced on verified problems, and answering by
Markovian RSA. Every number below was measured by this run; errors are standard errors over
problems.</p>
{% if s.size == "reduced" %}<p class="warn"><b>Reduced size.</b> This run shows that the stages fit
together; its accuracies mean nothing.</p>{% endif %}
{% if missing %}<p class="warn">Missing from this run: {{ missing | join(", ") }}.</p>{% endif %}

<h2>The staircase</h2>{{ figures.staircase | safe }}
<div class="scroll"><table><tr><th>station<th>accuracy, %<th>tokens<th>seconds</tr>
{% for r in s.stations %}<tr><td>{{ r.name }}<td>{{ pct(r) }}<td>{{ "{:,}".format(r.tokens) }}
<td>{{ "%.0f" | format(r.seconds) }}</tr>{% endfor %}</table></div>
<ul>{% for r in s.stairs %}<li><span class="{{ 'holds' if r.holds else 'lacks' }}">
{{ "holds" if r.holds else "MISSING" }}</span> {{ r.name }}:
{{ "%+.1f" | format(100 * r.difference) }} &plusmn; {{ "%.1f" | format(100 * r.stderr) }} points
</li>{% endfor %}</ul>

<h2>Every method</h2>
<div class="scroll"><table><tr><th>method<th>all tasks, %
{% for t in tasks %}<th>{{ t }}{% endfor %}<th>problems per task<th>tokens written per answer
<th>read<th>truncated</tr>
{% for r in s.comparisons %}<tr><td>{{ r.label }}<td>{{ pct(r) }}
{% for t in tasks %}<td>{{ pct(r.tasks[t]) }}{% endfor %}
<td>{{ r.tasks[tasks[0]].problems }}
<td>{{ "%.0f" | format(r.decode_tokens / r.problems / r.samples) }}
<td>{{ "%.0f" | format(r.prefill_tokens / r.problems / r.samples) }}
<td>{{ "%.0f%%" | format(100 * r.truncated) }}</tr>{% endfor %}</table></div>
<p>Read tokens are prompt tokens before any sharing of equal prompts.</p>

<h2>Markovian RSA, round by round</h2>{{ figures.rounds | safe }}
{% for name in ("pretrain", "sft") %}{% if figures[name] %}
<h2>Training: {{ name }}</h2>{{ figures[name] | safe }}{{ figures[name + "_load"] | safe }}
{% if name in trimmed %}{% set cut = trimmed[name] %}<p>Answer-preserving trimming:
{{ "{:,}".format(cut.kept) }} samples fitted their window,
{{ cut.cut + cut.earlier_thinking_dropped }} lost the end of their reasoning,
{{ cut.sample_dropped }} were left out.</p>{% endif %}
{% endif %}{% endfor %}
{% if figures.rl %}<h2>Reinforcement</h2>{{ figures.rl | safe }}{% endif %}

<h2>Problems, and the tails that were carried</h2>
<p>Each cell is one rollout: its slot, the slots whose tails its prompt showed, the tail it left,
its answer. Green is right.</p>
{% for e in examples %}<details {{ "open" if loop.first }}><summary><b>{{ e.task }}</b>,
{{ "solved" if e.solved else "not solved" }}: <code>{{ e.prompt }}</code>, answer
<code>{{ e.truth }}</code></summary><div class="grid">
{% for population in e.rounds %}<div class="round"><b>round {{ loop.index0 }}</b>
{% for c in population %}<div class="cell {{ 'right' if c.correct }}"><small>{{ c.slot }}
{% if c.parents %}&larr; {{ c.parents | join(" ") }}{% endif %}</small> &hellip;{{ c.tail }}<br>
{{ c.answer if c.answer is not none else "no answer yet" }}</div>{% endfor %}</div>
{% endfor %}</div></details>{% endfor %}

<h2>Configuration</h2>
{% for name, text in configs.items() %}<details><summary>{{ name }}</summary><pre>{{ text }}</pre>
</details>{% endfor %}
<h2>Machine</h2><p>{% for k, v in s.environment.items() %}{{ k }} {{ v }}{{ ", " if not loop.last }}
{%- endfor %}; seed {{ s.seed }}, {{ s.split }} problems.</p>
</body></html>
"""
)


def write_demo_page(folder: Path) -> Path:
    """Write `report.html` into a finished demo folder. RunError where nothing was measured."""
    import jinja2

    found = collect(folder)
    summary = found.summary
    figures: dict[str, str] = {
        "staircase": plots.staircase(summary["stations"]),
        "rounds": plots.rounds(summary["comparisons"]),
    }
    for name in ("pretrain", "sft"):
        if found.metrics[name]:
            figures[name] = plots.training(found.metrics[name])
            figures[f"{name}_load"] = plots.load(found.metrics[name])
    if found.metrics["rl"]:
        figures["rl"] = plots.reinforcement(found.metrics["rl"])
    template = jinja2.Environment(autoescape=True).from_string(_PAGE)
    page = template.render(
        title="OpenZAYA demo",
        s=summary,
        tasks=list(summary["stations"][0]["tasks"]),
        figures=figures,
        examples=found.examples,
        configs=found.configs,
        trimmed=found.trimmed,
        missing=found.missing,
        pct=_percent,
    )
    path = folder / "report.html"
    path.write_text(page)
    return path


def _percent(row: dict[str, Any]) -> str:
    return f"{100 * row['accuracy']:.1f} ± {100 * row['stderr']:.1f}"
