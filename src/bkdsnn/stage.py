"""What every stage script shares: its key from the command line, its log, and how a mistake ends it."""

import inspect
import logging
import os
import sys
import traceback
from collections.abc import Callable

from bkdsnn.errors import InputError


def run_stage(work: Callable[..., None]) -> None:
    """Calls `work(*arguments)`; an `InputError` becomes one line on stderr and exit code 1."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("bkdsnn").setLevel(logging.INFO)
    try:
        if len(sys.argv) - 1 != len(inspect.signature(work).parameters):
            raise InputError(f"takes {', '.join(inspect.signature(work).parameters) or 'nothing'}, got {sys.argv[1:]}")
        work(*sys.argv[1:])
    except InputError as error:
        if os.environ.get("BKDSNN_DEBUG"):
            traceback.print_exc()
        sys.exit(f"{work.__name__}: {error}")
