"""Planted rules are found; the tree's rules say what the tree says; fidelity is measured on rows
that did not teach."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from tasks.core.rules import (
    Condition,
    Rule,
    describe_rule,
    first_holding,
    fit_list,
    fit_tree,
    judge_rules,
    measure_fidelity,
)

TREE = partial(fit_tree, depth=3, least_rows=5, seed=0)
LIST = partial(fit_list, num_rules=4, least_rows=10, seed=0)


@pytest.fixture
def features():
    return np.random.default_rng(0).random((400, 3))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 4))
def test_one_leaf_holds_and_says_what_the_tree_says(seed, depth):
    rng = np.random.default_rng(seed)
    features, said = rng.random((80, 3)).round(1), rng.integers(0, 3, 80)
    rules = fit_tree(features, said, depth, 3, seed)
    assert (np.stack([rule.holds(features) for rule in rules]).sum(axis=0) == 1).all()
    tree = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=3, random_state=seed)
    expected = tree.fit(features, said).predict(features)
    says = np.array([rule.says for rule in rules])
    assert (says[first_holding(rules, features)] == expected).all()


def test_a_list_finds_what_was_planted(features):
    said = np.where(features[:, 1] > 0.7, 2, np.where(features[:, 0] <= 0.3, 1, 0))
    rules = LIST(features, said)
    assert rules[-1].conditions == ()
    says = np.array([rule.says for rule in rules])
    assert (says[first_holding(rules, features)] == said).mean() > 0.98
    assert measure_fidelity(LIST, features, said, 0) > 0.95


def test_a_list_ends_where_one_class_is_said_of_all(features):
    assert LIST(features, np.full(400, 5)) == [Rule((), 5)]


def test_the_surest_rule_comes_first(features):
    rng = np.random.default_rng(1)
    said = np.where(features[:, 2] > 0.5, 1, rng.integers(0, 2, 400))
    (condition, *_), says = LIST(features, said)[0]
    assert (condition.feature, says) == (2, 1) and condition.low == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("fit", [TREE, LIST])
def test_rules_of_noise_are_no_better_than_the_class_said_most(features, fit):
    said = np.random.default_rng(1).integers(0, 4, 400)
    assert measure_fidelity(fit, features, said, 0) < 0.35


def test_rules_are_judged_on_the_rows_that_come_to_them():
    features = np.array([[0.1], [0.2], [0.8], [0.9]])
    rules = [Rule((Condition(0, 0.5, np.inf),), 1), Rule((Condition(0, 2.0, 3.0),), 1), Rule((), 0)]
    said, is_right = np.array([0, 1, 1, 1]), np.array([True, True, False, True])
    judged = judge_rules(rules, features, said, is_right)
    assert [one[1:] for one in judged] == [(2, 1.0, 0.5), (0, None, None), (2, 0.5, 1.0)]


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ((), "otherwise"),
        ((Condition(0, 0.25, np.inf),), "brightness > 0.25"),
        ((Condition(0, -np.inf, 1 / 3),), "brightness ≤ 0.3333"),
        ((Condition(0, 0.25, 0.5),), "0.25 < brightness ≤ 0.5"),
        ((Condition(1, 0.5, np.inf),), "group is a=b"),
        (
            (Condition(1, -np.inf, 0.5), Condition(0, 1.0, np.inf)),
            "group is not a=b and brightness > 1",
        ),
    ],
)
def test_rules_are_said_in_words(conditions, words):
    assert describe_rule(Rule(conditions, 0), ["brightness", "group=a=b"]) == words
