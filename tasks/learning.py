"""The loop that stages teach their nets with: batches in, weights and a history out.

What is learnt is a function of the lesson, the course, the seed and the number of threads. The
order of rows and all draws come from (seed, epoch, batch), so neither workers nor an interruption
change it; nor do several processes, each of which takes its part of every batch, but
for the order in which numbers are added. What compares the images of a batch, as batch norm and
contrastive losses, sees those of its process alone; on GPUs batch norm is synchronised.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from tasks.artifacts.checkpoints import Checkpoints
from tasks.core.batches import Part, check_parts, num_batches, parts_of, shuffled_batches
from tasks.core.errors import TilthError
from tasks.core.inference import Place
from tasks.feeding import feed
from tasks.launching import launch, prepare, scaled_step
from tasks.lesson import Course, Lesson, Steps
from tasks.progress import LearningBar

# Of several processes one decides for all when a checkpoint is due, and they must ask it.
_STEPS_BETWEEN_QUESTIONS = 20

# Of an epoch: its number, loss, accuracy, learning rate, and what was measured after it.
Entry = dict[str, Any]
History = list[Entry]


class Training:
    """A lesson on its way through a course, which can be saved and loaded between two steps."""

    def __init__(
        self,
        lesson: Lesson,
        optimise: Callable[[int], Steps],
        course: Course,
        place: Place,
        checkpoints: Checkpoints | None = None,
        seconds_between_checkpoints: float = 60.0,
    ):
        """`optimise` makes the optimisation of `lesson.net`, given the steps of an epoch.

        Raises ParamsError where a batch cannot be divided among so many processes.
        """
        self.fabric, self.scaler = launch(place)
        self.lesson, self.course = lesson, course
        self.rank, self.num_processes = self.fabric.global_rank, self.fabric.world_size
        self.num_parts = self.num_processes * course.num_accumulated
        check_parts(len(lesson.rows), course.batch_size, self.num_parts)
        self.per_epoch = num_batches(len(lesson.rows), course.batch_size)
        self.outcome_of = prepare(self.fabric, lesson, course)
        self.optimisation = optimise(self.per_epoch)
        self.epoch, self.batch = 1, 0
        # Of loss and accuracy over the batches of an epoch; not a number where there is none.
        self.sums = torch.zeros(2, dtype=torch.float64, device=self.fabric.device)
        self.history: History = []
        self.best: dict[str, Any] = {"value": math.inf, "epoch": 0, "weights": None}
        self.checkpoints, self.pause = checkpoints, seconds_between_checkpoints
        self.num_seen, self.seconds = 0, 0.0

    def run(self, watch: Callable[[Entry], None] = lambda entry: None) -> History:
        """Teaches the lesson's net in place; an entry per epoch, the first before any, each of
        which `watch` is told of, who may end it all by raising.

        Raises TilthError if the loss is not finite.
        """
        self.watch = watch
        if self.checkpoints and (state := self.checkpoints.load(self.rank, self.num_processes)):
            self.load_state_dict(state)
        self.saved_at = time.monotonic()
        if not self.history:
            self._judge({"epoch": 0, "loss": None, "accuracy": None, "learning_rate": None})
        stream = feed(self.lesson.source, self._parts, self.course.num_workers, self.fabric.device)
        with closing(stream), closing(self._bar()) as bar:
            while self.epoch <= self.course.epochs and not self._has_lost_patience():
                self.lesson.begin_epoch(self.epoch)
                began = time.monotonic()
                while self.batch < self.per_epoch:
                    num_rows = self._learn(stream)
                    self._save_if_due()
                    self.num_seen += num_rows
                    if bar.advance(num_rows) and self.rank == 0:
                        bar.show(self._told())
                entry = self._summed_up()
                self.seconds += time.monotonic() - began
                self._judge(entry)
                self.epoch, self.batch = self.epoch + 1, 0
        self._finish()
        return self.history

    @property
    def observed(self) -> dict[str, Any]:
        """Of this process and those beside it; what an earlier one learnt is not in the speed."""
        speed = self.num_seen / self.seconds if self.seconds else None
        return {
            "num_epochs": self.epoch - 1,
            "images_per_second": speed and round(speed, 1),
            "num_processes": self.num_processes,
            "num_workers": self.course.num_workers,
        }

    def delete_checkpoints(self) -> None:
        """To be called when what came of it all is safe."""
        if self.checkpoints and self.rank == 0:
            self.checkpoints.delete()

    def state_dict(self) -> dict[str, Any]:
        """All that going on needs. No generator's state is in it: each part seeds them anew."""
        return {
            "lesson": self.lesson.state_dict(),
            "optimisation": self.optimisation.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "position": (self.epoch, self.batch),
            "sums": self.sums,
            "history": self.history,
            "best": self.best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.lesson.load_state_dict(state["lesson"])
        self.optimisation.load_state_dict(state["optimisation"])
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.batch = state["position"]
        self.sums.copy_(state["sums"])
        self.history, self.best = state["history"], state["best"]

    def _save_if_due(self) -> None:
        is_due = time.monotonic() - self.saved_at >= self.pause
        if self.num_processes > 1:
            if self._num_steps % _STEPS_BETWEEN_QUESTIONS:
                return
            is_due = self.fabric.broadcast(is_due)
        if is_due:
            self._save(self._num_steps)

    def _save(self, step: int) -> None:
        if self.checkpoints:
            self.checkpoints.save(self.state_dict(), step, self.rank, self.num_processes)
        self.saved_at = time.monotonic()

    @property
    def _num_steps(self) -> int:
        return (self.epoch - 1) * self.per_epoch + self.batch

    def _bar(self) -> LearningBar:
        num_rows = len(self.lesson.rows)
        done = (self.epoch - 1) * num_rows + num_rows * self.batch // self.per_epoch
        return LearningBar(self.course.title, self.course.epochs * num_rows, done)

    def _told(self) -> str:
        loss, accuracy = (self.sums * self.num_processes / max(1, self.batch)).tolist()
        known = "" if math.isnan(accuracy) else f", accuracy {accuracy:.3f}"
        return f"epoch {self.epoch} of {self.course.epochs}, loss {loss:.3g}{known}"

    def _parts(self) -> Iterator[Part]:
        """This process's, of all batches to come."""
        seed, batch_size = self.course.seed, self.course.batch_size
        first = self.batch
        for epoch in range(self.epoch, self.course.epochs + 1):
            batches = shuffled_batches(self.lesson.rows, batch_size, seed, epoch)
            for batch in islice(batches, first, None):
                yield from parts_of(batch, epoch, self.num_parts)[self.rank :: self.num_processes]
            first = 0

    def _learn(self, stream: Iterator[tuple[Part, tuple[Tensor, ...]]]) -> int:
        """A step, from a batch; how many rows that has. Nothing here waits for the device."""
        num_rows = 0
        for number in range(1, self.course.num_accumulated + 1):
            part, tensors = next(stream)
            num_rows = len(part.rows)
            share = self.lesson.share(part)
            self._seed(part)
            is_last = number == self.course.num_accumulated
            with self.fabric.no_backward_sync(self.outcome_of, enabled=not is_last):
                outcome = self.outcome_of(part, *tensors)
                # Gradients are averaged over processes, and shares are to be added.
                self.fabric.backward(outcome.loss * (share * self.num_processes))
            self.sums[0] += outcome.loss.detach() * share
            self.sums[1] += outcome.accuracy * (len(part.own_rows) / num_rows)
        if self.scaler is None:
            self.optimisation.step()
        else:
            scaled_step(self.optimisation, self.scaler)
        self.batch += 1
        self.lesson.end_step(self._num_steps / (self.course.epochs * self.per_epoch))
        return num_rows

    def _seed(self, part: Part) -> None:
        """Dropout and its like hang on the part alone, as augmentation does."""
        seed = part.seed(self.course.seed)
        torch.default_generator.manual_seed(seed)
        if self.fabric.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _summed_up(self) -> Entry:
        """What the epoch was, and its sums are cleared."""
        sums = self.fabric.all_reduce(self.sums, reduce_op="sum")
        assert isinstance(sums, Tensor)
        loss, accuracy = (sums / self.per_epoch).tolist()
        if not math.isfinite(loss):
            raise TilthError(
                f"{self.course.title}: the loss is not finite; try a lower "
                f"{self.course.title}.optimiser.learning_rate, or run.precision: float32"
            )
        known = None if math.isnan(accuracy) else accuracy
        self.sums.zero_()
        rate = float(self.optimisation.learning_rate)
        return {"epoch": self.epoch, "loss": loss, "accuracy": known, "learning_rate": rate}

    def _judge(self, entry: Entry) -> None:
        """Measures the net, and keeps its weights if it is the best so far."""
        net = self.optimisation.judged_net
        # The first process decides for all, so that none goes on alone.
        measured = self.lesson.measure(net) if self.rank == 0 else {}
        measured = {name: float(value) for name, value in self.fabric.broadcast(measured).items()}
        self.history.append({**entry, **measured})
        self.watch(self.history[-1])
        value = measured[self.course.judge] if self.course.judge else None
        if entry["epoch"]:
            self.optimisation.end_epoch(value)
        if value is not None and value < self.best["value"]:
            weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}
            self.best = {"value": value, "epoch": entry["epoch"], "weights": weights}

    def _has_lost_patience(self) -> bool:
        patience = self.course.patience
        return patience is not None and self.epoch - 1 - self.best["epoch"] >= patience

    def _finish(self) -> None:
        # After all steps, so that no process takes it for one without the last epoch's end.
        self._save(self._num_steps + 1)
        weights = self.best["weights"] or self.optimisation.judged_net.state_dict()
        self.lesson.net.load_state_dict(weights)
        self.fabric.barrier()
