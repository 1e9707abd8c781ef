"""The way of images to the net: read and augmented beside the training, moved while it computes.

N images, H height, W width, C channels
"""

import os
from collections.abc import Callable, Generator, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from tasks.artifacts.images import Images
from tasks.core.batches import Part
from tasks.core.lifetime import end_with_parent

# What a part brings, on the host: arrays whose first dimension is the part's rows. It is sent to
# other processes, and what it gives hangs on the part alone.
Source = Callable[[Part], tuple[np.ndarray, ...]]

_MOST_WORKERS = 8
_PREFETCHED = 4
# Of the device's free memory, that images may take before the net has any.
_IMAGES_FRACTION = 0.25


def spare_cores(num_threads: int) -> int:
    """How many processes may work beside a training: the cores that it does not compute on, divided
    among the trainings of this machine. Results do not hang on it."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    trainings = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(_MOST_WORKERS, max(0, cores // trainings - num_threads))


def feed(
    source: Source, parts: Callable[[], Iterator[Part]], num_workers: int, device: torch.device
) -> Generator[tuple[Part, tuple[Tensor, ...]], None, None]:
    """What `source` gives for each of `parts()`, in order, on the device; the same for any number
    of workers. With none, it is made between two steps."""
    made = _made(source, parts, num_workers, device)
    for part, arrays in zip(parts(), made, strict=True):
        yield part, tuple(array.to(device, non_blocking=True) for array in arrays)


def _made(
    source: Source, parts: Callable[[], Iterator[Part]], num_workers: int, device: torch.device
) -> Iterable[tuple[Tensor, ...]]:
    if num_workers == 0:
        return map(_Parts(source).__getitem__, parts())
    return DataLoader(
        _Parts(source),
        batch_size=None,
        sampler=_Order(parts),
        num_workers=num_workers,
        prefetch_factor=_PREFETCHED,
        multiprocessing_context="spawn",
        worker_init_fn=_begin_worker,
        pin_memory=device.type == "cuda",
        # It draws seeds for its workers, which must not come from the generator that nets use.
        generator=torch.Generator(),
    )


class _Order(Sampler):
    def __init__(self, parts: Callable[[], Iterator[Part]]):
        self._parts = parts

    def __iter__(self) -> Iterator[Part]:
        return self._parts()


class _Parts(Dataset):
    def __init__(self, source: Source):
        self._source = source

    def __getitem__(self, part: Part) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(array) for array in self._source(part))


def _begin_worker(_: int) -> None:
    end_with_parent()


def on_device(images: Images, device: torch.device) -> Tensor | None:
    """All images, uint8 (N, H, W, C), if the device is no CPU and has room for them."""
    num_bytes = len(images) * int(np.prod(images.image_shape))
    if device.type == "cpu" or num_bytes > _IMAGES_FRACTION * torch.cuda.mem_get_info(device)[0]:
        return None
    whole_NHWC = torch.empty((len(images), *images.image_shape), dtype=torch.uint8, device=device)
    first = 0
    for chunk in images.chunks(np.arange(len(images)), 4096):
        whole_NHWC[first : first + len(chunk)] = torch.from_numpy(chunk).to(device)
        first += len(chunk)
    return whole_NHWC
