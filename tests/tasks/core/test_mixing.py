"""Mixed batches against plain loops, and their loss against that of both labels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tasks.core.losses import balanced_softmax_loss
from tasks.core.mixing import Mixed, Mixing, cutmix, draw_box, mix_batch, mix_targets, mixup

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 6, 5, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 3, 1, 2])
WEIGHTS = np.array([1, 0.5, 1, 0.05, 1, 0, 1], dtype=np.float32)


def mixed(
    mixup_alpha: float, cutmix_alpha: float, seed: int = 0, epoch: int = 1, batch: int = 2
) -> Mixed:
    mixing = Mixing(mixup_alpha=mixup_alpha, cutmix_alpha=cutmix_alpha)
    return mix_batch(mixing, IMAGES, LABELS, WEIGHTS, 4, seed, epoch, batch)


def reference_mixup(images, partner, kept):
    out = np.zeros_like(images)
    for place in np.ndindex(*images.shape):
        other = images[(partner[place[0]], *place[1:])]
        out[place] = round(kept * float(images[place]) + (1 - kept) * float(other))
    return out


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.71, 1.0])
def test_mixup_is_the_sum_of_both_by_their_shares(kept):
    partner = np.array([3, 0, 1, 2, 6, 5, 4])
    assert (mixup(IMAGES, partner, kept) == reference_mixup(IMAGES, partner, kept)).all()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    kept=st.floats(0, 1),
)
def test_a_box_lies_inside_and_is_never_larger_than_asked(seed, height, width, kept):
    box = draw_box(height, width, kept, np.random.default_rng(seed))
    assert 0 <= box.top <= box.bottom <= height and 0 <= box.left <= box.right <= width
    area = (box.bottom - box.top) * (box.right - box.left)
    assert area <= (1 - kept) * height * width + 1e-9


def test_boxes_have_the_asked_share_where_no_border_cuts_them():
    areas = [
        (box.bottom - box.top) * (box.right - box.left)
        for box in (draw_box(100, 100, 0.75, np.random.default_rng(seed)) for seed in range(200))
    ]
    assert max(areas) == 50 * 50
    # Around a point within a quarter of a border, an eighth is cut off a side on average.
    assert np.mean(areas) == pytest.approx(0.875**2 * 2500, rel=0.08)


def test_cutmix_takes_every_pixel_in_the_box_and_no_other():
    partner = np.array([3, 0, 1, 2, 6, 5, 4])
    box = draw_box(6, 5, 0.5, np.random.default_rng(1))
    found = cutmix(IMAGES, partner, box)
    for n, y, x in np.ndindex(*IMAGES.shape[:3]):
        inside = box.top <= y < box.bottom and box.left <= x < box.right
        assert (found[n, y, x] == IMAGES[partner[n] if inside else n, y, x]).all()


def test_targets_of_cutmix_are_the_areas_that_are_seen():
    # Each image is of one colour, which tells where a pixel comes from.
    images = np.broadcast_to(np.arange(4, dtype=np.uint8)[:, None, None, None], (4, 9, 9, 1))
    for batch in range(30):
        done = mix_batch(
            Mixing(mixup_alpha=0.0, cutmix_alpha=1.0),
            images,
            np.arange(4),
            np.ones(4),
            4,
            0,
            0,
            batch,
        )
        seen = [[(image == colour).mean() for colour in range(4)] for image in done.images_NHWC]
        np.testing.assert_allclose(done.targets_NK, seen, atol=1e-6)


def test_the_loss_is_that_of_both_labels_by_share_and_weight():
    torch.manual_seed(0)
    logits, priors = torch.randn(7, 4), torch.tensor([0.4, 0.3, 0.2, 0.1])
    partner, kept, smoothing = np.array([3, 0, 1, 2, 6, 5, 4]), 0.3, 0.1
    targets, weights = mix_targets(LABELS, WEIGHTS, partner, kept, 4)
    found = balanced_softmax_loss(
        logits, torch.from_numpy(targets), priors, torch.from_numpy(weights), smoothing
    )
    total = mass = 0.0
    for row in range(7):
        for source, share in ((row, kept), (partner[row], 1 - kept)):
            label, weight = torch.tensor([LABELS[source]]), share * float(WEIGHTS[source])
            shifted = (logits[row] + priors.log())[None]
            total += weight * F.cross_entropy(shifted, label, label_smoothing=smoothing).item()
            mass += weight
    assert found.item() == pytest.approx(total / mass, rel=1e-5)


def test_rows_without_weight_keep_finite_targets():
    targets, weights = mix_targets(LABELS, np.zeros(7), np.arange(7)[::-1], 0.5, 4)
    assert (weights == 0).all() and np.isfinite(targets).all()
    np.testing.assert_allclose(targets.sum(axis=1), 1)


@pytest.mark.parametrize(("mixup", "cutmix"), [(1.0, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_draws_hang_on_seed_epoch_and_batch_alone(mixup, cutmix):
    first = mixed(mixup, cutmix)
    np.random.seed(3)
    for one, other in zip(first, mixed(mixup, cutmix), strict=True):
        assert one.tobytes() == other.tobytes()
    for seed, epoch, batch in ((1, 1, 2), (0, 2, 2), (0, 1, 3)):
        other = mixed(mixup, cutmix, seed, epoch, batch)
        assert other.images_NHWC.tobytes() != first.images_NHWC.tobytes()
    assert first.images_NHWC.dtype == np.uint8
    assert first.targets_NK.dtype == first.weights_N.dtype == np.float32


def test_both_on_draws_each_about_half_of_the_time():
    faded = [
        (mixed(50.0, 50.0, batch=batch).images_NHWC != IMAGES).mean() > 0.7 for batch in range(80)
    ]
    assert 25 < sum(faded) < 55


def test_large_alphas_mix_by_halves_and_small_ones_hardly():
    def shares(alpha):
        return [mixed(alpha, 0.0, batch=batch).weights_N[0] for batch in range(200)]

    # Image 0 weighs 1; its partner less, mostly: what it weighs tells how far it was mixed.
    assert np.std(shares(0.05)) > np.std(shares(100.0))


def test_off_is_off():
    assert not Mixing(mixup_alpha=0.0, cutmix_alpha=0.0).is_on
    assert Mixing(mixup_alpha=0.1, cutmix_alpha=0.0).is_on
    assert Mixing(mixup_alpha=0.0, cutmix_alpha=0.1).is_on
