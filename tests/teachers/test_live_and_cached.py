"""A cached teacher says what the live one says, and a cache that was changed is refused."""

import pytest
import torch
from conftest import augmentation, write_data

from bkdsnn import plugins
from bkdsnn.data.batches import Batches
from bkdsnn.data.views import view_count
from bkdsnn.errors import InputError
from bkdsnn.files import digest, sha256
from bkdsnn.teachers import cache_plan
from bkdsnn.teachers.cache_writer import write_cache
from bkdsnn.teachers.cached import CachedTeacher
from bkdsnn.teachers.live import LiveTeacher, NoTeacher

AUGMENTATION = augmentation(views=2, shift=1)
CPU = torch.device("cpu")


MIXED = augmentation(
    views=2,
    shift=1,
    mixup={"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "switch_probability": 0.5, "probability": 0.9, "off_epoch": 2},
)


@pytest.fixture(params=[(1, 8, 8), (4, 2, 8, 8)], ids=["image", "frames"])
def world(request, tmp_path, monkeypatch):
    """A data set, a live teacher, and batches of 8."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(cache_plan, "SHARD_SAMPLES", 20)
    data = write_data(tmp_path / "data", shape=request.param)
    module = plugins.load("network", "resnet")
    torch.manual_seed(0)
    settings = module.Settings(widths=[4, 8], blocks=[1, 1], stem_stride=1)
    network = module.Network(settings, input_shape=data.input_shape, classes=3)
    network.train()(torch.randn(16, *data.input_shape))  # running statistics that are not the initial ones
    return LiveTeacher(network, features=["last"]), Batches(data, batch_size=8, device=CPU)


def cache(folder, world, dtype: str, *, rules=AUGMENTATION) -> CachedTeacher:
    teacher, batches = world
    write_cache(
        folder,
        teacher=teacher,
        batches=batches,
        augmentation=rules,
        dtype=dtype,
        teacher_digest="t",
        code={},
        rank=0,
        world=1,
    )
    return CachedTeacher(folder, data_digest=digest(batches.data.folder), views=view_count(rules), device=CPU)


@pytest.mark.parametrize(("rules", "views"), [(AUGMENTATION, 2), (MIXED, 4)], ids=["plain", "mixed"])
def test_cached_equals_live_to_the_byte_for_the_same_batches(world, tmp_path, rules, views):
    live, batches = world
    cached = cache(tmp_path / "cache", world, "float32", rules=rules)
    seen = 0
    for view in range(views):
        for batch in batches.ordered(view=view, augmentation=rules):
            ours, theirs = cached(batch), live(batch)
            assert torch.equal(ours.logits, theirs.logits)
            assert torch.equal(ours.features["last"], theirs.features["last"])
            assert set(ours.features) == {"last"}
            seen += len(batch.index)
    assert seen == views * len(batches.data.splits["train"])


def test_a_teacher_in_half_precision_says_about_the_same_in_float32_cached_as_live(world, tmp_path):
    precise, batches = world
    live = LiveTeacher(precise.network, features=["last"], precision="bf16-mixed")
    cached = cache(tmp_path / "cache", (live, batches), "float32")
    batch = next(batches.ordered(view=0, augmentation=AUGMENTATION))
    said, wanted = live(batch), precise(batch)
    for ours, theirs in ((said.logits, wanted.logits), (said.features["last"], wanted.features["last"])):
        assert ours.dtype == torch.float32
        assert not ours.is_inference()
        assert 0 < (ours - theirs).abs().max() < 2e-2 * theirs.abs().max()
    assert torch.equal(cached(batch).logits, said.logits)


@pytest.mark.parametrize("rules", [AUGMENTATION, MIXED], ids=["plain", "mixed"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float16", 1e-2), ("bfloat16", 1e-2)])
def test_cached_is_close_to_live_for_shuffled_batches(world, tmp_path, dtype, tolerance, rules):
    live, batches = world
    cached = cache(tmp_path / "cache", world, dtype, rules=rules)
    for epoch in range(4):  # with mixup: two epochs of it, two without
        for batch in batches.shuffled(epoch=epoch, seed=0, augmentation=rules):
            for ours, theirs in (
                (cached(batch).logits, live(batch).logits),
                (cached(batch).features["last"], live(batch).features["last"]),
            ):
                assert ours.dtype == torch.float32
                assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def test_soft_labels_are_the_batch_s_own_with_a_cache_as_without(world, tmp_path):
    """A label and the output beside it are functions of (view, sample): whatever the order, they belong together."""
    live, batches = world
    cached = cache(tmp_path / "cache", world, "float32", rules=MIXED)
    stored: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}
    for view in range(2):
        for batch in batches.ordered(view=view, augmentation=MIXED):
            output = live(batch).logits.mean(0)
            stored |= {(view, int(i)): row for i, *row in zip(batch.index, batch.labels, output, strict=True)}
    soft = 0
    for epoch in range(2):
        for batch in batches.shuffled(epoch=epoch, seed=1, augmentation=MIXED):
            before = batch.labels.clone()
            output = cached(batch).logits.mean(0)
            assert torch.equal(batch.labels, before)
            for place, sample in enumerate(batch.index):
                label, logits = stored[batch.view, int(sample)]
                assert torch.equal(batch.labels[place], label)
                assert torch.equal(output[place], logits)
                soft += int(label.max() < 1)
    assert soft > 20


def test_another_view_is_another_output(world, tmp_path):
    cached, batches = cache(tmp_path / "cache", world, "float32"), world[1]
    first, second = (next(batches.ordered(view=v, augmentation=AUGMENTATION)) for v in (0, 1))
    assert not torch.equal(cached(first).logits, cached(second).logits)


def test_a_cache_that_does_not_match_its_manifest_is_refused_where_it_is_read(world, tmp_path):
    folder, batches = tmp_path / "resnet-x", world[1]
    cache(folder, world, "float32")
    path = folder / "view-001-shard-00002.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    cached = CachedTeacher(folder, data_digest=digest(batches.data.folder), views=2, device=CPU)
    cached(next(batches.ordered(0, 40, view=1, augmentation=AUGMENTATION)))
    with pytest.raises(InputError) as told:
        cached(next(batches.ordered(32, 40, view=1, augmentation=AUGMENTATION)))
    assert str(told.value) == (
        f"{path}: its bytes do not match manifest.json; "
        "rebuild it with `dvc repro --force --single-item cache_features@resnet-x`"
    )


@pytest.mark.parametrize("name", ["index.npy", "view-001-shard-00002.safetensors"])
def test_a_missing_or_truncated_file_is_refused_at_once(world, tmp_path, name):
    folder, found = tmp_path / "resnet-x", digest(world[1].data.folder)
    cache(folder, world, "float32")
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=f"{name}: missing or cut off; rebuild it with `dvc repro --force"):
        CachedTeacher(folder, data_digest=found, views=2, device=CPU)
    path.unlink()
    with pytest.raises(InputError, match=f"{name}: missing or cut off; rebuild it with `dvc repro --force"):
        CachedTeacher(folder, data_digest=found, views=2, device=CPU)


def test_a_shard_is_hashed_once_and_then_mapped(world, tmp_path, monkeypatch):
    cached, batches = cache(tmp_path / "cache", world, "float32"), world[1]
    hashed = []
    monkeypatch.setattr("bkdsnn.teachers.cached.sha256", lambda path: hashed.append(path.name) or sha256(path))
    for _ in range(2):
        for batch in batches.shuffled(epoch=0, seed=0, augmentation=AUGMENTATION):
            cached(batch)
    assert sorted(hashed) == [f"view-000-shard-0000{n}.safetensors" for n in range(3)]


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
