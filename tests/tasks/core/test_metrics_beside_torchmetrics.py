"""Every number that torchmetrics has too equals it, as far as its 32 bits go."""

import numpy as np
import pytest
import torch

from tasks.core.metrics import measure_predictions

pytestmark = pytest.mark.needs("torchmetrics")
NUM_BINS = 15


def torchmetrics_says(labels_N: np.ndarray, probabilities_NK: np.ndarray) -> dict[str, float]:
    from torchmetrics.functional import classification as theirs  # pyright: ignore[reportMissingImports]

    given, said = torch.from_numpy(labels_N), torch.from_numpy(probabilities_NK)
    num = probabilities_NK.shape[1]
    averaged = {
        f"{average}_{name}": function(said, given, num_classes=num, average=average)
        for average in ("macro", "weighted")
        for name, function in (
            ("precision", theirs.multiclass_precision),
            ("recall", theirs.multiclass_recall),
            ("f1", theirs.multiclass_f1_score),
        )
    }
    found = averaged | {
        "accuracy": theirs.multiclass_accuracy(said, given, num_classes=num, average="micro"),
        "top_2_accuracy": theirs.multiclass_accuracy(
            said, given, num_classes=num, average="micro", top_k=2
        ),
        "cohen_kappa": theirs.multiclass_cohen_kappa(said, given, num_classes=num),
        "matthews_correlation": theirs.multiclass_matthews_corrcoef(said, given, num_classes=num),
        "roc_auc": theirs.multiclass_auroc(said, given, num_classes=num),
        "average_precision": theirs.multiclass_average_precision(said, given, num_classes=num),
        "calibration_error": theirs.multiclass_calibration_error(
            said, given, num_classes=num, n_bins=NUM_BINS
        ),
    }
    return {name: float(value) for name, value in found.items()}


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Every class has rows: of others torchmetrics says 0 where ours leaves them out."""
    rng = np.random.default_rng(seed)
    num_classes, num_rows = int(rng.integers(3, 8)), int(rng.integers(50, 300))
    others_N = rng.integers(num_classes, size=num_rows - num_classes)
    labels_N = np.concatenate([np.arange(num_classes), others_N])
    logits_NK = rng.normal(size=(num_rows, num_classes)) * 2
    logits_NK[np.arange(num_rows), labels_N] += rng.uniform(0, 3)
    shares_NK = np.exp(logits_NK)
    return labels_N, shares_NK / shares_NK.sum(axis=1, keepdims=True)


def test_all_that_torchmetrics_has_is_equal():
    for seed in range(20):
        labels_N, probabilities_NK = drawn(seed)
        ours = measure_predictions(labels_N, probabilities_NK, NUM_BINS)
        for name, value in torchmetrics_says(labels_N, probabilities_NK).items():
            assert ours[name] == pytest.approx(value, abs=2e-6), (seed, name)
