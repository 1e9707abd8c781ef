"""Masked autoencoding: an encoder of patches learns to fill in those that were hidden from it.

N images, H height, W width, C channels, P patches, S of them seen, X values of a patch, D width
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from tasks.core.encoder import Encoder
from tasks.core.errors import ParamsError
from tasks.core.params import Section
from tasks.core.self_supervised import SelfSupervised
from tasks.core.ssl_losses import reconstruction_loss


class Masked(Section):
    """Masked autoencoders (He et al., 2022): the encoder sees 1 - `masked_fraction` of the patches,
    a small transformer tells the others from what it makes of them."""

    name: Literal["masked"]
    masked_fraction: Annotated[float, Field(gt=0, lt=1)]
    decoder_width: PositiveInt
    decoder_depth: PositiveInt
    decoder_heads: PositiveInt

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.decoder_width % self.decoder_heads:
            raise ValueError(
                f"decoder_width {self.decoder_width} is not a multiple of decoder_heads "
                f"{self.decoder_heads}"
            )
        return self


class MaskedNet(SelfSupervised):
    """Both views are images to fill in. Which patches are hidden is drawn from torch's generator,
    as dropout is."""

    def __init__(self, params: Masked, encoder: Encoder, image_shape: tuple[int, int, int]):
        """Raises ParamsError for an encoder that has no ViTModel of transformers for images of this
        size, a fraction that hides nothing, and patches of a single value."""
        super().__init__(encoder)
        self.projector = nn.Identity()
        self._place = find_transformer(encoder)
        embeddings = self.transformer.embeddings
        if tuple(embeddings.image_size) != image_shape[:2]:
            raise ParamsError(
                f"params.yaml: pretrain.method masked cannot hide patches of images of "
                f"{image_shape[:2]} pixels from a transformer for {tuple(embeddings.image_size)}; "
                "expected the size of canonical images"
            )
        self.patch_side = _side(embeddings.patch_size)
        num_patches = embeddings.patch_embeddings.num_patches
        self.num_seen = max(1, round((1 - params.masked_fraction) * num_patches))
        if self.num_seen == num_patches:
            raise ParamsError(
                f"params.yaml: pretrain.method.masked_fraction {params.masked_fraction} hides none "
                f"of {num_patches} patches; expected a greater fraction or smaller patches"
            )
        num_values = self.patch_side**2 * image_shape[2]
        if num_values == 1:
            raise ParamsError(
                "params.yaml: pretrain.method masked tells each patch on the scale of its own "
                "deviation, and patches of one grey pixel have none; expected a greater "
                "architecture.patch_width"
            )
        width = params.decoder_width
        self.to_decoder = nn.Linear(embeddings.position_embeddings.shape[-1], width)
        self.hidden_patch = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, num_patches + 1, width))
        layer = nn.TransformerEncoderLayer(
            width, params.decoder_heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerEncoder(
            layer, params.decoder_depth, nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.to_pixels = nn.Linear(width, num_values)

    @property
    def transformer(self) -> Any:
        # Not kept as a module of its own: its weights would stand in `state_dict` twice.
        return self.encoder.get_submodule(self._place)

    def project(self, view1_NHWC: Tensor, view2_NHWC: Tensor) -> Sequence[Tensor]:
        images_NHWC = torch.cat([view1_NHWC, view2_NHWC]).float() / 255
        patches_NPX = cut_patches(images_NHWC, self.patch_side)
        noise_NP = torch.rand(patches_NPX.shape[:2], device=patches_NPX.device)
        order_NP = noise_NP.argsort(dim=1)
        seen_NS = order_NP[:, : self.num_seen]
        is_masked_NP = torch.ones_like(noise_NP, dtype=torch.bool).scatter(1, seen_NS, False)
        predicted_NPX = self._fill_in(self._encode(images_NHWC, seen_NS), seen_NS, is_masked_NP)
        return predicted_NPX, patches_NPX, is_masked_NP

    def compare(self, predicted_NPX: Tensor, patches_NPX: Tensor, is_masked_NP: Tensor) -> Tensor:
        return reconstruction_loss(predicted_NPX, patches_NPX, is_masked_NP)

    def _encode(self, images_NHWC: Tensor, seen_NS: Tensor) -> Tensor:
        """The class token and the patches that are seen: (N, 1 + S, D)."""
        mean, std = self.encoder.mean, self.encoder.std
        tokens = self.transformer.embeddings((images_NHWC.permute(0, 3, 1, 2) - mean) / std)
        class_N1D, patches_NPD = tokens[:, :1], tokens[:, 1:]
        seen_NSD = patches_NPD.gather(1, seen_NS[..., None].expand(-1, -1, tokens.shape[2]))
        tokens = torch.cat([class_N1D, seen_NSD], dim=1)
        for layer in self.transformer.layers:
            tokens = layer(tokens)
        return self.transformer.layernorm(tokens)

    def _fill_in(self, tokens: Tensor, seen_NS: Tensor, is_masked_NP: Tensor) -> Tensor:
        tokens = self.to_decoder(tokens)
        class_N1D, seen_NSD = tokens[:, :1], tokens[:, 1:]
        hidden_NPD = self.hidden_patch.to(tokens.dtype).expand(*is_masked_NP.shape, -1)
        places = seen_NS[..., None].expand_as(seen_NSD)
        patches_NPD = hidden_NPD.scatter(1, places, seen_NSD)
        decoded = self.decoder(torch.cat([class_N1D, patches_NPD], dim=1) + self.positions)
        return self.to_pixels(decoded[:, 1:])


def find_transformer(encoder: nn.Module) -> str:
    """The name of the ViTModel of transformers within the encoder.

    Raises ParamsError if there is none.
    """
    for name, module in encoder.named_modules():
        # By name: to import transformers takes seconds, which other encoders need not wait for.
        if type(module).__name__ == "ViTModel":
            return name
    raise ParamsError(
        "params.yaml: pretrain.method masked hides patches from a Vision Transformer, and "
        "pretrain.architecture is another net; expected family vit, or another method"
    )


def cut_patches(images_NHWC: Tensor, side: int) -> Tensor:
    """Images → their patches, row by row: (N, P, side · side · C)."""
    num_images, height, width, num_channels = images_NHWC.shape
    grid = images_NHWC.reshape(num_images, height // side, side, width // side, side, num_channels)
    return grid.transpose(2, 3).reshape(num_images, -1, side * side * num_channels)


def _side(patch_size: Any) -> int:
    return patch_size if isinstance(patch_size, int) else int(patch_size[0])
