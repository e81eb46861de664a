"""What every stage script shares: its key from the command line, its log, which of a launcher's processes work, and
how a mistake ends them.
"""

import errno
import inspect
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from bkdsnn import launch
from bkdsnn.errors import InputError

_PATIENCE = 20.0  # seconds


def run_stage(work: Callable[..., None], *, shares_work: bool = False) -> None:
    """Calls `work(*arguments)`; an `InputError` becomes one line on stderr and exit code 1.

    Of several processes that a launcher started process 0 works alone, unless they can share the work.
    """
    if not shares_work:
        if launch.rank() > 0:
            return
        launch.go_alone()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("bkdsnn").setLevel(logging.ERROR if launch.rank() else logging.INFO)
    try:
        if len(sys.argv) - 1 != len(inspect.signature(work).parameters):
            raise InputError(f"takes {', '.join(inspect.signature(work).parameters) or 'nothing'}, got {sys.argv[1:]}")
        work(*sys.argv[1:])
    except InputError as error:
        if os.environ.get("BKDSNN_DEBUG"):
            traceback.print_exc()
        _stop(f"{work.__name__}: {error}", at_once=launch.rank() == 0)
    except RuntimeError as error:
        if launch.world_size() == 1 or "closed by peer" not in str(error):
            raise
        _stop(f"{work.__name__}: another process of this stage has ended", at_once=False)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        line = f"{work.__name__}: {error.filename or Path.cwd()}: the disk is full ({error.strerror})"
        _stop(line, at_once=launch.rank() == 0)


def _stop(line: str, *, at_once: bool) -> NoReturn:
    """Ends the stage with one line on stderr, at once, or if nobody else has ended it after a while.

    What all processes would say process 0 says, and what one alone would say, that one: the launcher ends the others.
    """
    if not at_once:
        time.sleep(_PATIENCE)
    sys.exit(line)
