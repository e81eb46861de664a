"""The rows of a table put into the lines of its comparison: one per data set, student and teacher."""

from dataclasses import dataclass, field

from bkdsnn.params.schema import Params
from bkdsnn.reporting.methods import baseline_of, is_baseline, label, main_of, method_of


@dataclass
class Line:
    """One data set, student and teacher; cells: the row of each method.

    of: how many lines have all three in common. main: the row whose gain it shows; baseline: that of the line."""

    dataset: str
    student: str
    teacher: str | None
    cells: dict[str, str] = field(default_factory=dict)
    of: int = 1
    main: str | None = None
    baseline: str | None = None


def lines(params: Params) -> list[Line]:
    """The rows put into lines; where a method comes twice (another blur_ratio, say), a new line begins."""
    groups: dict[tuple, list[Line]] = {}
    baselines: list[str] = []
    for key, row in params.rows.items():
        method = method_of(row, params)
        own = groups.setdefault((row.dataset, row.student, row.recipe, row.teacher), [])
        line = next((line for line in own if method not in line.cells), None)
        if line is None:
            line = Line(row.dataset, row.student, row.teacher)
            own.append(line)
        line.cells[method] = key
        baseline = baseline_of(row, params)
        if row.teacher and baseline:
            line.cells.setdefault(method_of(params.rows[baseline], params), baseline)
            baselines.append(baseline)
    for own in groups.values():
        for line in own:
            _finish(line, params, of=len(own))
    made = [line for own in groups.values() for line in own]
    return [line for line in made if line.main or line.baseline not in baselines]


def _finish(line: Line, params: Params, *, of: int) -> None:
    line.of = of
    line.main = line.cells.get(main_of(list(line.cells), params))
    line.baseline = next((row for method, row in line.cells.items() if is_baseline(method, params)), None)


def variant(line: Line, params: Params) -> str:
    """The settings by which a line differs from its neighbours, where it has any; whose, where not all of it have them.

    `blur_ratio=0.6`, or `LaSNN: features=stage2+last`.
    """
    if line.of == 1:
        return ""
    rows = [row for row in line.cells.values() if row != line.baseline or not line.main]
    with_setting: dict[str, list[str]] = {}
    for row in rows:
        for name, value in params.rows[row].method_settings.items():
            setting = f"{name}={'+'.join(value) if isinstance(value, dict) else value}"
            with_setting.setdefault(setting, []).append(label(method_of(params.rows[row], params), params))
    return ", ".join(
        setting if len(methods) == len(rows) else f"{' and '.join(methods)}: {setting}"
        for setting, methods in with_setting.items()
    )
