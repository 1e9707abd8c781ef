"""Trained image models of the transformers library, from a folder or the hub. No pickle is read and
no code that comes with a model is run."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tasks.artifacts.models import Description, new_encoder
from tasks.core.architecture import Architecture, Built, Configured, Transformers
from tasks.core.encoder import Encoder
from tasks.core.errors import ArtifactError, ParamsError
from tasks.core.pixels import Canonical
from tasks.core.transformers_net import TransformersNet, measure_embedding, without_dense_pooler

_READ = ("config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json")
# What says nothing of the net: where it came from, its classes, what it is asked to return.
_ASIDE = (
    *("_name_or_path", "transformers_version", "architectures", "dtype", "id2label", "label2id"),
    *("problem_type", "return_dict", "output_attentions", "output_hidden_states"),
)


class Start(NamedTuple):
    """What an encoder begins with; `tensors` are those of a trained net, None for fresh ones."""

    architecture: Built
    mean: list[float]
    std: list[float]
    tensors: dict[str, Tensor] | None


def begin_encoder(
    architecture: Architecture,
    mean: list[float],
    std: list[float],
    canonical: Canonical,
    fingerprint: dict[str, Any],
) -> tuple[Encoder, Description]:
    """An encoder before it learns here: with fresh weights, drawn from torch's generator, or those
    of a trained model, whose normalisation takes the place of `mean` and `std`.

    Raises ParamsError and ArtifactError as `load_pretrained` does, and ParamsError for images that
    the net cannot take.
    """
    if isinstance(architecture, Transformers):
        start = load_pretrained(architecture)
    else:
        start = Start(architecture, mean, std, None)
    # Grey images are shown to a net for colour as three equal channels.
    if canonical.channels not in (1, len(start.mean)):
        raise ParamsError(
            f"params.yaml: clean.channels is {canonical.channels}, but the model in "
            f"pretrain.architecture.source takes images of {len(start.mean)}"
        )
    description = Description(
        architecture=start.architecture,
        mean=start.mean,
        std=start.std,
        canonical=canonical,
        classes=[],
        fingerprint=fingerprint,
        adoption=None,
    )
    encoder = new_encoder(description)
    if start.tensors is not None:
        encoder.net.load_state_dict(start.tensors)
    return encoder, description


def load_pretrained(asked: Transformers) -> Start:
    """Raises ParamsError where there is no such model or not the one asked for, ArtifactError where
    what is there is no image model in safetensors."""
    folder = _folder(asked.source)
    _check_hash(folder, asked)
    try:
        return _start(folder)
    # The library raises errors of many kinds for a folder that holds something else; whichever it
    # is, the model is unusable.
    except Exception as error:
        raise ArtifactError(
            f"{asked.source}: holds no image model of the transformers library with "
            f"{', '.join(_READ[:3])}: {error}"
        ) from error


def _start(folder: Path) -> Start:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    closed = {"trust_remote_code": False, "local_files_only": True}
    processor: Any = transformers.AutoImageProcessor.from_pretrained(folder, **closed)
    trained, loaded = transformers.AutoModel.from_pretrained(
        folder,
        **closed,
        use_safetensors=True,
        dtype=torch.float32,
        # Told by name in the check below, where the library refers to its log.
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    model: Any = without_dense_pooler(trained)
    _check_loaded(model, loaded)
    width = _image_width(processor, model.config)
    mean, std = _normalisation(processor, model.config)
    net = TransformersNet(model, width)
    described = json.loads(model.config.to_json_string(use_diff=False))
    architecture = Configured(
        family="transformers",
        config={name: value for name, value in described.items() if name not in _ASIDE},
        image_width=width,
        embedding_width=measure_embedding(net, len(mean), width),
    )
    return Start(architecture, mean, std, net.state_dict())


def _folder(source: str) -> Path:
    if Path(source).is_dir():
        return Path(source)
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(source, allow_patterns=list(_READ)))
    # A malformed name, no such model, no network: each an error of another kind.
    except Exception as error:
        raise ParamsError(
            f"params.yaml: pretrain.architecture.source: {source!r} is no folder here, and the hub "
            f"gives no model of this name: {error}"
        ) from error


def _check_hash(folder: Path, asked: Transformers) -> None:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _READ for path in folder.glob(pattern)}):
        with path.open("rb") as file:
            digest.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    if asked.sha256 not in (None, digest.hexdigest()):
        raise ParamsError(
            f"params.yaml: pretrain.architecture.sha256: {asked.source} is another model, "
            f"{digest.hexdigest()}; expected {asked.sha256}"
        )


def _check_loaded(model: Any, loaded: dict[str, Any]) -> None:
    """Weights that are not in the files would be drawn by lot."""
    if model.main_input_name != "pixel_values":
        raise ValueError(f"{model.config.model_type} reads {model.main_input_name}, not images")
    kept = model.state_dict()
    missing = [name for name in loaded["missing_keys"] if name in kept]
    if wrong := sorted(missing + [name for name, *_ in loaded["mismatched_keys"]]):
        raise ValueError(f"{len(wrong)} of its weights are missing or misshapen, as {wrong[0]}")


def _image_width(processor: Any, config: Any) -> int:
    """The size that its own preparation ends with, in pixels a side."""
    is_cropped = getattr(processor, "do_center_crop", None)
    stated = getattr(processor, "crop_size" if is_cropped else "size", None)
    sides = [*dict(stated or {}).values(), getattr(config, "image_size", None)]
    for side in sides:
        if isinstance(side, int):
            return side
    raise ValueError("neither its preparation nor its configuration states an image size")


def _normalisation(processor: Any, config: Any) -> tuple[list[float], list[float]]:
    """Mean and sd of pixels in [0, 1], per channel."""
    if getattr(processor, "do_normalize", False):
        mean, std = list(processor.image_mean), list(processor.image_std)
    else:
        num_channels = getattr(config, "num_channels", 3)
        mean, std = [0.0] * num_channels, [1.0] * num_channels
    # Models scale pixels in [0, 255] by other factors than 1/255 too, and some move them by 1.
    scale = 255 * processor.rescale_factor if getattr(processor, "do_rescale", False) else 255
    moved = 1.0 if getattr(processor, "rescale_offset", False) else 0.0
    return [(m + moved) / scale for m in mean], [s / scale for s in std]
