"""Rules that a person can read, learnt from what a net says: a shallow tree, and a list to be read
from the top.

N images, F features
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import KFold
from sklearn.tree import DecisionTreeClassifier

_NUM_FOLDS = 5
_NORMAL_95 = 1.96


class Condition(NamedTuple):
    """That a feature lies above `low` and at most at `high`; infinite where there is no bound."""

    feature: int
    low: float
    high: float

    def holds(self, features_NF: np.ndarray) -> np.ndarray:
        values_N = features_NF[:, self.feature]
        return (values_N > self.low) & (values_N <= self.high)


class Rule(NamedTuple):
    """Where all conditions hold (without any: everywhere), the net says `says`."""

    conditions: tuple[Condition, ...]
    says: int

    def holds(self, features_NF: np.ndarray) -> np.ndarray:
        holding_N = np.ones(len(features_NF), dtype=bool)
        for condition in self.conditions:
            holding_N &= condition.holds(features_NF)
        return holding_N


def describe_rule(rule: Rule, names: Sequence[str]) -> str:
    """`0.1 < brightness ≤ 0.4 and group is 7`; a column `group=7` holds 1 or 0."""
    return " and ".join(_in_words(condition, names) for condition in rule.conditions) or "otherwise"


def _in_words(condition: Condition, names: Sequence[str]) -> str:
    name, low, high = names[condition.feature], condition.low, condition.high
    if "=" in name:
        column, value = name.split("=", 1)
        return f"{column} is {value}" if low > -np.inf else f"{column} is not {value}"
    if high == np.inf:
        return f"{name} > {low:.4g}"
    return f"{name} ≤ {high:.4g}" if low == -np.inf else f"{low:.4g} < {name} ≤ {high:.4g}"


class Judged(NamedTuple):
    """A rule on the rows that come to it. `fidelity`: how often the net says what the rule says;
    `accuracy`: how often the net is right there. Both None where no row comes."""

    rule: Rule
    num_rows: int
    fidelity: float | None
    accuracy: float | None


Fit = Callable[[np.ndarray, np.ndarray], list[Rule]]


def fit_tree(
    features_NF: np.ndarray, said_N: np.ndarray, depth: int, least_rows: int, seed: int
) -> list[Rule]:
    """The leaves of a decision tree (CART, Breiman et al., 1984): of any row one rule holds."""
    tree = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=least_rows, random_state=seed)
    grown = tree.fit(features_NF, said_N).tree_
    rules: list[Rule] = []

    def descend(node: int, bounds: dict[int, tuple[float, float]]) -> None:
        if grown.children_left[node] < 0:
            conditions = tuple(Condition(name, *ends) for name, ends in bounds.items())
            rules.append(Rule(conditions, int(tree.classes_[grown.value[node][0].argmax()])))
            return
        feature, cut = int(grown.feature[node]), float(grown.threshold[node])
        low, high = bounds.get(feature, (-np.inf, np.inf))
        descend(grown.children_left[node], bounds | {feature: (low, cut)})
        descend(grown.children_right[node], bounds | {feature: (cut, high)})

    descend(0, {})
    return rules


def fit_list(
    features_NF: np.ndarray, said_N: np.ndarray, num_rules: int, least_rows: int, seed: int
) -> list[Rule]:
    """Rules of at most two features each, the surest first; the last holds everywhere.

    Each is the leaf of a small tree that is surest (by the lower end of Wilson's interval) of those
    rows that no rule before it took; they end where none is surer than saying one class of all.
    """
    rules: list[Rule] = []
    features_MF, said_M = features_NF, said_N
    while len(rules) < num_rules and len(said_M) >= 2 * least_rows:
        found = fit_tree(features_MF, said_M, 2, least_rows, seed)
        best = max(found, key=lambda rule: _sureness(rule, features_MF, said_M))
        if not best.conditions:
            break
        rules.append(best)
        rest_M = ~best.holds(features_MF)
        features_MF, said_M = features_MF[rest_M], said_M[rest_M]
    values, counts = np.unique(said_M if len(said_M) else said_N, return_counts=True)
    return [*rules, Rule((), int(values[counts.argmax()]))]


def _sureness(rule: Rule, features_NF: np.ndarray, said_N: np.ndarray) -> float:
    """The lower end of the 95 % interval (Wilson, 1927) of how often the rule is right."""
    hits_M = said_N[rule.holds(features_NF)] == rule.says
    count, share, z = len(hits_M), hits_M.mean(), _NORMAL_95
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return float((share + z**2 / (2 * count) - half) / (1 + z**2 / count))


def first_holding(rules: list[Rule], features_NF: np.ndarray) -> np.ndarray:
    """The number of the rule that a row comes to: the first that holds, int (N)."""
    return np.stack([rule.holds(features_NF) for rule in rules]).argmax(axis=0)


def judge_rules(
    rules: list[Rule], features_NF: np.ndarray, said_N: np.ndarray, is_right_N: np.ndarray
) -> list[Judged]:
    """`said_N`: what the net says of these rows; `is_right_N`: whether that is so."""
    number_N = first_holding(rules, features_NF)
    judged = []
    for number, rule in enumerate(rules):
        mine = number_N == number
        shares = [said_N[mine] == rule.says, is_right_N[mine]]
        fidelity, accuracy = (float(one.mean()) if mine.any() else None for one in shares)
        judged.append(Judged(rule, int(mine.sum()), fidelity, accuracy))
    return judged


def measure_fidelity(fit: Fit, features_NF: np.ndarray, said_N: np.ndarray, seed: int) -> float:
    """How often rules say what the net says, of rows that they were not learnt from."""
    agreed = []
    for taught, held in KFold(_NUM_FOLDS, shuffle=True, random_state=seed).split(features_NF):
        rules = fit(features_NF[taught], said_N[taught])
        says_R = np.array([rule.says for rule in rules])
        agreed.append(says_R[first_holding(rules, features_NF[held])] == said_N[held])
    return float(np.concatenate(agreed).mean())
