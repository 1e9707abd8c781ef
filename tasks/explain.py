"""Stage explain: why the classifier says what it says of test rows, and which reasons to trust."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field, NonNegativeInt

from pages.blocks import Example, Picture
from pages.explain import Explained, Group, explain_notice, explain_sections
from pages.render import render_page
from tasks.artifacts.documents import save_json, save_text
from tasks.artifacts.images import Images
from tasks.artifacts.models import Description, load_classifier
from tasks.artifacts.tables import load_table
from tasks.core.attribution_checks import Subject
from tasks.core.attributions import Method
from tasks.core.errors import ArtifactError
from tasks.core.examples import choose_examples
from tasks.core.inference import chosen_device
from tasks.core.overlays import draw_scale, overlay
from tasks.core.params import Section
from tasks.core.thumbnails import png_thumbnail
from tasks.explanations import (
    Checks,
    Imitation,
    Said,
    check_methods,
    explain_subject,
    imitate,
    rounded,
)

_MOST_PIXELS = 96
# Of each of three groups of pictures. In base64 a third more; what is left of 4 MB is for words.
_MOST_BYTES, _MOST_EXAMPLES = 850_000, 60
_SCALE = (240, 14)  # pixels across and down


def _each_once(methods: list[Method]) -> list[Method]:
    names = [method.name for method in methods]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{repeated} come more than once; expected each method once")
    return methods


class Params(Section):
    """`num_mistakes` of the most confident, `num_uncertain` of the least certain and
    `num_per_class` random rows are shown, or as many as 4 MB hold."""

    methods: Annotated[list[Method], Field(min_length=1), AfterValidator(_each_once)]
    num_mistakes: NonNegativeInt
    num_uncertain: NonNegativeInt
    num_per_class: NonNegativeInt
    checks: Checks
    imitation: Imitation


def main(
    images: Path,
    manifest: Path,
    measures: Path,
    classifier: Path,
    reference: Path,
    out_page: Path,
    out_metrics: Path,
    params: Params,
    seed: int,
    num_threads: int,
    device: str,
) -> None:
    net, description = load_classifier(classifier)
    place, pixels, classes = chosen_device(device), Images(images), description.classes
    reference_table = load_table(reference, ["image_id", "label", "probabilities"])
    known = find_known(reference_table["image_id"], load_table(manifest), reference)
    said = read_said(reference_table, classes)
    checked = np.random.default_rng(seed).permutation(len(known))[: params.checks.num_images]
    subject = Subject(
        net.to(place).eval(),
        pixels[known["row"].to_numpy()[checked]],
        said.classes_N[checked],
        nothing_colour(description),
        description.temperature,
        params.checks.cells_across,
        place,
    )
    document = rounded(
        {
            "num_rows": len(known),
            "num_mistakes": int((~said.is_right_N).sum()),
            **check_methods(params.methods, subject, params.checks, seed),
            "imitation": imitate(
                describe_rows(known, load_table(measures)), said, classes, params.imitation, seed
            ),
        }
    )
    save_json(document, out_metrics)
    usable = [one for one in params.methods if "unavailable" not in document["methods"][one.name]]
    groups = show_examples(subject, usable, pixels, known, said, classes, params, seed)
    names = [method.name for method in usable]
    save_text(draw_page(Explained(document, names, groups, draw_scale(*_SCALE))), out_page)


def draw_page(explained: Explained) -> str:
    return render_page(
        "Explanations",
        "Why the model says what it says of test rows, and which of the reasons can be trusted.",
        explain_sections(explained),
        explain_notice(explained.document),
    )


def find_known(wanted: pd.Series, manifest: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The rows of the manifest with these images, and where they stand in it as `row`.

    Raises ArtifactError for an image that it does not have.
    """
    rows = pd.Index(manifest["image_id"]).get_indexer(pd.Index(wanted))
    if (rows < 0).any():
        raise ArtifactError(
            f"{path}: {(rows < 0).sum()} of its images are not in the manifest, the first of them "
            f"{wanted[rows < 0].iloc[0]!r}; expected what `dvc repro evaluate` makes of it"
        )
    return manifest.iloc[rows].assign(row=rows).reset_index(drop=True)


def describe_rows(known: pd.DataFrame, measures: pd.DataFrame) -> pd.DataFrame:
    """What is known and measured of each row; the manifest has some of the measures too."""
    own = [name for name in known.columns if name == "image_id" or name not in measures.columns]
    return known[own].merge(measures, on="image_id", how="left", validate="one_to_one")


def read_said(reference: pd.DataFrame, classes: list[str]) -> Said:
    labels_N = pd.Categorical(reference["label"], categories=classes).codes.astype(np.int64)
    return Said(labels_N, np.stack(reference["probabilities"].to_list()).astype(np.float64))


def nothing_colour(description: Description) -> np.ndarray:
    """The mean colour of what the net learnt from (0…255), which says nothing: (C)."""
    mean, channels = 255 * np.array(description.mean), description.canonical.channels
    # A trained model of others sees grey images as colour.
    return mean if len(mean) == channels else mean.mean().repeat(channels)


def show_examples(
    subject: Subject,
    methods: Sequence[Method],
    pixels: Images,
    known: pd.DataFrame,
    said: Said,
    classes: Sequence[str],
    params: Params,
    seed: int,
) -> list[Group]:
    """The groups, each as far as there is room. `known`: path and row, of what `said` is about."""
    counts = (params.num_mistakes, params.num_uncertain, params.num_per_class)
    chosen = choose_examples(said.labels_N, said.probabilities_NK, *counts, seed)
    groups = []
    for name, positions in chosen._asdict().items():
        drawn = positions[:_MOST_EXAMPLES]
        shown = subject._replace(
            images_NHWC=pixels[known["row"].to_numpy()[drawn]], classes_N=said.classes_N[drawn]
        )
        headings = [heading(int(one), known, said, classes) for one in drawn]
        examples = take(draw_examples(shown, methods, headings, seed), _MOST_BYTES)
        groups.append(Group(name, list(examples), len(positions)))
    return groups


def heading(position: int, known: pd.DataFrame, said: Said, classes: Sequence[str]) -> list[str]:
    given, told = int(said.labels_N[position]), int(said.classes_N[position])
    confidence = said.probabilities_NK[position].max()
    path = known["path"].iloc[position]
    return [f"is {classes[given]}", f"said {classes[told]} ({confidence:.2f})", path]


def draw_examples(
    subject: Subject, methods: Sequence[Method], headings: Sequence[Sequence[str]], seed: int
) -> Iterator[Example]:
    """Each image, and beside it what every method makes of it."""
    if not headings:
        return
    maps = {one.name: explain_subject(one, subject, seed) for one in methods}
    for number, lines in enumerate(headings):
        image_HWC = subject.images_NHWC[number]
        overlays = {name: overlay(image_HWC, maps_NHW[number]) for name, maps_NHW in maps.items()}
        pictures = {"image": image_HWC, **overlays}
        about = ", ".join(lines)
        yield Example(
            lines,
            [
                Picture(png_thumbnail(pixels_HWC, _MOST_PIXELS), f"{name}: {about}")
                for name, pixels_HWC in pictures.items()
            ],
        )


def take(examples: Iterable[Example], most_bytes: int) -> Iterator[Example]:
    """The first of them, as many as fit."""
    num_bytes = 0
    for example in examples:
        num_bytes += sum(len(picture.png) for picture in example.pictures)
        if num_bytes > most_bytes:
            return
        yield example
