"""Stage hash_code: which code every stage, network, method, data source and event format runs through, as digests.

The other stages depend on these files instead of on code: what changes none of them (a comment, a docstring, a file
that nothing uses) reruns nothing but this.
"""

from bkdsnn import paths
from bkdsnn.command import run_stage
from bkdsnn.files import new_folder, write_json
from bkdsnn.provenance.digests import code_behind, entry_points


def hash_code() -> None:
    with new_folder(paths.CODE) as folder:
        for entry in entry_points():
            path = folder / f"{entry}.json"
            path.parent.mkdir(exist_ok=True)
            write_json(path, code_behind(entry))


if __name__ == "__main__":
    run_stage(hash_code)
