"""What every stage script shares: its key from the command line, its log, and how a mistake ends it."""

import errno
import inspect
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

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
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.exit(f"{work.__name__}: {error.filename or Path.cwd()}: the disk is full ({error.strerror})")
