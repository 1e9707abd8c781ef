"""Checkpoints: all that an interrupted training needs to end with the bytes of one that was not.

A state is made of dicts, lists, tuples, tensors, numbers, strings, booleans and None, as
`state_dict()` gives them. Each process of a training keeps its own, as
`<step>.<process>-of-<number of processes>.safetensors`: the tensors, and in the header the rest as
JSON. Nothing in it can run code. They are no outputs: anyone may delete them.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from tasks.artifacts.atomic import delete, replacing

ROOT = Path(".cache/checkpoints")
_KEY = "state"


class Checkpoints:
    """Those of one training, in a folder named by its fingerprint; one of another fingerprint is
    another training."""

    def __init__(self, fingerprint: dict[str, Any], root: Path = ROOT):
        digest = hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()
        self.folder = root / digest[:32]

    def save(self, state: Any, step: int, process: int = 0, num_processes: int = 1) -> None:
        """Whole or not at all. The one before is kept as well: of several processes, one may be
        killed before it has written its own."""
        tensors: dict[str, torch.Tensor] = {}
        skeleton = _take_apart(state, tensors)
        header = {_KEY: json.dumps(skeleton)}
        with replacing(self._path(step, process, num_processes)) as temporary:
            temporary.write_bytes(save(tensors, metadata=header))
        for older in self._steps(process, num_processes)[:-2]:
            delete(self._path(older, process, num_processes))

    def load(self, process: int = 0, num_processes: int = 1) -> Any:
        """The state at the latest step that all processes have, on the CPU; None without one.

        A file that cannot be read counts as none, for every process: it costs time, no result.
        """
        everyones = [set(self._steps(each, num_processes)) for each in range(num_processes)]
        for step in sorted(set.intersection(*everyones), reverse=True):
            try:
                for each in range(num_processes):
                    with self._opened(step, each, num_processes) as file:
                        _skeleton(file)
                with self._opened(step, process, num_processes) as file:
                    return _put_together(_skeleton(file), file.get_tensor)
            except (SafetensorError, OSError, ValueError, KeyError, TypeError):
                continue
        return None

    def delete(self) -> None:
        delete(self.folder)

    def _opened(self, step: int, process: int, num_processes: int) -> Any:
        return safe_open(self._path(step, process, num_processes), framework="pt")

    def _path(self, step: int, process: int, num_processes: int) -> Path:
        return self.folder / f"{step:012}.{process}-of-{num_processes}.safetensors"

    def _steps(self, process: int, num_processes: int) -> list[int]:
        paths = self.folder.glob(f"*.{process}-of-{num_processes}.safetensors")
        return sorted(int(name) for path in paths if (name := path.name.partition(".")[0]))


def _skeleton(file: Any) -> Any:
    return json.loads(file.metadata()[_KEY])


def _take_apart(state: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The state as JSON, in which tensors are replaced by their names; they go to `tensors`."""
    if isinstance(state, torch.Tensor):
        name = str(len(tensors))
        # A copy: safetensors refuses tensors that share memory.
        tensors[name] = state.detach().cpu().contiguous().clone()
        # The order in memory too: sums may be added in it.
        return {"tensor": name, "stride": list(state.stride())}
    if isinstance(state, dict):
        entries = [[_plain(key), _take_apart(value, tensors)] for key, value in state.items()]
        return {"dict": entries}
    if isinstance(state, list | tuple):
        kind = "list" if isinstance(state, list) else "tuple"
        return {kind: [_take_apart(value, tensors) for value in state]}
    return _plain(state)


def _plain(value: Any) -> Any:
    # Exactly these types: a subclass, as one of NumPy's numbers, would come back as another type.
    assert value is None or type(value) in (bool, int, float, str), (type(value), value)
    return value


def _put_together(skeleton: Any, tensor: Any) -> Any:
    if not isinstance(skeleton, dict):
        return skeleton
    if "tensor" in skeleton:
        plain = tensor(skeleton["tensor"])
        return torch.empty_strided(plain.shape, skeleton["stride"], dtype=plain.dtype).copy_(plain)
    if "dict" in skeleton:
        return {key: _put_together(value, tensor) for key, value in skeleton["dict"]}
    (kind,) = skeleton
    values = [_put_together(value, tensor) for value in skeleton[kind]]
    return values if kind == "list" else tuple(values)
