"""Which nets can be asked for in params.yaml, by family, and what each is made of.

`Architecture` is what a person asks for, `Built` what an encoder on disk says of itself: they
differ for models of the transformers library alone, which are asked for by their place and
described by their configuration, so that an encoder on disk needs no other file.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from tasks.core.errors import ParamsError
from tasks.core.params import Section

Fraction = Annotated[float, Field(ge=0, lt=1)]
_RESNET_BOTTLENECKS = (50,)


class Convolutional(Section):
    """A net for small images: a 3 × 3 stem and `num_stages` stages of `depth` blocks; the first
    stage has `width` channels, each further one twice as many at half the resolution.

    `self_attention` is one layer after the last stage, `squeeze_excitation` a part of each block.
    """

    family: Literal["convolutional"]
    width: Annotated[int, Field(ge=4, le=512)]
    depth: Annotated[int, Field(ge=1, le=20)]
    num_stages: Annotated[int, Field(ge=1, le=5)]
    activation: Literal["relu", "gelu", "silu", "leaky_relu"]
    connectivity: Literal["plain", "residual", "dense"]
    attention: Literal["none", "squeeze_excitation", "self_attention"]
    normalisation: Literal["batch", "group", "none"]
    dropout: Fraction

    @property
    def embedding_width(self) -> int:
        return self.width * 2 ** (self.num_stages - 1)


class ResNet(Section):
    """ResNet-18, -34 or -50, as published at a `width` of 64. The `small` stem keeps the resolution
    (3 × 3), the `large` one quarters it (7 × 7 and pooling)."""

    family: Literal["resnet"]
    depth: Literal[18, 34, 50]
    stem: Literal["small", "large"]
    width: Annotated[int, Field(ge=4, le=512)]

    @property
    def has_bottlenecks(self) -> bool:
        return self.depth in _RESNET_BOTTLENECKS

    @property
    def embedding_width(self) -> int:
        return self.width * 8 * (4 if self.has_bottlenecks else 1)


class VisionTransformer(Section):
    """Patches of `patch_width` pixels a side, `depth` layers; the hidden layer within each is four
    times as wide as its rows."""

    family: Literal["vit"]
    patch_width: PositiveInt
    hidden_width: Annotated[int, Field(ge=4, le=4096)]
    depth: Annotated[int, Field(ge=1, le=64)]
    num_heads: PositiveInt
    dropout: Fraction

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.hidden_width % self.num_heads:
            raise ValueError(
                f"hidden_width {self.hidden_width} cannot be shared among num_heads "
                f"{self.num_heads}; expected a multiple of it"
            )
        return self

    @property
    def embedding_width(self) -> int:
        return self.hidden_width


class ConvNeXtV2(Section):
    """A stage per entry of `widths` and `depths`, each further one at half the resolution.
    `drop_path` is how often, in training, the last block is passed by; earlier ones less often."""

    family: Literal["convnextv2"]
    patch_width: PositiveInt
    widths: Annotated[list[Annotated[int, Field(ge=4, le=4096)]], Field(min_length=1, max_length=5)]
    depths: list[Annotated[int, Field(ge=1, le=40)]]
    drop_path: Fraction

    @model_validator(mode="after")
    def _stages_are_whole(self) -> Self:
        if len(self.widths) != len(self.depths):
            raise ValueError(
                f"{len(self.widths)} widths and {len(self.depths)} depths; expected one of each "
                "per stage"
            )
        return self

    @property
    def embedding_width(self) -> int:
        return self.widths[-1]


class Transformers(Section):
    """A trained image model of the transformers library, with its own normalisation.

    `source` is a folder with config.json, preprocessor_config.json and weights in safetensors, or
    a hub id where there is a network. `sha256`: of these files, so that other weights in the same
    place are refused and made again is made the same; null takes whatever is there.
    """

    family: Literal["transformers"]
    source: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None


class Configured(Section):
    """A model of the transformers library by its whole configuration. Images are brought to
    `image_width`, the size that it was trained with."""

    family: Literal["transformers"]
    config: dict[str, Any]
    image_width: PositiveInt
    embedding_width: PositiveInt


def _timm_has_it(name: str) -> str:
    try:
        import timm  # type: ignore[import-not-found]
    # It may be there and of no use: torchvision, which it needs, has to fit torch to the version.
    except Exception as error:
        raise ValueError(
            f"timm cannot be imported here ({error}) and is never required; `pip install timm`, or "
            "choose the family convolutional, resnet, vit, convnextv2 or transformers"
        ) from error
    if not timm.is_model(name):
        raise ValueError(f"timm knows no model {name!r}")
    return name


class Timm(Section):
    """A net of the timm library by its name, with fresh weights. How wide its embedding is shows
    once it is built."""

    family: Literal["timm"]
    name: Annotated[str, AfterValidator(_timm_has_it)]


Own = Convolutional | ResNet | VisionTransformer | ConvNeXtV2 | Timm
Architecture = Annotated[Own | Transformers, Field(discriminator="family")]
Built = Annotated[Own | Configured, Field(discriminator="family")]


def check_image_size(architecture: Own | Configured, image_size: int) -> None:
    """Raises ParamsError where images of this many pixels a side are too small for the net, or
    would be cut. What nets of timm take shows once they are built."""
    where = f"pretrain.architecture.patch_width {getattr(architecture, 'patch_width', None)}"
    if isinstance(architecture, VisionTransformer) and image_size % architecture.patch_width:
        raise ParamsError(
            f"{where}: images of {image_size} pixels a side are no whole number of patches; "
            f"expected a divisor of clean.image_size"
        )
    if isinstance(architecture, ConvNeXtV2):
        least = architecture.patch_width * 2 ** (len(architecture.widths) - 1)
        if image_size < least:
            raise ParamsError(
                f"{where} and {len(architecture.widths)} stages: images of {image_size} pixels a "
                f"side vanish on the way; expected a clean.image_size of at least {least}"
            )
