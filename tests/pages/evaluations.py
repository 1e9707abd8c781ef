"""What metrics/evaluate.json says of a small model, under names of choice."""

from typing import Any


def interval(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.05}


def an_evaluation(name: str = "a", **changed: Any) -> dict[str, Any]:
    rates = ("selection_rate", "true_positive_rate", "false_positive_rate")
    bins = [
        {"low": 0.0, "high": 0.5, "num_rows": 0, "confidence": None, "accuracy": None},
        {"low": 0.5, "high": 1.0, "num_rows": 3, "confidence": 0.8, "accuracy": 0.7},
    ]
    one_slice = {
        "slice": f"class={name}",
        "num_rows": 3,
        "accuracy": interval(0.7),
        "others_accuracy": None,
        "confidence": 0.8,
        "log_loss": 0.4,
    }
    rare = {"num_rows": 3, **dict.fromkeys(rates, interval(0.4)), "false_positive_rate": None}
    return {
        "metrics": dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1"), interval(0.9)),
        "classes": {name: {"precision": 1.0, "recall": 1.0, "f1": 1.0, "num_rows": 3}},
        "confusion": {"classes": [name], "counts": [[3]]},
        "num_rows": 3,
        "calibration": {
            "temperature": 1.5,
            "abstention": 0.6,
            "error_before": interval(0.2),
            "error_after": interval(0.1),
            "bins_before": bins,
            "bins": bins,
        },
        "selective": {
            "threshold": 0.6,
            "coverage": interval(0.8),
            "error": interval(0.12),
            "area": 0.1,
            "curve": [
                {"coverage": 0.5, "error": 0.0, "confidence": 0.9},
                {"coverage": 1.0, "error": 0.1, "confidence": 0.4},
            ],
        },
        "slices": [one_slice, one_slice | {"slice": "confidence=0.5-0.8"}],
        "weak_slices": [],
        "fairness": {
            name: {
                name: {
                    "values": {f"{name}=x": rare},
                    "gaps": dict.fromkeys(rates, interval(0.3)) | {"false_positive_rate": None},
                }
            }
        },
        "robustness": {
            "num_rows": 3,
            "clean": 0.9,
            "corruptions": {"gaussian_noise": [0.9, 0.85, 0.8, 0.7, 0.6]},
            "mean": 0.77,
        },
        "behaviours": [
            {"behaviour": f"accuracy of {name}", "num_rows": 3, "measured": interval(0.7),
             "expected": "0.8 at least", "holds": False}
        ],
        **changed,
    }  # fmt: skip
