"""What tutorials write: a loop over a DataLoader that augments, for `benchmarks.gpu`.

N images, H height, W width, C channels
"""

import time
from argparse import Namespace

import albumentations as A
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.device_lessons import Data
from tasks.feeding import spare_cores


def now(device: torch.device) -> float:
    """Seconds, when the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class _Items(Dataset):
    def __init__(self, data: Data, policy: A.Compose):
        self.data, self.policy = data, policy

    def __len__(self) -> int:
        return len(self.data.train_NHWC)

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        image = self.policy(image=self.data.train_NHWC[row])["image"]
        return image, int(self.data.train_labels_N[row])


def plain_loop(
    net: nn.Module, data: Data, policy: A.Compose, options: Namespace, device: torch.device
) -> float:
    """Images/s of the second epoch of what tutorials write, with mixed precision."""
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True)
    workers = spare_cores(1)
    loader = DataLoader(
        _Items(data, policy),
        options.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
        pin_memory=device.type == "cuda",
    )
    started = 0.0
    for _ in range(2):
        started = now(device)
        for images_NHWC, labels_N in loader:
            images_NHWC, labels_N = images_NHWC.to(device), labels_N.to(device)
            is_mixed = options.precision != "float32"
            with torch.autocast(device.type, torch.bfloat16, enabled=is_mixed):
                loss = F.cross_entropy(net(images_NHWC), labels_N)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return len(data.train_NHWC) / (now(device) - started)
