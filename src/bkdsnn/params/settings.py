"""The settings that a run's method has."""

from typing import Any

from bkdsnn.params.schema import Params, Row, Run


def settings_of(entry: Run | Row, params: Params) -> dict[str, Any]:
    """The settings of a run's or row's method: the part's, and over them its own."""
    return {**params.methods[entry.method].settings, **entry.method_settings}
