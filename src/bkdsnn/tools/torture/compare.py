"""What a broken project must be in the end: the bytes of the unbroken one, and nothing left over."""

from bkdsnn.errors import InputError
from bkdsnn.files import sha256
from bkdsnn.tools.clone import Clone


def compare(clone: Clone, unbroken: Clone) -> None:
    """Raises `InputError` with the first files that differ or were left."""
    ours, theirs = _made(clone), _made(unbroken)
    if different := sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name)):
        raise InputError(f"{clone.folder.name}: {len(different)} files differ from the unbroken one's: {different[:5]}")
    if left := leftovers(clone):
        raise InputError(f"{clone.folder.name}: was left over: {', '.join(left[:5])}")


def _made(clone: Clone) -> dict[str, str]:
    """The SHA-256 of all that stages have made."""
    folders = (clone.folder / name for name in ("data", "models", "results"))
    files = [clone.folder / "dvc.lock", *(path for folder in folders for path in folder.rglob("*") if path.is_file())]
    return {str(path.relative_to(clone.folder)): sha256(path) for path in files}


def leftovers(clone: Clone) -> list[str]:
    """What nobody goes on from or waits for: states of runs that are done, and half-written files."""
    found = [*clone.folder.glob(".resume/*"), *clone.folder.rglob("*.partial-*")]
    return sorted(str(path.relative_to(clone.folder)) for path in found)
