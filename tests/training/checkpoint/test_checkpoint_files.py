"""States on disk: read back as written, two of them, and what a damaged one or a full disk does."""

import resource

import pytest
import torch

from bkdsnn.training.checkpoint.files import read_state, states, write_state


def written(folder, *numbers: int):
    return [write_state(folder, {"weight": torch.full((100,), n)}, {"number": n}) for n in numbers]


def test_tensors_and_facts_are_read_back_exactly(tmp_path):
    tensors = {
        "maps": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "half": torch.randn(7).bfloat16(),
        "steps": torch.tensor(3.0),
        "random": torch.get_rng_state(),
    }
    facts = {"history": [{"epoch": 0, "loss": 0.1 + 0.2, "lr": 1e-323}], "names": ["task", "loss"]}
    write_state(tmp_path, tensors, facts)
    again, told = read_state(tmp_path)
    assert told == facts
    assert list(told["history"][0]) == ["epoch", "loss", "lr"]
    for name, tensor in tensors.items():
        assert again[name].dtype == tensor.dtype
        assert torch.equal(again[name], tensor)


def test_the_newest_and_the_one_before_are_kept(tmp_path):
    assert read_state(tmp_path) is None
    paths = written(tmp_path, 0, 1, 2)
    assert states(tmp_path) == paths[1:]
    assert [path.name[:6] for path in paths] == ["000000", "000001", "000002"]
    assert read_state(tmp_path)[1] == {"number": 2}


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:-1] + b"\1", lambda _: b""])
def test_a_damaged_state_is_told_and_the_one_before_it_is_used(tmp_path, caplog, damage):
    newest = written(tmp_path, 0, 1)[1]
    newest.write_bytes(damage(newest.read_bytes()))
    assert read_state(tmp_path)[1] == {"number": 0}
    assert [record.message for record in caplog.records] == [
        f"{newest}: its bytes do not match its name: not used, the state before it is"
    ]
    assert written(tmp_path, 2)[0] in states(tmp_path)
    assert read_state(tmp_path)[1] == {"number": 2}


def test_a_state_that_was_not_finished_is_removed(tmp_path):
    written(tmp_path, 0)
    (tmp_path / "000001.partial-77").write_bytes(b"half")
    assert read_state(tmp_path)[1] == {"number": 0}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_an_error_that_leaves_the_states_before(tmp_path):
    before = {path: path.read_bytes() for path in written(tmp_path, 0, 1)}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_state(tmp_path, {"weight": torch.zeros(100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
