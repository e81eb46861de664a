"""Augmented views: what each operator does, and that a view depends on (augment_seed, view, index) alone."""

import random

import numpy as np
import pytest
import torch
from conftest import augmentation, write_data
from PIL import Image

from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.data.event_augment import snn_augmented
from bkdsnn.data.mixup import mix_of
from bkdsnn.data.views import Views, view_count, view_of
from bkdsnn.errors import InputError
from bkdsnn.params.recipe import Augmentation, Mixup
from bkdsnn.seeding import draw_keys

MIXUP = {"mixup_alpha": 0.5, "cutmix_alpha": None, "switch_probability": 0.0, "probability": 1.0, "off_epoch": 5}
CUTMIX = {"mixup_alpha": None, "cutmix_alpha": 1.0, "switch_probability": 1.0, "probability": 1.0, "off_epoch": None}
RAND = "rand-m9-n1-mstd0.4-inc1"
RULES = {
    "shift": {"shift": 2},
    "flip": {"flip": 0.5},
    "rand_augment": {"rand_augment": RAND},
    "erase": {"erase": 0.5},
    "mixup": {"mixup": MIXUP},
    "cutmix": {"mixup": CUTMIX},
    "all": {"shift": 2, "flip": 0.5, "rand_augment": RAND, "erase": 0.5, "mixup": MIXUP},
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("views") / "images", shape=(3, 16, 16))


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("views") / "frames", shape=(4, 2, 12, 12))


def views(data: ArrayData, **rules) -> Views:
    return Views(data, augmentation(**{"views": 3, **rules}))


def same(a, b) -> bool:
    return all((one is None and other is None) or torch.equal(one, other) for one, other in zip(a, b, strict=True))


@pytest.mark.parametrize("name", RULES)
def test_a_view_depends_on_augment_seed_view_and_index_alone(images, name):
    rules = RULES[name]
    index = images.splits["train"][:8]
    whole = views(images, **rules).make(index, view=1)
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    single = views(images, **rules).make(index[5:6], view=1)
    assert same(single, [None if part is None else part[5:6] for part in whole])
    assert not same(whole, views(images, **rules).make(index, view=2))
    assert not same(whole, views(images, augment_seed=1, **rules).make(index, view=1))


def test_timm_does_not_touch_the_global_generators(images):
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = random.random(), np.random.rand()  # noqa: NPY002
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    views(images, **RULES["all"]).make(images.splits["train"][:4], view=0)
    assert (random.random(), np.random.rand()) == expected  # noqa: NPY002


def test_a_shift_moves_pixels_and_fills_with_zeros(images):
    index = images.splits["train"][:2]
    for before, after in zip(images.inputs[index], views(images, shift=2).make(index, view=0).pixels, strict=True):
        found = []
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                moved = np.zeros_like(before)
                rows, columns = slice(max(dy, 0), 16 + min(dy, 0)), slice(max(dx, 0), 16 + min(dx, 0))
                old_rows, old_columns = slice(max(-dy, 0), 16 + min(-dy, 0)), slice(max(-dx, 0), 16 + min(-dx, 0))
                moved[:, rows, columns] = before[:, old_rows, old_columns]
                found.append(np.array_equal(moved, after))
        assert sum(found) == 1


def test_a_flip_mirrors_about_half_of_the_samples(images):
    index = images.splits["train"]
    made = views(images, flip=0.5).make(index, view=0).pixels.numpy()
    plain, mirrored = images.inputs[index], images.inputs[index][..., ::-1]
    kept = (made == plain).all(axis=(1, 2, 3))
    assert (made[~kept] == mirrored[~kept]).all()
    assert 10 < (~kept).sum() < 30  # of 40
    assert (views(images, flip=1.0).make(index, view=0).pixels.numpy() == mirrored).all()


def test_rand_augment_is_timms_with_the_sample_s_own_seed(images):
    from timm.data.auto_augment import rand_augment_transform

    index = images.splits["train"][:6]
    made = views(images, rand_augment=RAND).make(index, view=2).pixels
    hparams = {"translate_const": 7, "img_mean": (128, 128, 128), "interpolation": Image.Resampling.BICUBIC}
    operators = rand_augment_transform(RAND, hparams)
    keys = draw_keys("rand_augment", seed=0, epoch=2, index=torch.from_numpy(index)).tolist()
    for sample, key, found in zip(images.inputs[index], keys, made, strict=True):
        random.seed(key)
        np.random.seed(key & 0xFFFFFFFF)  # noqa: NPY002
        wanted = operators(Image.fromarray(sample.transpose(1, 2, 0)))
        assert np.array_equal(np.asarray(wanted).transpose(2, 0, 1), found)
    assert not np.array_equal(made, images.inputs[index])


def test_erasing_leaves_the_mean_colour_in_a_rectangle(images):
    index = images.splits["train"]
    batches = Batches(images, batch_size=len(index), device=torch.device("cpu"))
    plain = next(batches.ordered(view=0, augmentation=augmentation())).inputs
    erased = next(batches.ordered(view=0, augmentation=augmentation(erase=1.0))).inputs
    for before, after in zip(plain, erased, strict=True):
        changed = (after != before).any(0)
        assert (after[:, changed] == 0).all()  # the mean, normalised
        rows, columns = changed.any(1).nonzero(), changed.any(0).nonzero()
        area = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        assert area == changed.sum()
        assert 0.01 * 256 < area < 0.4 * 256


def test_mixup_adds_a_partner_with_the_weight_that_the_labels_have(images):
    index = images.splits["train"]
    batches = Batches(images, batch_size=len(index), device=torch.device("cpu"))
    plain = next(batches.ordered(view=0, augmentation=augmentation()))
    mixed = next(batches.ordered(view=0, augmentation=augmentation(mixup=MIXUP)))
    assert mixed.labels.shape == (40, 3)
    assert torch.allclose(mixed.labels.sum(1), torch.ones(40))
    made = Views(images, augmentation(mixup=MIXUP)).make(index, view=0)
    partners = [int((images.inputs[index] == other.numpy()).all(axis=(1, 2, 3)).argmax()) for other in made.partner]
    assert sorted(partners) == list(range(40)), "a permutation: every sample is a partner once"
    weight = made.weight.view(-1, 1, 1, 1)
    expected = weight * plain.inputs + (1 - weight) * plain.inputs[partners]
    assert torch.allclose(mixed.inputs, expected, atol=1e-5)
    one_hot = torch.eye(3)[plain.labels]
    assert torch.allclose(mixed.labels, weight[:, 0, 0] * one_hot + (1 - weight[:, 0, 0]) * one_hot[partners])
    assert 0.0 <= made.weight.min() < 0.2
    assert 0.8 < made.weight.max() <= 1.0


def test_cutmix_pastes_a_box_whose_area_the_labels_have(images):
    index = images.splits["train"]
    made = Views(images, augmentation(mixup=CUTMIX)).make(index, view=0)
    assert (made.weight == 1).all()
    for position, own, other, labels in zip(index, made.pixels, made.partner, made.labels, strict=True):
        before = torch.from_numpy(images.inputs[position].copy())
        pasted = (own != before).any(0)
        assert (own[:, pasted] == other[:, pasted]).all()
        if labels.max() < 1:  # the partner is of another class
            assert labels[images.labels[position]] == pytest.approx(1 - float(pasted.float().mean()), abs=0.02)


def test_shares_follow_the_beta_distribution():
    """Beta(0.5, 0.5): mean 1/2, variance 1/8; and half of the samples stay as they are where the probability is 1/2."""
    keys = draw_keys("mixup", seed=0, epoch=0, index=torch.arange(4000))
    weight = mix_of(Mixup(**MIXUP), keys=keys, height=8, width=8).pixels
    assert weight.mean() == pytest.approx(0.5, abs=0.025)
    assert weight.var() == pytest.approx(0.125, abs=0.01)
    half = mix_of(Mixup(**(MIXUP | {"probability": 0.5})), keys=keys, height=8, width=8)
    assert (half.labels == 1).mean() == pytest.approx(0.5, abs=0.04)


def test_mixup_is_off_from_its_off_epoch_on(images):
    rules = augmentation(views=3, shift=1, mixup=MIXUP)
    assert view_count(rules) == 6
    assert [view_of(epoch, rules=rules) for epoch in range(8)] == [0, 1, 2, 0, 1, 5, 3, 4]
    batches = Batches(images, batch_size=40, device=torch.device("cpu"))
    before, after = (next(batches.shuffled(epoch=epoch, seed=0, augmentation=rules)) for epoch in (4, 5))
    assert before.labels.dim() == 2
    assert after.labels.dim() == 1
    plain = next(batches.ordered(view=2, augmentation=augmentation(views=3, shift=1)))
    unmixed = next(batches.ordered(view=5, augmentation=rules))
    assert torch.equal(plain.inputs, unmixed.inputs)
    assert view_count(augmentation(views=3, mixup=MIXUP | {"off_epoch": None})) == 3


def test_snn_augment_changes_all_frames_of_a_recording_alike():
    random = np.random.default_rng(0)
    same_frames = np.repeat(random.integers(0, 256, (300, 1, 2, 12, 12)).astype(np.uint8), 4, axis=1)
    keys = draw_keys("snn_augment", seed=0, epoch=0, index=torch.arange(300))
    made = snn_augmented(same_frames, keys=keys)
    assert (made == made[:, :1]).all()
    assert made.dtype == np.uint8
    unchanged = (made == same_frames).all(axis=(1, 2, 3, 4)).mean()
    assert 1 / 6 < unchanged < 0.45  # one operator of six is the identity, and the smallest changes move no pixel
    values = [
        set(np.unique(sample)) <= {0, *np.unique(before)} for sample, before in zip(made, same_frames, strict=True)
    ]
    assert all(values), "nearest neighbour: counts stay counts"


def test_frames_are_flipped_and_mixed_too(frames):
    rules = augmentation(flip=1.0, mixup=MIXUP)
    batch = next(
        Batches(frames, batch_size=8, device=torch.device("cpu")).shuffled(epoch=0, seed=0, augmentation=rules)
    )
    assert batch.inputs.shape == (8, 4, 2, 12, 12)
    assert batch.labels.shape == (8, 3)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_any_number_of_workers_makes_the_same_bytes(images, monkeypatch, workers):
    rules = augmentation(views=2, flip=0.5, rand_augment=RAND, erase=0.5, mixup=MIXUP)

    def epochs(count: str) -> list[torch.Tensor]:
        monkeypatch.setenv("BKDSNN_WORKERS", count)
        batches = Batches(images, batch_size=7, device=torch.device("cpu"))
        next(batches.shuffled(epoch=0, seed=0, augmentation=rules))  # an epoch that is left half-way
        return [b.inputs for e in range(2) for b in batches.shuffled(epoch=e, seed=0, augmentation=rules)]

    assert all(torch.equal(a, b) for a, b in zip(epochs("0"), epochs(workers), strict=True))


def test_a_number_of_workers_that_is_none(images, monkeypatch):
    monkeypatch.setenv("BKDSNN_WORKERS", "many")
    with pytest.raises(InputError, match="BKDSNN_WORKERS: 'many' is no number of processes"):
        next(Batches(images, batch_size=7, device=torch.device("cpu")).plain("test"))


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (
            {"rand_augment": RAND},
            "augmentation.rand_augment: is for images of 3 channels, samples here are (4, 2, 12, 12)",
        ),
        (
            {"resized_crop": {"scale": (1, 1), "ratio": (1, 1), "interpolation": "bilinear"}},
            "images that stay in files",
        ),
    ],
)
def test_what_does_not_fit_frames(frames, rules, told):
    with pytest.raises(InputError) as caught:
        views(frames, **rules)
    assert told in str(caught.value)


def test_what_does_not_fit_images(images):
    with pytest.raises(InputError, match="augmentation.snn_augment: is for event frames"):
        views(images, snn_augment=True)
    with pytest.raises(InputError, match="timm does not know 'rand-n-1'|rand"):
        views(images, rand_augment="rand-m1.5")


@pytest.mark.parametrize("name", ["none", "shift", "crop-flip", "cifar", "imagenet-cnn", "imagenet-vit", "dvs-snn"])
def test_the_paper_s_augmentations_compose(composed, name):
    content = composed("table=tiny", f"augmentation@recipes.digits.augmentation={name}")["recipes"]["digits"]
    Augmentation(**content["augmentation"])
