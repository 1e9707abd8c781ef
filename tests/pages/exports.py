"""What metrics/export.json says of a net and three variants."""

from typing import Any


def variant(name: str, accuracy: float, num_bytes: int, num_flops: int) -> dict[str, Any]:
    return {
        "name": name,
        "agreement": 1.0 if name == "float32" else 0.97,
        "max_difference_below": 1e-4 if name == "float32" else 1.0,
        "accuracy": {"value": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.01},
        "accuracy_loss": {"value": 0.9 - accuracy, "low": -0.01, "high": 0.91 - accuracy},
        "num_bytes": num_bytes,
        "num_flops": num_flops,
        "is_eligible": accuracy > 0.85,
    }


VARIANTS = [
    variant("float32", 0.9, 1000, 90),
    variant("float16", 0.9, 500, 90),
    variant("int8", 0.89, 300, 90),
    variant("pruned", 0.8, 600, 40),
]
EXPORT: dict[str, Any] = {
    **VARIANTS[0],
    "num_rows": 200,
    "suites": [],
    "variants": VARIANTS,
    "program": {"agreement": 1.0, "max_difference_below": 1e-5, "num_bytes": 1200},
    "max_accuracy_loss": 0.01,
    "choice": {
        "served": {"variant": "float32", "reason": "it is the net itself"},
        "edge": {"variant": "int8", "reason": "with 300 bytes it has the fewest"},
    },
}
