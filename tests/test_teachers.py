"""A cached teacher says what the live one says, and a cache that was changed is refused."""

import pytest
import torch
from conftest import augmentation, write_data

from bkdsnn import catalogue
from bkdsnn.caching import write_cache
from bkdsnn.data.batches import Batches
from bkdsnn.errors import InputError
from bkdsnn.paths import digest, new_folder
from bkdsnn.teachers import CachedTeacher, LiveTeacher, NoTeacher

AUGMENTATION = augmentation(views=2, shift=1)
CPU = torch.device("cpu")


@pytest.fixture(params=[(1, 8, 8), (4, 2, 8, 8)], ids=["image", "frames"])
def world(request, tmp_path):
    """A data set, a live teacher, and batches of 8."""
    data = write_data(tmp_path / "data", shape=request.param)
    module = catalogue.load("network", "resnet")
    torch.manual_seed(0)
    settings = module.Settings(widths=[4, 8], blocks=[1, 1], stem_stride=1)
    network = module.Network(settings, input_shape=data.input_shape, classes=3)
    network.train()(torch.randn(16, *data.input_shape))  # running statistics that are not the initial ones
    return LiveTeacher(network, features=["last"]), Batches(data, batch_size=8, device=CPU)


def cache(folder, world, dtype: str) -> CachedTeacher:
    teacher, batches = world
    with new_folder(folder) as partial:
        write_cache(
            partial, teacher=teacher, batches=batches, augmentation=AUGMENTATION, dtype=dtype, teacher_digest="t"
        )
    return CachedTeacher(folder, data_digest=digest(batches.data.folder), views=2, device=CPU)


def test_cached_equals_live_to_the_byte_for_the_same_batches(world, tmp_path):
    live, batches = world
    cached = cache(tmp_path / "cache", world, "float32")
    seen = 0
    for view in range(AUGMENTATION.views):
        for batch in batches.ordered("train", view=view, augmentation=AUGMENTATION):
            ours, theirs = cached(batch), live(batch)
            assert torch.equal(ours.logits, theirs.logits)
            assert torch.equal(ours.features["last"], theirs.features["last"])
            assert set(ours.features) == {"last"}
            seen += len(batch.index)
    assert seen == 2 * len(batches.data.splits["train"])


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float16", 1e-2)])
def test_cached_is_close_to_live_for_shuffled_batches(world, tmp_path, dtype, tolerance):
    live, batches = world
    cached = cache(tmp_path / "cache", world, dtype)
    for epoch in range(3):
        for batch in batches.shuffled(epoch=epoch, seed=0, augmentation=AUGMENTATION):
            for ours, theirs in (
                (cached(batch).logits, live(batch).logits),
                (cached(batch).features["last"], live(batch).features["last"]),
            ):
                assert ours.dtype == torch.float32
                assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def test_another_view_is_another_output(world, tmp_path):
    cached, batches = cache(tmp_path / "cache", world, "float32"), world[1]
    first, second = (next(batches.ordered("train", view=v, augmentation=AUGMENTATION)) for v in (0, 1))
    assert not torch.equal(cached(first).logits, cached(second).logits)


def test_a_cache_that_does_not_match_its_manifest_is_refused(world, tmp_path):
    folder = tmp_path / "resnet-x"
    cache(folder, world, "float32")
    content = bytearray((folder / "last.npy").read_bytes())
    content[-1] ^= 1
    (folder / "last.npy").write_bytes(content)
    with pytest.raises(InputError) as told:
        CachedTeacher(folder, data_digest=digest(world[1].data.folder), views=2, device=CPU)
    assert "last.npy: its bytes do not match manifest.json" in str(told.value)
    assert "dvc repro --force --single-item cache_features@resnet-x" in str(told.value)


def test_a_cache_of_other_data_or_for_other_samples_is_refused(world, tmp_path):
    folder, (_, batches) = tmp_path / "cache", world
    cached = cache(folder, world, "float32")
    with pytest.raises(InputError, match="made of other data or views"):
        CachedTeacher(folder, data_digest="another", views=2, device=CPU)
    with pytest.raises(InputError, match="made of other data or views"):
        CachedTeacher(folder, data_digest=digest(batches.data.folder), views=3, device=CPU)
    with pytest.raises(InputError, match=r"sample \d+ is not in the teacher's cache"):
        cached(next(batches.plain("test")))


def test_a_feature_that_the_teacher_lacks_is_named(world):
    live, batches = world
    live.features = ["middle"]
    with pytest.raises(InputError, match="no feature 'middle': it has stage1, stage2, last"):
        live(next(batches.plain("test")))


def test_no_teacher_says_nothing_and_a_live_one_does_not_learn(world):
    live, batches = world
    batch = next(batches.plain("test"))
    assert NoTeacher()(batch) is None
    assert not live.network.training
    assert not live(batch).logits.requires_grad
