"""What stands below a table: how its numbers came about, what was published where, what is missing."""

from bkdsnn.evaluation.energy import COST
from bkdsnn.params.schema import Params, Published
from bkdsnn.reporting import as_published
from bkdsnn.reporting.collect import Collected
from bkdsnn.reporting.layout import EMPTY

_GRADES = {"P": "the authors' own", "S": "quoted by another paper", "M": "a summary by others, a hint only"}
NOT_FOUND = "not found"


class Sources:
    """Numbers the places that published values come from, in the order of the rows."""

    def __init__(self, params: Params) -> None:
        found = [row.published for row in params.rows.values() if row.published]
        self.places = list(dict.fromkeys((entry.source, entry.grade) for entry in found))

    def cell(self, published: Published | None) -> str:
        """`95.29 [1]`, `not found [1]`, or a dash for what no paper has."""
        if published is None:
            return EMPTY
        value = NOT_FOUND if published.value is None else f"{published.value:.2f}"
        return f"{value} [{self.places.index((published.source, published.grade)) + 1}]"

    def notes(self) -> list[str]:
        """One line per place, and what a dash means where there is one."""
        graded = [
            f"[{place + 1}] {source}" + (f", grade {grade}: {_GRADES[grade]}." if grade else ".")
            for place, (source, grade) in enumerate(self.places)
        ]
        dash = f'Published: {EMPTY} where the row is not in the paper, "{NOT_FOUND}" where its number was not found.'
        return [dash, *graded]


def common_notes(collected: Collected, sources: Sources) -> list[str]:
    """What is said below every table of a report."""
    params = collected.params
    seeds = ", ".join(map(str, params.seeds))
    return [
        f"Mean ± standard deviation over seeds ({seeds}); a gain is paired by seed, "
        "± is the half-width of its 95 % interval (Student's t).",
        "Selection: the last epoch; the detail table also has the epoch chosen on the validation split. No choice is "
        "made on the test split.",
        "Energy is a relative estimate, to compare rows by, not a measurement: convolutions and matrix products of one "
        f"sample, all time steps, at {COST.e_mac_pj} pJ a MAC and {COST.e_ac_pj} pJ an accumulation (Horowitz 2014, "
        "45 nm, 32 bit); memory and neurons take none. An input of k spikes is k accumulations.",
        "Firing rate: spikes per neuron and time step. It and the operations are means over the test split.",
        *as_published.notes(params),
        *sources.notes(),
        *_data(collected),
        *_made_with(collected),
        *problem_notes(collected),
    ]


def problem_notes(collected: Collected) -> list[str]:
    """One line for each run that is not in the table, one for all folders that belong to no run of it."""
    lines = [f"{state.capitalize()}: {key} ({what})." for key, (state, what) in collected.problems.items()]
    if collected.strays:
        lines.append(f"Left out, no runs of this table: {', '.join(collected.strays)}.")
    return lines


def _made_with(collected: Collected) -> list[str]:
    """The versions and processors of all runs and teachers; one that is not portable may have made other numbers."""
    made = [run.metrics for run in collected.evaluated.values()]
    used: dict[str, set[str]] = {}
    for with_ in [part for run in made for part in (run.made_with, run.evaluated_with)]:
        for name, version in with_.items():
            used.setdefault(name, set()).add(version)
    processors = ", ".join(sorted(used.pop("processor", ())))
    versions = ", ".join(f"{name} {' and '.join(sorted(found))}" for name, found in used.items())
    return [f"Made with {versions}, on {processors}."] if made else []


def _data(collected: Collected) -> list[str]:
    """The split protocol and the manifest of every data set, as the runs have it."""
    lines = {}
    for key, row in collected.params.rows.items():
        for run in collected.of_row(key)[:1]:
            own = run.metrics
            manifest = f"SHA-256 of its manifest {own.data_sha256[:12]}"
            lines[row.dataset] = f"Data {row.dataset}: {own.test_samples} test samples; split: {own.split}; {manifest}."
    return list(lines.values())
