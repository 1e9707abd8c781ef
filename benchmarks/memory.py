"""What was measured of this state of the code, so that a long cell can be gone on with."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT, commit
from tasks.artifacts.documents import load_json, save_json

MEMORY = ROOT / ".cache" / "benchmarks"
_IN_THIS_PROCESS: dict[str, Any] = {}


def remembered(
    key: Mapping[str, Any], measure: Callable[[], Any], folder: Path = MEMORY, state: str = ""
) -> Any:
    """What `measure` gave (anything that JSON holds) when it was last asked for under this key, or
    gives now. Code that differs from its commit is remembered while this process runs, as it has
    no name of its own."""
    state = state or commit()
    text = json.dumps({**key, "commit": state}, sort_keys=True)
    if state == "none" or state.endswith("-dirty"):
        if text not in _IN_THIS_PROCESS:
            _IN_THIS_PROCESS[text] = measure()
        return _IN_THIS_PROCESS[text]
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_json({"key": json.loads(text), "value": measure()}, path)
    return load_json(path)["value"]
