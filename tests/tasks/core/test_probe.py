"""The probe is scikit-learn's logistic regression where priors and weights are equal."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from tasks.core.losses import balanced_softmax_loss
from tasks.core.probe import LogisticProbe, RidgeProbe, fit_head, fit_probe, fit_ridge_head


@pytest.fixture(scope="module")
def embeddings():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=300)
    rows = rng.normal(size=(300, 5)) * [1, 20, 0.1, 3, 5] + 1.2 * np.eye(3, 5)[labels] + 7
    return torch.tensor(rows, dtype=torch.float32), torch.tensor(labels)


def standardised(rows: torch.Tensor) -> torch.Tensor:
    return (rows - rows.mean(dim=0)) / rows.std(dim=0)


def probabilities(head, rows: torch.Tensor) -> np.ndarray:
    return torch.softmax(rows @ head.weight_KD.T + head.bias_K, dim=1).numpy()


def test_predictions_equal_logistic_regression(embeddings):
    rows, labels = embeddings
    penalty = 0.02
    head = fit_head(rows, labels, torch.ones(300), torch.full((3,), 1 / 3), penalty, 500)
    # scikit-learn sums the losses and divides the penalty by C, where ours is a mean.
    reference = LogisticRegression(C=1 / (penalty * 300), max_iter=2000, tol=1e-8)
    reference.fit(standardised(rows).numpy(), labels.numpy())
    expected = reference.predict_proba(standardised(rows).numpy())
    found = probabilities(head, rows)
    assert np.abs(found - expected).max() < 2e-3
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.99


def test_weights_are_repeats(embeddings):
    rows, labels = embeddings
    priors = torch.tensor([0.5, 0.3, 0.2])
    weights = torch.ones(300)
    weights[:100] = 2
    # Balanced, so that the repeats change neither mean nor deviation.
    rows = torch.cat([rows[:100], rows[:100], rows[:100]])
    labels = torch.cat([labels[:100]] * 3)
    head = fit_head(rows, labels, weights, priors, 0.05, 150)
    plain = fit_head(rows, labels, torch.ones(300), priors, 0.05, 150)
    assert np.abs(probabilities(head, rows) - probabilities(plain, rows)).max() < 2e-3


def test_a_row_without_weight_teaches_nothing_but_the_scale(embeddings):
    rows, labels = embeddings
    weights = torch.ones(300)
    weights[200:] = 0
    wrong = labels.clone()
    wrong[200:] = (wrong[200:] + 1) % 3
    priors = torch.full((3,), 1 / 3)
    heads = [fit_head(rows, each, weights, priors, 0.05, 100) for each in (labels, wrong)]
    assert np.abs(probabilities(heads[0], rows) - probabilities(heads[1], rows)).max() < 1e-4


def test_the_fold_predicts_what_the_standardised_head_would(embeddings):
    """The folded head is optimal for the standardised problem: its gradient there vanishes."""
    rows, labels = embeddings
    priors, weights, penalty = torch.tensor([0.6, 0.3, 0.1]), torch.rand(300) + 0.1, 0.03
    head = fit_head(rows, labels, weights, priors, penalty, 500)
    mean, sd = rows.mean(dim=0), rows.std(dim=0)
    weight = (head.weight_KD * sd).double().requires_grad_()
    bias = (head.bias_K + head.weight_KD @ mean).double().requires_grad_()
    logits = ((rows - mean) / sd).double() @ weight.T + bias
    torch.testing.assert_close(
        logits.detach().float(), rows @ head.weight_KD.T + head.bias_K, atol=2e-3, rtol=1e-3
    )
    loss = balanced_softmax_loss(logits, labels, priors.double(), weights.double(), 0.0)
    (loss + penalty / 2 * weight.square().sum()).backward()
    assert weight.grad is not None and bias.grad is not None
    assert weight.grad.abs().max() < 1e-3 and bias.grad.abs().max() < 1e-3


def test_priors_are_taken_out_of_the_head(embeddings):
    """Learnt on rows that are mostly of one class, the head judges as if classes were equal."""
    rows, labels = embeddings
    keep = (labels == 0) | (torch.arange(300) % 8 == 0)
    rows, labels = rows[keep], labels[keep]
    counts = torch.bincount(labels, minlength=3)
    ones, penalty = torch.ones(len(rows)), 0.005
    balanced = fit_head(rows, labels, ones, counts / counts.sum(), penalty, 150)
    plain = fit_head(rows, labels, ones, torch.full((3,), 1 / 3), penalty, 150)
    shift = balanced.bias_K - plain.bias_K
    expected = -(counts / counts.sum()).log()
    assert torch.allclose(shift - shift.mean(), expected - expected.mean(), atol=0.05)


def test_a_constant_feature_is_not_blown_up():
    rows = torch.cat([torch.randn(50, 2), torch.full((50, 1), 3.0)], dim=1)
    labels = (rows[:, 0] > 0).long()
    head = fit_head(rows, labels, torch.ones(50), torch.ones(2) / 2, 0.01, 200)
    assert torch.isfinite(head.weight_KD).all() and torch.isfinite(head.bias_K).all()
    assert head.weight_KD[:, 2].abs().max() < 1e-3


def test_no_steps_judge_nothing(embeddings):
    rows, labels = embeddings
    head = fit_head(rows, labels, torch.ones(300), torch.ones(3) / 3, 0.01, 1)
    longer = fit_head(rows, labels, torch.ones(300), torch.ones(3) / 3, 0.01, 300)
    assert not torch.allclose(head.weight_KD, longer.weight_KD)


@pytest.mark.parametrize("penalty", [1e-4, 0.1, 3.0])
def test_the_ridge_is_that_of_scikit_learn_but_for_one_factor(embeddings, penalty):
    rows, labels = embeddings
    weights, priors = torch.rand(300, generator=torch.manual_seed(1)) + 0.1, PRIORS
    head = fit_ridge_head(rows, labels, weights, priors, penalty)
    shares = shares_of(labels, weights)
    reference = Ridge(alpha=penalty).fit(standardised(rows), np.eye(3)[labels], shares)
    expected = reference.predict(standardised(rows))
    found = (rows @ head.weight_KD.T + head.bias_K).numpy()
    factor = (found * expected).sum() / (expected**2).sum()
    assert factor > 0
    assert np.abs(found - factor * expected).max() < 1e-3 * np.abs(found).max()


PRIORS = torch.tensor([0.5, 0.3, 0.2])


def shares_of(labels: torch.Tensor, weights: torch.Tensor) -> np.ndarray:
    shares = (weights / PRIORS[labels]).double().numpy()
    return shares / shares.sum()


def test_the_factor_of_the_ridge_is_the_best_for_rows_it_has_not_seen(embeddings):
    """Leave-one-out by fitting without each row in turn, at the same standardisation."""
    rows, labels = embeddings
    rows, labels = rows[:60].double(), labels[:60]
    weights, penalty = torch.linspace(0.2, 1, 60), 0.05
    shares, features = shares_of(labels, weights), standardised(rows).numpy()
    unseen = np.zeros((60, 3))
    for row in range(60):
        others = np.arange(60) != row
        reference = Ridge(alpha=penalty).fit(
            features[others], np.eye(3)[labels][others], shares[others]
        )
        unseen[row] = reference.predict(features[[row]])[0]

    def loss(factor: float) -> float:
        logits = factor * unseen
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return -(shares * log_p[np.arange(60), labels]).sum()

    head = fit_ridge_head(rows.float(), labels, weights, PRIORS, penalty)
    whole = Ridge(alpha=penalty).fit(features, np.eye(3)[labels], shares).predict(features)
    found = (rows.float() @ head.weight_KD.T + head.bias_K).numpy()
    factor = (found * whole).sum() / (whole**2).sum()
    best = min(loss(each) for each in np.geomspace(0.1, 100, 3000))
    assert loss(factor) == pytest.approx(best, abs=1e-4)


def test_the_ridge_is_nearly_as_good_as_the_logistic_probe(embeddings):
    rows, labels = embeddings
    ones, priors = torch.ones(300), torch.bincount(labels) / 300
    heads = [
        fit_probe(probe, rows, labels, ones, priors)
        for probe in (
            LogisticProbe(name="logistic", penalty=0.02, steps=300),
            RidgeProbe(name="ridge", penalty=0.02),
        )
    ]
    right = [(probabilities(head, rows).argmax(axis=1) == labels.numpy()).mean() for head in heads]
    assert right[1] > right[0] - 0.03 and right[0] > 0.5
    surprise = [-np.log(probabilities(h, rows)[np.arange(300), labels]).mean() for h in heads]
    assert surprise[1] < surprise[0] + 0.1


def test_the_ridge_bears_constant_features_and_few_rows():
    rows = torch.cat([torch.randn(6, 9, generator=torch.manual_seed(0)), torch.ones(6, 1)], dim=1)
    head = fit_ridge_head(rows, torch.arange(6) % 3, torch.ones(6), torch.ones(3) / 3, 1e-3)
    assert torch.isfinite(head.weight_KD).all() and torch.isfinite(head.bias_K).all()
    assert head.weight_KD[:, -1].abs().max() < 1e-3
