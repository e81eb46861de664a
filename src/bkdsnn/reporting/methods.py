"""What the methods of a table are called, and their part in comparisons: as their own files say."""

from bkdsnn.params.schema import MethodPart, Params, Row


def method_of(row: Row, params: Params) -> str:
    """A row's method: its file, whatever the part is called that sets it."""
    return params.methods[row.method].method


def columns(params: Params) -> list[str]:
    """The methods of a table in the order of their columns; those that name no column come last, by name."""
    used = {method_of(row, params) for row in params.rows.values()}
    places = {method: _part(method, params).column for method in used}
    return sorted(used, key=lambda method: (places[method] is None, places[method] or 0, method))


def label(method: str, params: Params) -> str:
    """What a method is called in tables."""
    return _part(method, params).label or method


def meaning(method: str, params: Params) -> str | None:
    """What a method learns from beside the labels, in words."""
    return _part(method, params).meaning


def is_baseline(method: str, params: Params) -> bool:
    """Whether gains are taken over this method."""
    return _part(method, params).role == "baseline"


def main_of(methods: list[str], params: Params) -> str | None:
    """The method that a comparison is about: the last column among those that say so, else the last of the list."""
    compared = [method for method in methods if not is_baseline(method, params)]
    main = [method for method in columns(params) if method in compared and _part(method, params).role == "main"]
    return (main[-1:] or compared[-1:] or [None])[0]


def baseline_of(row: Row, params: Params) -> str | None:
    """The key of the baseline row with the same data, student and recipe."""
    for key, other in params.rows.items():
        same = (other.dataset, other.student, other.recipe) == (row.dataset, row.student, row.recipe)
        if same and is_baseline(method_of(other, params), params):
            return key
    return None


def reference_of(row: Row, params: Params) -> str | None:
    """The key of the row that a row's gain is over: the one that it names, else its baseline.

    A table that shows another's runs leaves gains over the baseline to that table: none is judged twice.
    """
    return row.over or (None if params.same_runs_as else baseline_of(row, params))


def _part(method: str, params: Params) -> MethodPart:
    """The first part of the table that is of this method."""
    return next(part for part in params.methods.values() if part.method == method)
