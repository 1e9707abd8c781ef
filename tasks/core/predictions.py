"""The table of predictions, as people and suites read it.

N images, K classes
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def tabulate_predictions(
    paths: Sequence[str],
    problems: Sequence[str],
    probabilities_NK: np.ndarray,
    classes: Sequence[str],
) -> pd.DataFrame:
    """path, label, confidence, problem, and `probability_<class>` per class: a row per image.

    An image with a problem has no label, and its probabilities do not count.
    """
    usable = np.array([not problem for problem in problems], dtype=bool)
    shares_NK = np.where(usable[:, None], probabilities_NK, np.nan)
    best = np.where(usable, np.nan_to_num(shares_NK).argmax(axis=1), len(classes))
    labels = np.array([*classes, None], dtype=object)[best]
    table = pd.DataFrame(
        {
            "path": list(paths),
            "label": labels,
            "confidence": shares_NK.max(axis=1),
            "problem": list(problems),
        }
    ).astype({"path": "string", "label": "string", "problem": "string"})
    shares = pd.DataFrame(shares_NK, columns=[f"probability_{name}" for name in classes])
    return pd.concat([table, shares], axis=1)
