"""Which pixels spoke for a class: attributions of single images, by methods that params.yaml names.

What is explained is the logit of a class beside the mean of all logits: a number added to all of
them changes no prediction, and must not change its explanation.

N images, H height, W width, C channels, K classes, F superpixels, S coalitions
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from tasks.core.grad_cam import count_places, grad_cam
from tasks.core.params import Section
from tasks.core.superpixels import find_superpixels, kernel_shap, lime

# Numbers in the images of one pass of the net; more would not fit where images are large.
_MOST_AT_ONCE = 2**20
Share = Annotated[float, Field(gt=0, le=1)]
Across = Annotated[int, Field(ge=2, le=32)]


class IntegratedGradients(Section):
    """Gradients on the way from nothing to the image (Sundararajan et al., 2017)."""

    name: Literal["integrated_gradients"]
    num_steps: PositiveInt


class SmoothGradients(Section):
    """Gradients averaged over noisy copies of the image (SmoothGrad, Smilkov et al., 2017), times
    how far the image is from nothing: by itself a gradient is small just where the net is sure.
    `noise_fraction` is the noise's deviation as a share of white."""

    name: Literal["smooth_gradients"]
    num_noisy: PositiveInt
    noise_fraction: Share


class GradCam(Section):
    """The last features that still have places, weighed by their mean gradients (Selvaraju et al.,
    2017). Of a transformer, what goes into its last layer: of what comes out of it, the class token
    alone is read."""

    name: Literal["grad_cam"]


class Occlusion(Section):
    """What the class loses where a square of `width_fraction` of the side is covered (Zeiler and
    Fergus, 2014)."""

    name: Literal["occlusion"]
    width_fraction: Share


class KernelShap(Section):
    """Shapley values of superpixels (Lundberg and Lee, 2017), of at most `num_coalitions`."""

    name: Literal["kernel_shap"]
    superpixels_across: Across
    num_coalitions: Annotated[int, Field(ge=2)]


class Lime(Section):
    """A linear model of what superpixels bring near the image (Ribeiro et al., 2016)."""

    name: Literal["lime"]
    superpixels_across: Across
    num_samples: Annotated[int, Field(ge=2)]


Method = Annotated[
    IntegratedGradients | SmoothGradients | GradCam | Occlusion | KernelShap | Lime,
    Field(discriminator="name"),
]


class Asked(NamedTuple):
    """Images of levels in 0…255 as float (N, H, W, C), the classes to explain, and the colour that
    stands for nothing (C)."""

    images_NHWC: Tensor
    classes_N: Tensor
    nothing_C: Tensor

    @property
    def nothing_1HWC(self) -> Tensor:
        return self.nothing_C.expand(1, *self.images_NHWC.shape[1:])


def attribute(
    method: Method,
    net: nn.Module,
    images_NHWC: np.ndarray,
    classes_N: np.ndarray,
    nothing_C: np.ndarray,
    seed: int,
) -> np.ndarray:
    """What every pixel did for its image's class: float32 (N, H, W), the net in evaluation mode.

    nothing_C: the colour (0…255) of a pixel that says nothing.

    Raises ValueError as `why_unavailable` tells.
    """
    device = next(net.parameters()).device
    was_training = net.training
    net.eval()
    parts = []
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for rows in _portions(method, images_NHWC):
            asked = Asked(
                torch.from_numpy(images_NHWC[rows]).to(device).float(),
                torch.from_numpy(classes_N[rows]).to(device),
                torch.from_numpy(nothing_C).to(device).float(),
            )
            parts.append(_explain(method, net, asked, seed))
    net.train(was_training)
    return np.concatenate(parts).astype(np.float32)


def _portions(method: Method, images_NHWC: np.ndarray) -> Iterator[slice]:
    copies = {"integrated_gradients": "num_steps", "smooth_gradients": "num_noisy"}
    each = images_NHWC[0].size * getattr(method, copies.get(method.name, ""), 1)
    step = max(1, _MOST_AT_ONCE // each)
    return (slice(start, start + step) for start in range(0, len(images_NHWC), step))


def _explain(method: Method, net: nn.Module, asked: Asked, seed: int) -> np.ndarray:
    match method:
        case IntegratedGradients():
            maps = _integrated_gradients(method, net, asked)
        case SmoothGradients():
            maps = _smooth_gradients(method, net, asked)
        case GradCam():
            maps = grad_cam(net, _evidence(net), asked.images_NHWC, asked.classes_N)
        case Occlusion():
            maps = _occlusion(method, net, asked)
        case KernelShap() | Lime():
            return _superpixels(method, net, asked, seed)
    return maps.detach().cpu().numpy()


def _evidence(net: nn.Module) -> Callable[[Tensor], Tensor]:
    def of(images_NHWC: Tensor) -> Tensor:
        logits_NK = net(images_NHWC)
        return logits_NK - logits_NK.mean(dim=1, keepdim=True)

    return of


# captum is imported late: it takes seconds, as it draws in a library for figures.


def _integrated_gradients(method: IntegratedGradients, net: nn.Module, asked: Asked) -> Tensor:
    from captum.attr import IntegratedGradients as Captum

    found_NHWC: Any = Captum(_evidence(net)).attribute(
        asked.images_NHWC,
        baselines=asked.nothing_1HWC,
        target=asked.classes_N,
        n_steps=method.num_steps,
    )
    return found_NHWC.sum(dim=3)


def _smooth_gradients(method: SmoothGradients, net: nn.Module, asked: Asked) -> Tensor:
    from captum.attr import NoiseTunnel, Saliency

    found_NHWC: Any = NoiseTunnel(Saliency(_evidence(net))).attribute(
        asked.images_NHWC,
        nt_samples=method.num_noisy,
        stdevs=255.0 * method.noise_fraction,
        target=asked.classes_N,
        abs=False,
    )
    return (found_NHWC * (asked.images_NHWC - asked.nothing_C)).sum(dim=3)


def _occlusion(method: Occlusion, net: nn.Module, asked: Asked) -> Tensor:
    from captum.attr import Occlusion as Captum

    height, width, channels = asked.images_NHWC.shape[1:]
    window = [max(1, round(method.width_fraction * side)) for side in (height, width)]
    strides = [max(1, side // 2) for side in window]
    with torch.no_grad():
        found_NHWC: Any = Captum(_evidence(net)).attribute(
            asked.images_NHWC,
            sliding_window_shapes=(*window, channels),
            strides=(*strides, channels),
            baselines=asked.nothing_1HWC,
            target=asked.classes_N,
        )
    # All channels are covered together, and each is told the same.
    return found_NHWC[..., 0]


def _superpixels(method: KernelShap | Lime, net: nn.Module, asked: Asked, seed: int) -> np.ndarray:
    images_NHWC, evidence = asked.images_NHWC, _evidence(net)
    segments_NHW = find_superpixels(images_NHWC.cpu().numpy(), method.superpixels_across)
    segments = torch.from_numpy(segments_NHW).to(images_NHWC.device)

    @torch.no_grad()
    def values_of(coalitions_SF: np.ndarray) -> np.ndarray:
        """The evidence where these superpixels are left: (S, N)."""
        values = []
        step = max(1, _MOST_AT_ONCE // images_NHWC.numel())
        for some_SF in torch.from_numpy(coalitions_SF).to(segments.device).split(step):
            stays_SNHW1 = some_SF[:, segments][..., None]
            mixed_SNHWC = torch.where(stays_SNHW1, images_NHWC, asked.nothing_C)
            evidence_MK = evidence(mixed_SNHWC.flatten(0, 1))
            classes_M = asked.classes_N.repeat(len(some_SF))
            values.append(evidence_MK.gather(1, classes_M[:, None]).view(len(some_SF), -1))
        return torch.cat(values).double().cpu().numpy()

    count, rng = method.superpixels_across**2, np.random.default_rng(seed)
    if isinstance(method, KernelShap):
        found_NF = kernel_shap(values_of, count, method.num_coalitions, rng)
    else:
        found_NF = lime(values_of, count, method.num_samples, rng)
    flat_NP = segments_NHW.reshape(len(segments_NHW), -1)
    return np.take_along_axis(found_NF, flat_NP, axis=1).reshape(segments_NHW.shape)


def why_unavailable(method: Method, net: nn.Module, image_shape: tuple[int, int, int]) -> str:
    """Why a method has nothing to say about this net, empty where it has."""
    if not isinstance(method, GradCam):
        return ""
    num_places = count_places(net, image_shape)
    if num_places is None:
        return "nothing in this net is known to have places"
    return "the net's last features are of one place" if num_places == 1 else ""
