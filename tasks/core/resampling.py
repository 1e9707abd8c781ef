"""Samplers of imbalanced-learn by name: which rows are seen how often, and what is made up.

N rows, S made-up embeddings, D width of the embedding
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from imblearn import combine, over_sampling, under_sampling
from imblearn.base import BaseSampler
from imblearn.over_sampling import SMOTE
from imblearn.under_sampling import EditedNearestNeighbours, TomekLinks
from imblearn.utils import check_sampling_strategy
from sklearn.base import clone

from tasks.core.errors import ParamsError

Strategy = str | float | Sequence[str] | Mapping[str, int]

KINDS: dict[str, Any] = {
    name: getattr(module, name)
    for module in (over_sampling, under_sampling, combine)
    for name in module.__all__
}
# Set by name below, so that arguments such as `smote__k_neighbors` find something to be set on.
_PARTS = {
    "smote": lambda: SMOTE(),
    "enn": lambda: EditedNearestNeighbours(sampling_strategy="all"),
    "tomek": lambda: TomekLinks(sampling_strategy="all"),
}
_COMBINED = ("SMOTEENN", "SMOTETomek")
_STRATEGIES = ("sampling_strategy", "smote__sampling_strategy")
_NEIGHBOURS = ("k_neighbors", "smote__k_neighbors")


class Resampled(NamedTuple):
    """`chosen_M`: positions among the N rows, ascending, with repeats. `num_neighbours`: of its own
    class that a made-up embedding lies between, None where there is no such thing."""

    chosen_M: np.ndarray
    made_up_SD: np.ndarray
    made_up_labels_S: np.ndarray
    num_neighbours: int | None


def check_sampler(name: str, arguments: Mapping[str, Any]) -> None:
    """Raises ValueError where `build_sampler` does, and for arguments of the sampler `none`."""
    if name != "none":
        build_sampler(name, arguments, seed=0)
    elif arguments:
        raise ValueError(f"no sampler, no arguments (given: {dict(arguments)})")


def build_sampler(name: str, arguments: Mapping[str, Any], seed: int) -> Any:
    """Raises ValueError for a name or an argument that imbalanced-learn does not know, and for a
    sampler whose rows cannot be traced back."""
    if name not in KINDS:
        raise ValueError(f"imbalanced-learn has no sampler {name!r}; it has {', '.join(KINDS)}")
    for key in arguments:
        if key.endswith(("sampling_strategy", "random_state")):
            raise ValueError(f"{name}: {key} is no argument here; expected sampling_strategy above")
    try:
        sampler = _built(KINDS[name], arguments, seed)
        for one in (sampler, *(sampler.get_params(deep=False).values())):
            if isinstance(one, BaseSampler):
                one._validate_params()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None
    _refuse_untraceable(_built(KINDS[name], arguments, seed), name)
    return sampler


def _built(kind: Any, arguments: Mapping[str, Any], seed: int) -> Any:
    nested = {key: value for key, value in arguments.items() if "__" in key}
    sampler = kind(**{key: value for key, value in arguments.items() if key not in nested})
    if kind.__name__ in _COMBINED:
        missing = [part for part in _PARTS if sampler.get_params(deep=False).get(part, 0) is None]
        sampler.set_params(**{part: _PARTS[part]() for part in missing})
    sampler.set_params(**nested)
    draws = [key for key in sampler.get_params() if key.endswith("random_state")]
    return sampler.set_params(**dict.fromkeys(draws, seed))


def resample(
    embeddings_ND: np.ndarray,
    labels_N: np.ndarray,
    sampler: Any,
    strategy: Strategy,
    section: str = "rebalance",
) -> Resampled:
    """What the sampler makes of the rows.

    Rows that it repeats or leaves out are told by position; what it appends are embeddings alone.
    Where a class has no more rows than neighbours are asked for, they are as many as it has.

    Raises ParamsError if the strategy names a class that is not there, if it asks for the
    impossible, or if nothing is left of a class; it names the `section` of params.yaml.
    """
    classes, codes_N = np.unique(labels_N, return_inverse=True)
    counts = {str(name): int(n) for name, n in zip(classes, np.bincount(codes_N), strict=True)}
    name, sampler = type(sampler).__name__, clone(sampler)
    try:
        wanted = _strategy_of_codes(strategy, list(counts))
        num_neighbours = _fit_neighbours(sampler, wanted, codes_N, classes)
        keys = [key for key in sampler.get_params() if key in _STRATEGIES]
        sampler.set_params(**dict.fromkeys(keys, wanted))
        given_MD, codes_M = sampler.fit_resample(embeddings_ND, codes_N)
        traced = _trace(sampler, embeddings_ND, given_MD)
        gone = sorted(set(counts) - set(classes[codes_N[traced.chosen_M]].astype(str)))
        if gone:
            raise ValueError(f"no row is left of {gone}")
    # Whatever a sampler stumbles over in few or odd rows, a person is to learn from the counts.
    except Exception as error:
        raise ParamsError(
            f"params.yaml: {section}: {name}, sampling_strategy {strategy!r}: {error}; "
            f"train rows per class: {counts}"
        ) from error
    made_up = traced.is_made_up_M
    return Resampled(traced.chosen_M, given_MD[made_up], classes[codes_M[made_up]], num_neighbours)


def _strategy_of_codes(strategy: Strategy, classes: list[str]) -> Any:
    if isinstance(strategy, str | int | float):
        return strategy
    unknown = sorted(set(strategy) - set(classes))
    if unknown:
        raise ValueError(f"no train row bears {unknown}")
    if isinstance(strategy, Mapping):
        return {classes.index(name): number for name, number in strategy.items()}
    return [classes.index(name) for name in strategy]


def _fit_neighbours(
    sampler: Any, strategy: Any, codes_N: np.ndarray, classes: np.ndarray
) -> int | None:
    """How many neighbours of its class a made-up row is put between; sets it where a class that
    grows has fewer."""
    keys = ("n_neighbors",) if isinstance(sampler, over_sampling.ADASYN) else _NEIGHBOURS
    found = {key: value for key, value in sampler.get_params().items() if key in keys}
    if not found:
        return None
    more: Any = check_sampling_strategy(strategy, codes_N, "over-sampling")
    growing = [code for code in more if more[code] > 0]
    if not growing:
        return max(found.values())
    counts = np.bincount(codes_N)
    smallest = min(growing, key=counts.__getitem__)
    if counts[smallest] < 2:
        raise ValueError(
            f"class {str(classes[smallest])!r} has 1 row, and new ones lie between two; add "
            "images, leave it out of sampling_strategy, or take RandomOverSampler"
        )
    fitting = {key: min(value, int(counts[smallest]) - 1) for key, value in found.items()}
    sampler.set_params(**fitting)
    return max(fitting.values())


class _Traced(NamedTuple):
    """`is_made_up_M`: of what the sampler gave, what is no row of its input."""

    chosen_M: np.ndarray
    is_made_up_M: np.ndarray


def _trace(sampler: Any, embeddings_ND: np.ndarray, given_MD: np.ndarray) -> _Traced:
    """Raises ValueError if what was given are not rows, with made-up ones after them."""
    positions = getattr(sampler, "sample_indices_", None)
    if positions is not None and np.array_equal(given_MD, embeddings_ND[positions]):
        return _Traced(np.sort(positions), np.zeros(len(given_MD), bool))
    cleaner = next((vars(sampler)[key] for key in ("enn_", "tomek_") if key in vars(sampler)), None)
    # What is cleaned are the rows, with made-up ones after them.
    positions = np.arange(len(given_MD)) if cleaner is None else cleaner.sample_indices_
    is_made_up = positions >= len(embeddings_ND)
    chosen = positions[~is_made_up]
    if not np.array_equal(given_MD[~is_made_up], embeddings_ND[chosen]):
        raise ValueError("it does not say which rows it took (no sample_indices_)")
    return _Traced(np.sort(chosen), is_made_up)


def _refuse_untraceable(sampler: Any, name: str) -> None:
    rng = np.random.default_rng(0)
    toy_ND = rng.normal(size=(60, 3)).astype(np.float32)
    codes_N = np.repeat([0, 1], [40, 20])
    try:
        given_MD, _ = sampler.fit_resample(toy_ND, codes_N)
    except (ValueError, RuntimeError):
        return  # arguments that do not fit these rows may fit others
    try:
        _trace(sampler, toy_ND, given_MD)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
