"""The page's figures, as inline SVG."""

from __future__ import annotations

import io
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = ("#3366cc", "#dc7633", "#2e8b57", "#8e44ad", "#c0392b", "#16a085")
Rows = list[dict[str, Any]]


def _figure(width: float, height: float, columns: int = 1) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
        axis.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)


def staircase(stations: Rows) -> str:
    """Accuracy of each station with its standard error: all tasks, then task by task."""
    tasks = list(stations[0]["tasks"])
    figure, axes = _figure(2.6 * (len(tasks) + 1), 3.0, len(tasks) + 1)
    names = [s["name"] for s in stations]
    for axis, title in zip(axes, ["all tasks", *tasks], strict=True):
        rows = stations if title == "all tasks" else [s["tasks"][title] for s in stations]
        heights = [100 * r["accuracy"] for r in rows]
        errors = [100 * r["stderr"] for r in rows]
        axis.bar(names, heights, yerr=errors, capsize=3, color=_COLORS[: len(names)])
        axis.set_title(title, fontsize=10)
        axis.set_ylim(0, 100)
        axis.tick_params(axis="x", labelsize=8)
    axes[0].set_ylabel("accuracy on unseen problems, %")
    return _svg(figure)


def rounds(comparisons: Rows) -> str:
    """Mean correctness of the population after each round of RSA, by task."""
    row = next(c for c in comparisons if c["method"] == "rsa")
    figure, axes = _figure(6.0, 3.2)
    for color, (task, score) in zip(_COLORS, row["tasks"].items(), strict=False):
        values = [100 * v for v in score["rounds"]]
        axes[0].plot(range(len(values)), values, "o-", color=color, label=task)
    axes[0].set_xticks(range(len(row["rounds"])))
    axes[0].set_xlabel("round (0: no tails yet)")
    axes[0].set_ylabel("mean correctness, %")
    axes[0].set_ylim(bottom=0)
    axes[0].legend(fontsize=8)
    return _svg(figure)


def training(metrics: Rows) -> str:
    """Loss, validation accuracy, and how evenly the experts are loaded."""
    figure, axes = _figure(11.0, 3.0, 3)
    steps = [m for m in metrics if "loss" in m]
    axes[0].plot([m["step"] for m in steps], [m["loss"] for m in steps], color=_COLORS[0], lw=0.8)
    axes[0].set_title("loss, nats per token", fontsize=10)
    _dev(axes[1], metrics)
    _balance(axes[2], steps)
    _label_steps(axes)
    return _svg(figure)


def losses(metrics: Rows) -> str:
    """Training loss, held-out loss, learning rate, gradient norm and balance."""
    figure, axes = _figure(13.0, 3.2, 3)
    steps = [m for m in metrics if "loss" in m]
    x = [m["step"] for m in steps]
    axes[0].plot(x, [m["loss"] for m in steps], color=_COLORS[0], lw=0.8, label="training")
    held_out = [m for m in metrics if "held_out_loss" in m]
    if held_out:
        values = [m["held_out_loss"] for m in held_out]
        axes[0].plot(
            [m["step"] for m in held_out], values, "o-", color=_COLORS[1], label="held out"
        )
    axes[0].set_title("loss, nats per target", fontsize=10)
    axes[0].legend(fontsize=8)
    axes[1].semilogy(x, [m["grad_norm"] for m in steps], color=_COLORS[2], lw=0.8, label="gradient")
    axes[1].semilogy(x, [m["lr"] for m in steps], color=_COLORS[3], label="learning rate")
    axes[1].set_title("gradient norm and learning rate", fontsize=10)
    axes[1].legend(fontsize=8)
    _balance(axes[2], steps)
    _label_steps(axes)
    return _svg(figure)


def _balance(axis: Any, steps: Rows) -> None:
    x = [m["step"] for m in steps]
    axis.plot(x, [m["load_entropy"] for m in steps], color=_COLORS[0], label="load entropy")
    axis.plot(x, [m["largest_load"] for m in steps], color=_COLORS[1], label="largest load")
    axis.set_ylim(0, 1.05)
    axis.set_title("experts", fontsize=10)
    axis.legend(fontsize=8)


def load(metrics: Rows) -> str:
    """Share of tokens per expert over time, one strip per layer."""
    steps = [m for m in metrics if "load" in m]
    chosen = [steps[i] for i in np.linspace(0, len(steps) - 1, min(120, len(steps))).astype(int)]
    shares = np.array([m["load"] for m in chosen])  # time, layer, expert
    figure, axes = _figure(11.0, 1.8, shares.shape[1])
    image = None
    for layer, axis in enumerate(axes):
        axis.grid(visible=False)
        image = axis.imshow(
            shares[:, layer].T, aspect="auto", vmin=0, vmax=max(0.5, shares.max()), cmap="viridis"
        )
        axis.set_title(f"layer {layer}: share of tokens per expert", fontsize=9)
        axis.set_xticks([])
        axis.set_yticks(range(0, shares.shape[2], 1 + shares.shape[2] // 9))
    if image is not None:
        figure.colorbar(image, ax=list(axes), shrink=0.9)
    return _svg(figure)


def reinforcement(metrics: Rows) -> str:
    """Reward, validation accuracy, entropy, and the gap between sampler and trainer."""
    figure, axes = _figure(13.0, 3.0, 4)
    steps = [m for m in metrics if "reward" in m]
    x = [m["step"] for m in steps]
    axes[0].plot(x, [100 * m["reward"] for m in steps], color=_COLORS[0])
    axes[0].set_title("reward of the batch, %", fontsize=10)
    _dev(axes[1], metrics)
    moved = [m for m in steps if "entropy" in m]
    x = [m["step"] for m in moved]
    axes[2].plot(x, [m["entropy"] for m in moved], color=_COLORS[2])
    axes[2].set_title("entropy, nats per token", fontsize=10)
    axes[3].semilogy(x, [max(m["mismatch_kl"], 1e-16) for m in moved], color=_COLORS[4])
    axes[3].set_title("KL, sampler against trainer", fontsize=10)
    _label_steps(axes)
    return _svg(figure)


def scores(runs: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Score of each task and run, with its 95% interval over problems."""
    rows = [
        (f"{name}: {task}", t["score"], i)
        for i, (name, run) in enumerate(runs)
        for task, t in run["tasks"].items()
        if t["score"] is not None
    ]
    figure, axes = _figure(8.0, 0.8 + 0.32 * max(len(rows), 1))
    for y, (_, score, i) in enumerate(reversed(rows)):
        mean, color = 100 * score["mean"], _COLORS[i % len(_COLORS)]
        low, high = (100 * v for v in score["interval"] or (score["mean"], score["mean"]))
        axes[0].plot([low, high], [y, y], color=color, lw=2, alpha=0.5)
        axes[0].plot([mean], [y], "o", color=color)
    axes[0].set_yticks(range(len(rows)), [r[0] for r in reversed(rows)], fontsize=8)
    axes[0].set_ylim(-0.6, max(len(rows), 1) - 0.4)
    axes[0].set_xlim(-2, 102)
    axes[0].set_xlabel("score, % (line: 95% interval over problems)", fontsize=9)
    return _svg(figure)


def score_by_round(runs: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Mean correctness of Markovian RSA's populations by round; empty where there are none."""
    lines = [
        (f"{name}: {task}", t["rounds"])
        for name, run in runs
        for task, t in run["tasks"].items()
        if len(t["rounds"]) > 1
    ]
    if not lines:
        return ""
    figure, axes = _figure(6.0, 3.0)
    for color, (label, values) in zip(itertools.cycle(_COLORS), lines, strict=False):
        axes[0].plot(range(len(values)), [100 * v for v in values], "o-", color=color, label=label)
    axes[0].set_xticks(range(max(len(v) for _, v in lines)))
    axes[0].set_xlabel("round (0: no tails yet)")
    axes[0].set_ylabel("mean correctness, %")
    top = max(value for _, values in lines for value in values)
    axes[0].set_ylim(0, max(1.0, 115 * top))
    axes[0].legend(fontsize=8)
    return _svg(figure)


def _label_steps(axes: Any) -> None:
    for axis in axes:
        axis.set_xlabel("step", fontsize=9)


def _dev(axis: Any, metrics: Rows) -> None:
    rows = [m for m in metrics if "dev" in m]
    tasks = list(rows[0]["dev"]) if rows else []
    for color, task in zip(_COLORS, tasks, strict=False):
        x = [m["step"] for m in rows]
        axis.plot(x, [100 * m["dev"][task] for m in rows], ".-", color=color, label=task, lw=1)
    axis.set_title("validation accuracy, %", fontsize=10)
    if tasks:
        axis.legend(fontsize=7)


def cascade_accuracy(result: dict[str, Any]) -> str:
    """Accuracy on the same unseen problems, task by task, from the start through the stages."""
    figure, axes = _figure(9.0, 3.4)
    names = ["start", *(s["name"] for s in result["stages"])]
    found = [result["start"], *(s["evaluation"] for s in result["stages"])]
    axis = axes[0]
    for i, task in enumerate(result["problems"]):
        values = [100 * float(np.mean(e["tasks"][task]["values"])) for e in found]
        axis.plot(names, values, ".-", color=_COLORS[i % len(_COLORS)], lw=1, alpha=0.7, label=task)
    overall = [100 * e["accuracy"] for e in found]
    errors = [100 * e["stderr"] for e in found]
    axis.errorbar(names, overall, yerr=errors, fmt="o-", color="black", lw=2, capsize=3,
                  label="all tasks")  # fmt: skip
    axis.set_ylim(0, 100)
    axis.set_ylabel("accuracy on unseen problems, %")
    if len(result["problems"]) <= 12:
        axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _svg(figure)


def cascade_gains(stages: Rows) -> str:
    """Each stage's difference to the one before it, all tasks, with its 95% interval."""
    figure, axes = _figure(9.0, 0.5 + 0.45 * len(stages))
    colors = {"gain": "#1b7f3b", "loss": "#b02a37", "no gain": "#777777"}
    for y, stage in enumerate(stages):
        g = stage["gain"]
        middle, low, high = (100 * g[k] for k in ("difference", "low", "high"))
        color = colors[g["verdict"]]
        axes[0].plot([low, high], [y, y], "-", color=color, lw=3, solid_capstyle="butt")
        axes[0].plot([middle], [y], "o", color=color)
    axes[0].axvline(0, color="black", lw=0.8)
    axes[0].set_yticks(range(len(stages)), [f"{s['name']}: {s['gain']['verdict']}" for s in stages])
    axes[0].invert_yaxis()
    axes[0].set_xlabel("points against the stage before, 95% interval", fontsize=9)
    return _svg(figure)


def rl_stage(metrics: Rows) -> str:
    """Reward, difficulty, response length, staleness, and the gap between sampler and trainer."""
    figure, axes = _figure(15.0, 3.0, 5)
    steps = [m for m in metrics if "reward" in m]
    x = [m["step"] for m in steps]
    axes[0].plot(x, [100 * m["reward"] for m in steps], color=_COLORS[0], lw=1)
    axes[0].set_title("reward of the batch, %", fontsize=10)
    tasks = list(steps[0]["difficulty"]) if steps else []
    for i, task in enumerate(tasks):
        values = [m["difficulty"][task] for m in steps]
        axes[1].plot(x, values, color=_COLORS[i % len(_COLORS)], lw=1, label=task)
    axes[1].set_title("difficulty", fontsize=10)
    if 0 < len(tasks) <= 8:
        axes[1].legend(fontsize=7)
    axes[2].plot(x, [m["response_p50"] for m in steps], color=_COLORS[0], lw=1, label="median")
    axes[2].plot(x, [m["response_p90"] for m in steps], color=_COLORS[1], lw=1, label="p90")
    axes[2].set_title("response, tokens", fontsize=10)
    if steps:
        axes[2].legend(fontsize=7)
    total = Counter[int]()
    for m in steps:
        total.update(dict(enumerate(m["staleness"])))
    shares = [100 * total[age] / max(1, total.total()) for age in sorted(total)]
    axes[3].bar(sorted(total), shares, color=_COLORS[3])
    axes[3].set_xticks(sorted(total))
    axes[3].set_title("groups by staleness, %", fontsize=10)
    moved = [m for m in steps if "mismatch_kl" in m]
    if moved:
        kl = [max(m["mismatch_kl"], 1e-16) for m in moved]
        axes[4].semilogy([m["step"] for m in moved], kl, color=_COLORS[4], lw=1)
    axes[4].set_title("KL, sampler against trainer", fontsize=10)
    _label_steps([axes[0], axes[1], axes[2], axes[4]])
    axes[3].set_xlabel("trainer steps", fontsize=9)
    return _svg(figure)
