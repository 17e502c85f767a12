"""The page of a daily control: what the last run means, and the chart of each measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from detector.accuracy.control import MEASURES, OUT, RULES, WARNING, ControlChart, ControlLog, Target, charts
from detector.accuracy.plots import laboratory
from detector.accuracy.report.content import Entry, PageRow, PageTable
from detector.accuracy.report.drawings import Drawing
from detector.accuracy.report.sheets import Part, Sheet
from detector.output.figures import many, short

TITLE = "Daily control"
FORMAT = "smearcount-control"
_MOST_BROKEN = 60
_MOST_RUNS = 90


def sheet(log: ControlLog, days: int, given: Mapping[str, Target], warnings: Sequence[str]) -> tuple[Sheet, str]:
    """The page of a log with at least one entry, and `OUT`, `WARNING` or nothing for its last run.

    Args:
        days: from whose runs means and standard deviations are learned.
        given: targets that are not learned.
        warnings: what must be known of the last run.
    """
    drawn = charts(log.entries, days, given)
    last = log.entries[-1]
    latest = [(chart, chart.broken[-1], chart.marks[-1]) for chart in drawn if chart.measure.name in last.values]
    verdict = next((mark for mark in (OUT, WARNING) if any(mark == own_mark for _, _, own_mark in latest)), "")
    missing = [measure.title for measure in MEASURES if measure.name not in last.values]
    others = sum(entry.model != last.model for entry in log.entries)
    remarks = [
        *warnings,
        *log.remarks,
        *([f"could not be measured in the last run: {', '.join(missing)}"] if missing else []),
        *([f"{many(others, 'run')} of another model, which the charts leave out"] if others else []),
    ]
    sentence = f"{last.day}: {_words(latest, verdict)}{_learning(log, days, drawn)}"
    parts = [
        Part("The last run", [_table(latest)]),
        Part("Charts", plots=[_plot(chart) for chart in drawn], wide=True, remarks=[_LEGEND]),
        Part("Rules that were broken", [_history(drawn)], printed=False),
    ]
    document = {
        "time": last.time,
        "fields": last.fields,
        "verdict": _verdict(verdict, any(chart.target for chart, _, _ in latest)),
        "measures": {chart.measure.name: _document(chart) for chart, _, _ in latest},
    }
    settings = [("days to learn from", f"{days}")]
    return Sheet(TITLE, sentence, parts, _TERMS, remarks, document, settings, FORMAT), verdict


def _verdict(mark: str, judged: bool) -> str:
    return mark or ("in control" if judged else "learning")


def _document(chart: ControlChart) -> dict[str, Any]:
    """The last value of a measure for programs."""
    target = chart.target
    return {
        "value": chart.values[-1],
        "mean": target and target.mean,
        "sd": target and target.sd,
        "verdict": _verdict(chart.marks[-1], _is_judged(chart)),
        "rules": list(chart.broken[-1]),
    }


def _is_judged(chart: ControlChart) -> bool:
    """Whether the last value is none of those that the target was learned from."""
    return chart.target is not None and len(chart.values) > chart.target.learned


def _words(latest: Sequence[tuple[ControlChart, Sequence[str], str]], verdict: str) -> str:
    if not any(chart.target for chart, _, _ in latest):
        return "not judged yet"
    if not verdict:
        return "in control"
    named = "; ".join(f"{chart.measure.title} ({', '.join(rules)})" for chart, rules, mark in latest if mark == verdict)
    if verdict == OUT:
        return f"OUT OF CONTROL, so find the cause before patients' smears are counted: {named}"
    return f"in control, with a warning: {named}"


def _learning(log: ControlLog, days: int, drawn: Sequence[ControlChart]) -> str:
    own = {entry.day for entry in log.entries if entry.model == log.entries[-1].model}
    if all(chart.target is not None for chart in drawn):
        return "."
    return f"; still learning, {min(len(own), days)} of {days} days; until then no drift is seen."


def _table(latest: Sequence[tuple[ControlChart, Sequence[str], str]]) -> PageTable:
    rows = []
    for chart, rules, mark in latest:
        target, value = chart.target, chart.values[-1]
        figures = (
            ["–"] * 3 if target is None else [short(target.mean), short(target.sd), f"{(value - target.mean) / target.sd:+.1f}"]
        )
        verdict = "OUT" if mark == OUT else _verdict(mark, _is_judged(chart))
        rows.append(
            PageRow(chart.measure.title, [Entry(short(value)), *map(Entry, figures), Entry(verdict, why=", ".join(rules))])
        )
    return PageTable("last value against its target", ("", "value", "mean", "SD", "SDs off", "judged"), rows)


def _plot(chart: ControlChart) -> Drawing:
    alt = f"{chart.measure.title} of each run, with mean and standard deviations; the tables name the rules that were broken"
    target = chart.target or Target(sum(chart.values) / len(chart.values), chart.measure.fineness, len(chart.values))
    shown = slice(max(0, len(chart.values) - _MOST_RUNS), None)
    learned = max(0, target.learned - (shown.start or 0))
    draw = partial(
        laboratory.levey_jennings,
        chart.measure.title if chart.target else f"{chart.measure.title}: learning",
        chart.days[shown],
        chart.values[shown],
        (target.mean, target.sd),
        chart.marks[shown],
        learned,
    )
    return f"control_{chart.measure.name}", alt, draw


def _history(drawn: Sequence[ControlChart]) -> PageTable:
    broken = [
        (day, chart.measure.title, ", ".join(rules), short(value))
        for chart in drawn
        for day, rules, value in zip(chart.days, chart.broken, chart.values, strict=True)
        if rules
    ]
    newest = sorted(broken, reverse=True)[:_MOST_BROKEN]
    rows = [PageRow(day, [Entry(title), Entry(value), Entry(rules)]) for day, title, rules, value in newest]
    return PageTable(
        f"the newest {len(newest)} of {len(broken)}" if broken else "none", ("day", "measure", "value", "rules"), rows
    )


_LEGEND = (
    "Shaded: runs from which mean and standard deviation (SD) were learned. A diamond is a warning, a cross a rejection. "
    f"Values beyond {laboratory.MOST_SD} SD are drawn at the edge. The newest {_MOST_RUNS} runs are shown."
)
_TERMS = (
    *((name, f"{text[:1].upper()}{text[1:]} (Westgard 1981).") for name, text in RULES.items()),
    ("SD", "Standard deviation of the runs that were learned from, but no less than the measure's own fineness."),
    ("false alarms", "Each measure is judged by itself. With eight of them a run without any fault is rejected now and then."),
    ("what to do", "Look at the lamp, the condenser, the focus and the slide. Photograph the reference fields again, and run this again."),
)  # fmt: skip
