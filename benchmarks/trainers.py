"""Other people's loops on the work of `benchmarks.training_speed`."""

import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.work import BATCH_SIZE, Work, make_net, make_optimiser


class Trainer(NamedTuple):
    """`needs`: packages that must be installed. `run`: the images/s of its second epoch."""

    needs: tuple[str, ...]
    run: Callable[[Work], float]


class _Augmented(Dataset):
    """An image by its number, augmented, as either trainer wants it."""

    def __init__(self, work: Work):
        self._work = work

    def __len__(self) -> int:
        return len(self._work.images_NHWC)

    def __getitem__(self, number: int) -> dict[str, Any]:
        image = self._work.policy(image=self._work.images_NHWC[number])["image"]
        return {"images": torch.from_numpy(image), "labels": int(self._work.labels_N[number])}


def _by_lightning(work: Work) -> float:
    import lightning as L  # type: ignore[import-not-found]

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = make_net(work)
            self.ends: list[float] = []

        def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
            return F.cross_entropy(self.net(batch["images"]).float(), batch["labels"])

        def on_train_epoch_end(self) -> None:
            self.ends.append(time.perf_counter())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return make_optimiser(self.net)

    module = Module()
    trainer = L.Trainer(
        max_epochs=2,
        accelerator="cpu",
        precision="bf16-mixed" if work.precision == "bf16" else "32-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(_Augmented(work), BATCH_SIZE, shuffle=True))
    return len(work.images_NHWC) / (module.ends[1] - module.ends[0])


def _by_transformers(work: Work) -> float:
    import transformers

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = make_net(work)

        def forward(self, images: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss": F.cross_entropy(self.net(images).float(), labels)}

    class Clock(transformers.TrainerCallback):
        ends: list[float]

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            self.ends.append(time.perf_counter())

    net, clock = Net(), Clock()
    clock.ends = []
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            num_train_epochs=2,
            per_device_train_batch_size=BATCH_SIZE,
            use_cpu=True,
            bf16=work.precision == "bf16",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        optimiser = make_optimiser(net)
        schedule = torch.optim.lr_scheduler.ConstantLR(optimiser, 1.0)
        trainer = transformers.Trainer(
            net,  # type: ignore[arg-type]
            arguments,
            train_dataset=_Augmented(work),
            optimizers=(optimiser, schedule),  # type: ignore[arg-type]
            callbacks=[clock],
        )
        trainer.train()
    return len(work.images_NHWC) / (clock.ends[1] - clock.ends[0])


TRAINERS = {
    "Lightning's Trainer": Trainer(("lightning",), _by_lightning),
    "transformers' Trainer": Trainer(("transformers", "accelerate"), _by_transformers),
}
