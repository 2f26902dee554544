"""docs/performance.md and its picture, written from the results that there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.gpu_day.findings import read_results
from benchmarks.gpu_day.table import page_table
from benchmarks.results import Results, Spread, load_all, ratios, spread
from benchmarks.workloads import NNUNET, OURS, WORKLOADS, Target, Workload
from vmseg_auto.figures.plots import save_figure
from vmseg_auto.figures.slices import BLUE, VERMILLION
from vmseg_auto.utils.atomic import write_text

FIGURES = {
    "wall_s": ("wall time", "s"),
    "cpu_s": ("CPU time", "s"),
    "peak_mib": ("peak memory", "MiB"),
    "step_s": ("step time", "s"),
    "wait_share": ("share of time waiting for data", "%"),
}
"""Figure -> its name, and the unit it is shown in."""

INTRODUCTION = """\
# Speed and memory beside nnU-Net 2.8.1

Written by `python -m benchmarks.compare`; don't edit it. Both tools do the same work on the same input in turns, each
as a whole process (its start and imports included) with its own defaults. CPU time and memory are those of the process
and all that it starts. A ratio is vmseg_auto / nnU-Net's of the same round. Figures are medians, with the range over
rounds in brackets where there are several. Peak memory is the highest sum over a tool's processes that a sample saw
(about 20 a second).

{memory}
"""

GPU = """
## On a GPU
"""
NO_GPU = """\
No figure of a GPU has been measured yet. `python -m benchmarks.gpu_day` measures what there is to know in nine minutes
([how](../CONTRIBUTING.md)). Its results.json, put into the folder of results (`--work`) as gpu_day.json, becomes the
table of this section.

What is done there for speed is therefore not proved by a figure either: network and loss of a training are compiled,
so that no instance norm is torch's own kernel, which loses half of its time in bfloat16; without a compiler and in
prediction it is that kernel all the same. Small batches are replayed as CUDA graphs. Cases are held on the card where
there is room. [Method](method.md#a-step-on-a-gpu) says when each is done.
"""

REPRODUCTION = """
## How to reproduce
```bash
python -m venv nnunet && nnunet/bin/python -m pip install nnunetv2==2.8.1
python -m pip install -c constraints.txt -e ".[test]"
python -m benchmarks.compare --nnunet nnunet --data $DATA      # $DATA: the test data; --only NAME for one workload
python -m benchmarks.growth --data $DATA
python -m benchmarks.agreement --data $DATA --nnunet nnunet
python -m benchmarks.cpu --data $DATA --nnunet nnunet
```
"""


def write_report(work: Path, out: Path) -> None:
    """Write the tables to `out` and the ratios' picture to images/performance.png beside it."""
    found = load_all(work)
    parts = [INTRODUCTION.format(memory=_memory(found.values())), _machines(found)]
    compared = [(workload, found[workload.name]) for workload in WORKLOADS if workload.name in found]
    if bars := _bars(compared):
        picture = out.parent / "images" / "performance.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        draw_ratios(bars, picture)
        parts.append("\n![Ratios to nnU-Net beside their targets](images/performance.png)\n")
    if compared:
        parts.append(_targets_table(compared))
        parts.append(_figures_table(compared))
    if lacking := [w.name for w in WORKLOADS if w.name not in found]:
        parts.append(f"\nNot measured yet: {', '.join(lacking)}.\n")
    parts += [text for name, text in _SECTIONS.items() if name in found for text in (text, _facts_table(found[name]))]
    write_text(out, "".join([*parts, gpu_section(work / "gpu_day.json"), REPRODUCTION]))


def gpu_section(path: Path) -> str:
    """What a GPU has shown: the table of a results.json of benchmarks.gpu_day, if there is one."""
    return GPU + (page_table(read_results(path)) if path.is_file() else NO_GPU)


_SECTIONS = {
    "growth": """
## Growth with the number and the size of scans
vmseg_auto alone: time should grow in proportion, memory not with the number of scans. Made by `benchmarks.growth`.

""",
    "cpu": """
## On a CPU without 16-bit arithmetic
Predictions in float32. "torch" is torch's own choice of code; "ours" asks oneDNN for every convolution and puts
channels last; OpenVINO is `--backend openvino`. Shares are of the CPU time of the first row of the same work in the
same round: medians, with the range over rounds. Other voxels have another label than in the first row. Made by
`benchmarks.cpu`.

""",
    "agreement": """
## Agreement with nnU-Net's own masks
nnU-Net's weights, imported, against the masks that nnU-Net 2.8.1 gave with them (CPU, float32, mirroring): share of
voxels with the same label, and Dice of each label in each scan. Made by `benchmarks.agreement`.

""",
}


def _memory(found: Iterable[Results]) -> str:
    kinds = {kind for results in found for kind in results.memory.values()}
    words = {
        "PSS": "Summed are proportional set sizes (PSS): a page shared by n processes counts 1/n in each.",
        "RSS": "Where PSS can't be read, resident set sizes (RSS) are summed: shared pages count in each process.",
    }
    return "\n".join(words[kind] for kind in sorted(kinds)) or "Nothing is measured yet."


def _machines(found: Mapping[str, Results]) -> str:
    """Where and with what it was measured; several, with the workloads of each, where they differ."""
    groups: dict[str, list[str]] = {}
    for name, results in found.items():
        versions = "; ".join(
            f"{tool}: {', '.join(f'{package} {number}' for package, number in packages.items())}"
            for tool, packages in results.versions.items()
        )
        groups.setdefault(f"- {results.machine.text()}.\n  {versions}.", []).append(name)
    several = len(groups) > 1
    return "\n" + "\n".join(
        f"{text} Measured here: {', '.join(names)}." if several else text for text, names in groups.items()
    ) + "\n"  # fmt: skip


def _bars(compared: Sequence[tuple[Workload, Results]]) -> list[tuple[str, Spread, float]]:
    """(label, ratio, target) of each target that limits a ratio."""
    bars = []
    for workload, results in compared:
        for target in workload.targets:
            found = _ratio(results, target.figure)
            if target.ratio and found is not None:
                bars.append((f"{workload.name}\n{FIGURES[target.figure][0]}", found, target.limit))
    return bars


def _ratio(results: Results, figure: str) -> Spread | None:
    return spread(ratios(results.values(OURS, figure), results.values(NNUNET, figure)))


def _targets_table(compared: Sequence[tuple[Workload, Results]]) -> str:
    rows = []
    for workload, results in compared:
        for target in workload.targets:
            own = spread(results.values(OURS, target.figure))
            found = _ratio(results, target.figure) if target.ratio else own
            if found is not None and own is not None:
                rows.append(_target_row(workload, results, target, own, found))
    head = ("workload", "what", "figure", "vmseg_auto", "nnU-Net", "ratio", "target", "met", "rounds")
    return "\n## Targets\n\n" + table(head, rows)


def _target_row(workload: Workload, results: Results, target: Target, own: Spread, found: Spread) -> Sequence[str]:
    name, unit = FIGURES[target.figure]
    theirs, ratio = spread(results.values(NNUNET, target.figure)), _ratio(results, target.figure)
    goal = f"ratio {target.limit:.2f}" if target.ratio else _number(target.limit, unit)
    cut = f" (cut to {results.limit} cases)" if results.limit else ""
    return (
        f"`{workload.name}`", workload.shows + cut, name, _spread(own, unit), _spread(theirs, unit),
        _spread(ratio, ""), f"at most {goal}", "yes" if found.median <= target.limit else "**no**", _rounds(results),
    )  # fmt: skip


def _figures_table(compared: Sequence[tuple[Workload, Results]]) -> str:
    rows = []
    for workload, results in compared:
        for figure, (name, unit) in FIGURES.items():
            ours, theirs = (spread(results.values(tool, figure)) for tool in (OURS, NNUNET))
            if ours is not None:
                ratio = _spread(_ratio(results, figure), "")
                rows.append((f"`{workload.name}`", name, _spread(ours, unit), _spread(theirs, unit), ratio))
    return "\n## All figures\n\n" + table(("workload", "figure", "vmseg_auto", "nnU-Net", "ratio"), rows)


def _facts_table(results: Results) -> str:
    rows: list[Mapping[str, Any]] = results.facts["rows"]
    return table(list(rows[0]), [[str(value) for value in row.values()] for row in rows]) if rows else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"


def _rounds(results: Results) -> str:
    ours, theirs = (len(results.rounds.get(tool, ())) for tool in (OURS, NNUNET))
    return str(ours) if theirs in (0, ours) else f"{ours} (nnU-Net {theirs})"


def _spread(found: Spread | None, unit: str) -> str:
    if found is None:
        return "-"
    middle = _number(found.median, unit)
    if found.rounds == 1:
        return middle
    return f"{middle} ({_number(found.low, unit, False)} to {_number(found.high, unit, False)})"


def _number(value: float, unit: str, with_unit: bool = True) -> str:
    """Three digits that count."""
    shown = 100 * value if unit == "%" else value
    digits = f"{shown:.0f}" if abs(shown) >= 100 else f"{shown:.3g}"
    return f"{digits} {unit}".strip() if with_unit else digits


def draw_ratios(bars: Sequence[tuple[str, Spread, float]], path: Path) -> None:
    """Horizontal bars of (label, ratio, target) on a logarithmic scale into a PNG."""
    figure = Figure(figsize=(8, 0.9 + 0.55 * len(bars)), dpi=120, layout="constrained")
    panel = figure.subplots()
    places = range(len(bars))
    panel.barh(places, [ratio.median for _, ratio, _ in bars], height=0.55, color=BLUE, label="median ratio")
    lows = [ratio.median - ratio.low for _, ratio, _ in bars]
    highs = [ratio.high - ratio.median for _, ratio, _ in bars]
    panel.errorbar(
        [ratio.median for _, ratio, _ in bars], places, xerr=(lows, highs), fmt="none", ecolor="#333333", capsize=3
    )
    panel.scatter([goal for *_, goal in bars], places, marker="|", s=420, color=VERMILLION, linewidths=2.5,
                  label="target", zorder=3)  # fmt: skip
    for place, (_, ratio, _) in zip(places, bars, strict=True):
        panel.annotate(f" {ratio.median:.2f}", (max(1.0, ratio.high), place), va="center", fontsize=9)
    panel.set_xscale("log", base=2)
    ticks = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
    lowest = max(
        min(min(ratio.low, goal) for _, ratio, goal in bars) / 1.5, ticks[0] / 2
    )  # a time may be measured as 0
    panel.set_xlim(lowest, 1.35 * max(1.0, *(ratio.high for _, ratio, _ in bars)))
    panel.set_xticks(
        [t for t in ticks if t >= lowest], [f"1/{1 / t:.0f}" if t < 1 else "1" for t in ticks if t >= lowest]
    )
    panel.xaxis.set_minor_locator(NullLocator())
    panel.axvline(1, color="#333333", linewidth=1)
    panel.set_yticks(places, [label for label, *_ in bars], fontsize=8)
    panel.invert_yaxis()
    panel.set_xlabel("vmseg_auto / nnU-Net (less is better)")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=2, fontsize=8)
    save_figure(figure, path)
