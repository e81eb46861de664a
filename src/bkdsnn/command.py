"""What every stage script and tool has in common: its arguments, its log, which of a launcher's processes work, and how
a mistake ends them.
"""

import errno
import inspect
import logging
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from bkdsnn import environment
from bkdsnn.distributed import launcher
from bkdsnn.errors import InputError

_PATIENCE = 20.0  # seconds
_INTERRUPTED = 128 + signal.SIGINT  # the exit code that shells give a process which Ctrl-C ended


def run_stage(work: Callable[..., None], *, parallel: bool = False) -> None:
    """Calls `work(*arguments)`; an `InputError` becomes one line on stderr and exit code 1, Ctrl-C one and code 130.

    Of several processes that a launcher started process 0 works alone, unless all of them can work on it (`parallel`).
    """
    if not parallel:
        if launcher.rank() > 0:
            return
        launcher.go_alone()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("bkdsnn").setLevel(logging.ERROR if launcher.rank() else logging.INFO)
    try:
        environment.check()
        if len(sys.argv) - 1 != len(inspect.signature(work).parameters):
            raise InputError(f"takes {', '.join(inspect.signature(work).parameters) or 'nothing'}, got {sys.argv[1:]}")
        work(*sys.argv[1:])
    except InputError as error:
        if environment.debugging():
            traceback.print_exc()
        _stop(f"{work.__name__}: {error}", at_once=launcher.rank() == 0)
    except KeyboardInterrupt:
        print(f"{work.__name__}: interrupted; the same command goes on", file=sys.stderr)
        raise SystemExit(_INTERRUPTED) from None
    except RuntimeError as error:
        if launcher.world_size() == 1 or "closed by peer" not in str(error):
            raise
        _stop(f"{work.__name__}: another process of this stage has ended", at_once=False)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        line = f"{work.__name__}: {error.filename or Path.cwd()}: the disk is full ({error.strerror})"
        _stop(line, at_once=launcher.rank() == 0)


def _stop(line: str, *, at_once: bool) -> NoReturn:
    """Ends the stage with one line on stderr, at once, or if nobody else has ended it after a while.

    What all processes would say process 0 says, and what one alone would say, that one: the launcher ends the others.
    """
    if not at_once:
        time.sleep(_PATIENCE)
    sys.exit(line)
