"""Nets on disk: weights, and in their header all that is needed to build and to judge them."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveFloat, ValidationError

from tasks.artifacts.weights import load_weights, save_weights
from tasks.core.adoption import Adoption
from tasks.core.architecture import Built
from tasks.core.encoder import Classifier, Encoder
from tasks.core.errors import ArtifactError
from tasks.core.params import Section
from tasks.core.pixels import Canonical


class Description(Section):
    """`classes` is empty for an encoder. `fingerprint` tells what made the weights, `adoption` what
    the encoder was worth before it was fine-tuned (None: nobody measured). Logits over
    `temperature` are calibrated; where the largest of these probabilities is below `abstention`,
    the model had better not answer (0: never). Both as if nobody had fitted them, if none did."""

    architecture: Built
    mean: list[float]
    std: list[float]
    canonical: Canonical
    classes: list[str]
    fingerprint: dict[str, Any]
    adoption: Adoption | None
    temperature: PositiveFloat = 1.0
    abstention: Annotated[float, Field(ge=0, le=1)] = 0.0


def save_encoder(encoder: Encoder, description: Description, path: Path) -> None:
    save_weights(encoder.state_dict(), description.model_dump(), path)


def load_encoder(path: Path) -> tuple[Encoder, Description]:
    """Raises ArtifactError for a file that is missing, corrupt, or holds no encoder of ours."""
    tensors, description = _load(path)
    encoder = new_encoder(description)
    _fill(encoder, tensors, path)
    return encoder, description


def new_encoder(description: Description) -> Encoder:
    """With fresh weights, drawn from torch's generator.

    Raises ParamsError where the net cannot take the canonical images.
    """
    size = description.canonical.size
    return Encoder(description.architecture, description.mean, description.std, size)


def save_classifier(classifier: Classifier, description: Description, path: Path) -> None:
    save_weights(classifier.state_dict(), description.model_dump(), path)


def load_classifier(path: Path) -> tuple[Classifier, Description]:
    """Raises ArtifactError for a file that is missing, corrupt, or holds no classifier of ours."""
    tensors, description = _load(path)
    if not description.classes:
        raise ArtifactError(f"{path}: holds an encoder, expected a classifier")
    classifier = Classifier(new_encoder(description), len(description.classes), 0.0)
    _fill(classifier, tensors, path)
    return classifier, description


def _load(path: Path) -> tuple[dict, Description]:
    tensors, described = load_weights(path)
    try:
        return tensors, Description.model_validate(described)
    except ValidationError as error:
        raise ArtifactError(f"{path}: its description does not fit: {error}") from error


def _fill(net, tensors: dict, path: Path) -> None:
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise ArtifactError(f"{path}: weights do not fit their description: {error}") from error
