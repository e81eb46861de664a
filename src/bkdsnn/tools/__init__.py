"""What a person runs beside the pipeline, by `make`."""

import sys

from bkdsnn.command import begin

if sys.argv[0] == "-m":  # `python -m bkdsnn.tools.x` has begun: its imports, which take seconds, come next
    begin()
