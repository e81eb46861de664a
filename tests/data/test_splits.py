"""Named splits: which recordings are the test."""

from pathlib import Path

import numpy as np
import pytest

from bkdsnn.data.splits import HeldOut, Protocol, by_protocol, check_disjoint, hold_out, without
from bkdsnn.errors import InputError

FILES = [Path(f"{name}/cifar10_{name}_{number}.aedat") for name in ("cat", "dog") for number in range(1000)]
LABELS = np.repeat([0, 1], 1000)


def split(protocol: str, seed: int = 0) -> dict[str, np.ndarray]:
    return by_protocol(FILES, LABELS, Protocol(protocol=protocol, validation=100, seed=seed))


def numbers(rows: np.ndarray) -> list[int]:
    return [int(FILES[row].stem.split("_")[-1]) for row in rows]


@pytest.mark.parametrize("protocol", ["first_900", "random_90", "tebn"])
def test_every_protocol_takes_a_tenth_of_each_class_for_the_test(protocol):
    parts = split(protocol)
    check_disjoint(parts)
    assert {name: np.bincount(LABELS[part]).tolist() for name, part in parts.items()} == {
        "train": [850, 850],
        "validation": [50, 50],
        "test": [100, 100],
    }


def test_first_900_goes_by_file_name_in_string_order():
    """Whatever order the files come in: 0, 1, 10, 100, 101, ... as SpikingJelly's folder data set sorts them."""
    expected = sorted(range(1000), key=lambda number: f"cifar10_cat_{number}.aedat")[900:]
    assert sorted(numbers(split("first_900")["test"][:100])) == sorted(expected)
    order = np.random.default_rng(0).permutation(2000)
    shuffled = by_protocol(
        [FILES[i] for i in order], LABELS[order], Protocol(protocol="first_900", validation=10, seed=0)
    )
    assert sorted(order[shuffled["test"]]) == sorted(split("first_900")["test"])


def test_first_900_equals_spikingjelly():
    from spikingjelly.datasets.utils import split_to_train_test_set

    class Listed(list):
        pass

    ordered = sorted(range(2000), key=lambda row: FILES[row].as_posix())
    theirs = split_to_train_test_set(0.9, Listed([(row, int(LABELS[row])) for row in ordered]), 2)[1]
    assert sorted(theirs[i][0] for i in range(len(theirs))) == sorted(split("first_900")["test"].tolist())


def test_tebn_tests_on_the_files_0_to_99():
    assert sorted(numbers(split("tebn")["test"])) == sorted([*range(100), *range(100)])


def test_random_90_depends_on_its_seed():
    assert not np.array_equal(split("random_90")["test"], split("random_90", seed=1)["test"])
    assert np.array_equal(split("random_90")["test"], split("random_90")["test"])


def test_tebn_needs_numbered_files():
    with pytest.raises(InputError, match=r"b\.bin: split.protocol tebn needs file names that end in a number"):
        by_protocol([Path("a_1.bin"), Path("b.bin")], np.array([0, 0]), Protocol(protocol="tebn", validation=1, seed=0))
    with pytest.raises(InputError, match="tebn leaves no training or no test sample of 2"):
        by_protocol(
            [Path("a_1.bin"), Path("b_2.bin")], np.array([0, 0]), Protocol(protocol="tebn", validation=1, seed=0)
        )


def test_a_published_split_gives_some_of_its_training_samples_away():
    labels = np.arange(100) % 5
    parts = hold_out(np.arange(80), np.arange(80, 100), labels, HeldOut(validation=10, seed=0))
    assert np.array_equal(parts["test"], np.arange(80, 100))
    assert np.bincount(labels[parts["validation"]]).tolist() == [2] * 5
    assert np.array_equal(np.sort(np.concatenate([parts["train"], parts["validation"]])), np.arange(80))
    line = "split.validation: cuts 80 samples into 76 and 4; each needs one of every class, so 5 to 75 samples"
    with pytest.raises(InputError, match=line):
        hold_out(np.arange(80), np.arange(80, 100), labels, HeldOut(validation=4, seed=0))
    labels[7] = 5
    with pytest.raises(InputError, match=r"split.validation: class 5 \(from 0\) has 1 sample to be cut, needed are 2"):
        hold_out(np.arange(80), np.arange(80, 100), labels, HeldOut(validation=10, seed=0))
    with pytest.raises(InputError, match="split.validation: 80, but there are 80 training samples"):
        hold_out(np.arange(80), np.arange(80, 100), labels, HeldOut(validation=80, seed=0))


def test_samples_that_are_left_out_are_in_no_split():
    parts = {"train": np.array([0, 1]), "validation": np.array([2]), "test": np.array([3, 4])}
    assert without(parts, np.array([1, 4]))["train"].tolist() == [0]
    with pytest.raises(InputError, match="no whole sample is left in the split 'validation'"):
        without(parts, np.array([2]))
    with pytest.raises(InputError, match="1 samples are in two splits"):
        check_disjoint({"train": np.array([0, 1]), "test": np.array([1])})
