"""Good encoders are adopted; lucky, empty, collapsed and harmful ones are not."""

import numpy as np
import pytest

from tasks.core.adoption import Embedded, begin_with, judge_adoption, probe_classes

NUM_TRAIN, NUM_VAL, WIDTH, NUM_CLASSES = 400, 300, 12, 4


def labels(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, 9])
    return rng.integers(NUM_CLASSES, size=NUM_TRAIN), rng.integers(NUM_CLASSES, size=NUM_VAL)


def embedded(seed: int, signal: float, weak: int = 0) -> Embedded:
    """Noise, of which one direction per class tells it, as clearly as `signal`."""
    rng = np.random.default_rng([seed, weak])
    parts = []
    for given in labels(seed):
        noise = rng.normal(size=(len(given), WIDTH))
        parts.append((noise + signal * np.eye(WIDTH)[given]).astype(np.float32))
    return Embedded(*parts)


def judged(encoder: Embedded, seed: int, is_collapsed: bool = False):
    fresh = [embedded(seed, 1.0, weak) for weak in (1, 2, 3)]
    return judge_adoption(encoder, fresh, *labels(seed), is_collapsed, seed)


@pytest.mark.parametrize("seed", range(5))
def test_a_better_encoder_is_adopted_and_by_how_much(seed):
    one = judged(embedded(seed, 3.0), seed)
    assert one.adopted
    assert 0 < one.low < one.gain < one.high
    assert one.gain == pytest.approx(one.score - one.fresh_score, abs=2e-6)


@pytest.mark.parametrize("signal", [0.0, 0.5])
def test_a_worse_encoder_is_refused(signal):
    one = judged(embedded(0, signal), 0)
    assert not one.adopted and one.high < 0


def test_an_equal_one_is_hardly_ever_adopted():
    """Adopted by chance in fewer than 2.5 % of cases, as it has to beat the best of three."""
    adopted = [judged(embedded(seed, 1.0), seed).adopted for seed in range(20)]
    assert sum(adopted) <= 1


def test_a_point_and_a_collapsed_one_are_refused():
    point = Embedded(*(np.full_like(each, 0.3) for each in embedded(0, 0.0)))
    assert not judged(point, 0).adopted
    assert not judged(embedded(0, 3.0), 0, is_collapsed=True).adopted


def test_the_best_of_the_fresh_nets_is_what_counts():
    ours = embedded(0, 2.0)
    fresh = [embedded(0, 1.0, 1), ours, embedded(0, 0.5, 2)]
    one = judge_adoption(ours, fresh, *labels(0), False, 0)
    assert (one.gain, one.low, one.high, one.adopted) == (0, 0, 0, False)
    assert one.score == one.fresh_score


def test_the_score_is_the_balanced_accuracy_of_the_probe():
    from sklearn.metrics import balanced_accuracy_score

    ours, (train_labels, val_labels) = embedded(0, 3.0), labels(0)
    said = probe_classes(ours.train_ND, train_labels, ours.val_MD)
    expected = balanced_accuracy_score(val_labels, said)
    assert judged(ours, 0).score == pytest.approx(expected, abs=1e-6)


def test_scale_and_place_of_features_say_nothing():
    ours, (train_labels, _) = embedded(0, 3.0), labels(0)
    moved = Embedded(*(each * np.logspace(-2, 2, WIDTH) + 7 for each in ours))
    first, second = (probe_classes(one.train_ND, train_labels, one.val_MD) for one in (ours, moved))
    assert (first == second).mean() > 0.99


def test_one_class_leaves_nothing_to_tell_apart():
    ours = embedded(0, 3.0)
    alike = (np.zeros(NUM_TRAIN, dtype=int), np.zeros(NUM_VAL, dtype=int))
    one = judge_adoption(ours, [ours], *alike, False, 0)
    assert (one.score, one.gain, one.adopted) == (1, 0, False)


def test_an_encoder_is_begun_with_if_it_was_adopted_or_at_any_price():
    good, bad = judged(embedded(0, 3.0), 0), judged(embedded(0, 0.0), 0)
    for adoption, expected in ((good, "pretrained"), (bad, "scratch"), (None, "scratch")):
        assert begin_with("pretrained", adoption) == expected
        assert begin_with("always", adoption) == "pretrained"
        assert begin_with("scratch", adoption) == "scratch"
