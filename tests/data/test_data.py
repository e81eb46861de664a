"""Arrays, splits, views, batches."""

import os

import numpy as np
import pytest
import torch
from conftest import augmentation

from bkdsnn import plugins
from bkdsnn.data import arrays
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.data.splits import Split, check_trained, stratified_split
from bkdsnn.data.views import Views
from bkdsnn.errors import InputError
from bkdsnn.files import sha256, write_json

AUGMENTATION = augmentation(views=3, shift=2)
CPU = torch.device("cpu")


def batches(data: ArrayData, batch_size: int = 7) -> Batches:
    return Batches(data, batch_size=batch_size, device=CPU)


def test_digits_are_the_real_ones_and_split_by_class(tmp_path):
    source = plugins.load("source", "digits")
    split = Split(train=300, validation=200, seed=0, samples=None)
    prepared = source.prepare(source.Settings(size=16, split=split), raw=tmp_path, folder=tmp_path)
    inputs = np.load(tmp_path / "inputs.npy")
    assert inputs.shape == (1797, 1, 16, 16)
    assert inputs.dtype == np.uint8
    sizes = {name: len(part) for name, part in prepared.splits.items()}
    assert sizes == {"train": 300, "validation": 200, "test": 1297}
    every = np.concatenate(list(prepared.splits.values()))
    assert len(np.unique(every)) == 1797
    shares = np.bincount(prepared.labels[prepared.splits["train"]]) / 300
    assert np.abs(shares - np.bincount(prepared.labels) / 1797).max() < 1 / 300
    images, labels = source.load()
    assert np.array_equal(prepared.labels, labels)
    assert abs(inputs.mean() - np.minimum(images.astype(int) * 16, 255).mean()) < 1.0


def test_a_split_that_leaves_no_test_sample_is_refused():
    labels = np.arange(30) % 3
    with pytest.raises(InputError, match="train \\+ validation is 30, which leaves no test sample of 30"):
        stratified_split(labels, Split(train=20, validation=10, seed=0, samples=None))
    with pytest.raises(InputError, match="split.samples: 40, but the data set has 30"):
        stratified_split(labels, Split(train=20, validation=5, seed=0, samples=40))
    assert sum(map(len, stratified_split(labels, Split(train=9, validation=6, seed=0, samples=21)).values())) == 21


def test_an_epoch_holds_every_training_sample_once_in_its_own_order(data):
    def order(**when) -> list[int]:
        return [int(i) for batch in batches(data).shuffled(augmentation=AUGMENTATION, **when) for i in batch.index]

    first = order(epoch=0, seed=0)
    assert sorted(first) == data.splits["train"].tolist()
    assert first == order(epoch=0, seed=0)
    assert first != order(epoch=1, seed=0) != order(epoch=1, seed=1)


def test_the_first_batches_are_left_out_and_not_made(data, monkeypatch):
    batches = Batches(data, batch_size=16, device=torch.device("cpu"))
    order = {"epoch": 1, "seed": 3, "augmentation": augmentation(shift=1)}
    whole = list(batches.shuffled(**order))
    made, make = [], Views.make
    monkeypatch.setattr(Views, "make", lambda self, index, *, view: made.append(index) or make(self, index, view=view))
    rest = list(batches.shuffled(**order, start=2))
    assert len(whole) == 3
    assert len(rest) == len(made) == 1
    for ours, theirs in zip(rest[0], whole[2], strict=True):
        assert torch.equal(torch.as_tensor(ours), torch.as_tensor(theirs))
    assert list(batches.shuffled(**order, start=3)) == []


def test_epochs_go_round_the_views(data):
    views = [next(batches(data).shuffled(epoch=e, seed=0, augmentation=AUGMENTATION)).view for e in range(5)]
    assert views == [0, 1, 2, 0, 1]


def test_draws_do_not_depend_on_the_batch_size(data):
    def draws(size: int) -> dict[int, int]:
        stream = batches(data, size).shuffled(epoch=2, seed=5, augmentation=AUGMENTATION)
        return {int(i): int(d) for batch in stream for i, d in zip(batch.index, batch.draws, strict=True)}

    assert draws(7) == draws(11)


def test_inputs_are_normalised_and_labels_fit(data):
    (batch,) = batches(data).plain("test")
    index = data.splits["test"]
    expected = (torch.from_numpy(data.inputs[index]).float() / 255 - 0.5) / 0.25
    assert torch.allclose(batch.inputs, expected)
    assert batch.labels.tolist() == data.labels[index].tolist()


@pytest.mark.parametrize("name", ["labels", "train", "validation", "test", "inputs"])
def test_a_file_that_changed_since_it_was_prepared_is_named_though_its_time_did_not(data, name):
    path = data.folder / f"{name}.npy"
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    remedy = "run `dvc repro -f -s prepare_data@images`"
    with pytest.raises(InputError, match=rf"{name}\.npy: its bytes are not those that were prepared .*; {remedy}"):
        ArrayData(data.folder)
    path.unlink()
    with pytest.raises(InputError, match=rf"{name}\.npy: missing or damaged .*; {remedy}"):
        ArrayData(data.folder)


def test_inputs_are_hashed_once_in_a_process_and_labels_at_every_opening(data, monkeypatch):
    hashed = []
    monkeypatch.setattr(arrays, "sha256", lambda path: hashed.append(path.stem) or sha256(path))
    ArrayData(data.folder)
    ArrayData(data.folder)
    assert "inputs" not in hashed
    assert hashed.count("labels") == hashed.count("test") == 2


@pytest.mark.parametrize("change", [{"classes": None}, {"normalise": {"scale": 0}}, {"sha256": {}}, {"inputs": []}])
def test_a_manifest_that_was_written_by_others_is_one_line(data, change):
    write_json(data.folder / "manifest.json", data.manifest | change)
    with pytest.raises(InputError, match=r"manifest\.json: not as it was written \(.*prepare_data@images`$") as caught:
        ArrayData(data.folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["inputs.npy", "train.npy", "manifest.json"])
def test_a_damaged_data_folder_is_named(data, name):
    path = data.folder / name
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match=name):
        ArrayData(data.folder)


@pytest.mark.parametrize("side", [2**31, 2**40])
def test_inputs_that_no_file_can_hold_are_one_line(tmp_path, side):
    with pytest.raises(InputError, match=r"the disk is full: inputs .* bytes, .* are free"):
        arrays.create_inputs(tmp_path, (10, 3, side, side))


def test_one_class_alone_is_no_data_set():
    everything = np.arange(3)
    splits = {name: everything[row : row + 1] for row, name in enumerate(("train", "validation", "test"))}
    with pytest.raises(InputError, match="'cat' is the only class; wanted are two or more"):
        check_trained(["cat"], np.zeros(3, dtype=int), splits)
