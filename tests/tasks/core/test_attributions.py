"""Attributions are what their formulas say on nets that can be computed by hand, and every family
of nets has them."""

from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from pydantic import TypeAdapter, ValidationError
from torch import nn
from torch.nn import functional as F

from tasks.core.attributions import Method, attribute, why_unavailable
from tasks.core.encoder import Classifier, Encoder
from tasks.core.grad_cam import find_places
from tasks.core.superpixels import find_superpixels
from tests.nets import FAMILIES, tiny

METHODS: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"num_steps": 32},
    "smooth_gradients": {"num_noisy": 4, "noise_fraction": 0.1},
    "grad_cam": {},
    "occlusion": {"width_fraction": 0.25},
    "kernel_shap": {"superpixels_across": 3, "num_coalitions": 30},
    "lime": {"superpixels_across": 3, "num_samples": 200},
}
NOTHING_3 = np.array([100.0, 120.0, 90.0])
methods = pytest.mark.parametrize("name", METHODS)


def method(name: str, **changed: Any) -> Method:
    return TypeAdapter(Method).validate_python({"name": name, **METHODS[name], **changed})


class Linear(nn.Module):
    """Logits that are sums over pixels: uint8 (N, H, W, C) → (N, K)."""

    def __init__(self, shape: tuple[int, int, int], num_classes: int):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn((num_classes, *shape), generator=generator))

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nhwc,khwc->nk", images_NHWC.float() / 255, self.weight)

    def effects(self, images_NHWC: np.ndarray, classes_N: np.ndarray) -> np.ndarray:
        """What each pixel adds to the class beside the mean of all, against nothing: (N, H, W)."""
        weight = self.weight.detach().numpy().astype(np.float64)
        centred = weight - weight.mean(axis=0)
        return ((images_NHWC - NOTHING_3) / 255 * centred[classes_N]).sum(axis=3)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 9, 9, 3), dtype=np.uint8)


@pytest.fixture
def classes():
    return np.array([0, 1, 2, 1, 0])


@pytest.fixture
def linear():
    return Linear((9, 9, 3), 3)


def explain(name: str, net: nn.Module, images: np.ndarray, classes: np.ndarray, **changed: Any):
    return attribute(method(name, **changed), net, images, classes, NOTHING_3, 0)


def test_integrated_gradients_of_a_sum_are_its_terms(linear, images, classes):
    found = explain("integrated_gradients", linear, images, classes, num_steps=2)
    np.testing.assert_allclose(found, linear.effects(images, classes), atol=1e-4)


@pytest.mark.parametrize("family", ["residual", "vit"])
def test_integrated_gradients_add_up_to_what_the_image_brings(family, images, classes):
    net = classifier(family)
    images = np.resize(images, (5, 8, 8, 3))
    found = explain("integrated_gradients", net, images, classes, num_steps=300)

    def evidence(pixels: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits = net(torch.from_numpy(np.float32(pixels))).numpy()
        return logits[np.arange(5), classes] - logits.mean(axis=1)

    gained = evidence(images) - evidence(np.broadcast_to(NOTHING_3, images.shape))
    assert np.abs(gained).max() > 0.01
    np.testing.assert_allclose(found.sum(axis=(1, 2)), gained, rtol=0.02, atol=1e-3)


def test_the_gradient_of_a_sum_is_smooth_already(linear, images, classes):
    found = explain("smooth_gradients", linear, images, classes)
    np.testing.assert_allclose(found, linear.effects(images, classes), atol=1e-4)


def test_what_is_covered_takes_its_terms_away(linear, images, classes):
    found = explain("occlusion", linear, images, classes, width_fraction=0.4)
    effects = linear.effects(images, classes)
    total, count = np.zeros_like(effects), np.zeros(effects.shape[1:])
    # Windows of 4 of 9 pixels a side, 2 apart; the last one is cut.
    for top in (0, 2, 4, 6):
        for left in (0, 2, 4, 6):
            window = np.s_[:, top : top + 4, left : left + 4]
            total[window] += effects[window].sum(axis=(1, 2))[:, None, None]
            count[window[1:]] += 1
    np.testing.assert_allclose(found, total / count, atol=1e-4)


def parts_of(effects: np.ndarray, images: np.ndarray) -> np.ndarray:
    """To every pixel what its whole superpixel adds."""
    expected = np.empty_like(effects)
    for one, segments in enumerate(find_superpixels(images, 3)):
        for part in np.unique(segments):
            expected[one][segments == part] = effects[one][segments == part].sum()
    return expected


# 510 is every coalition of nine superpixels; 30 is a sample of them.
@pytest.mark.parametrize("num_coalitions", [30, 510])
def test_shapley_values_of_a_sum_are_its_terms(linear, images, classes, num_coalitions):
    found = explain("kernel_shap", linear, images, classes, num_coalitions=num_coalitions)
    expected = parts_of(linear.effects(images, classes), images)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_lime_recovers_a_sum(linear, images, classes):
    found = explain("lime", linear, images, classes)
    expected = parts_of(linear.effects(images, classes), images)
    np.testing.assert_allclose(found, expected, atol=0.01 * np.abs(expected).max())


def classifier(family: str) -> Classifier:
    torch.manual_seed(0)
    encoder = Encoder(FAMILIES[family], [0.4, 0.5, 0.6], [0.2, 0.2, 0.3], 8)
    return Classifier(encoder, 3, 0.5).eval()


@pytest.mark.parametrize("family", ["residual", "resnet50", "convnextv2"])
def test_grad_cam_is_that_of_captum(family, classes):
    net = classifier(family)
    images = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    layer = find_places(net)
    assert layer is not None

    def evidence(x: torch.Tensor) -> torch.Tensor:
        logits = net(x)
        return logits - logits.mean(dim=1, keepdim=True)

    x = torch.from_numpy(images).float().requires_grad_()
    reference: Any = LayerGradCam(evidence, layer).attribute(x, torch.from_numpy(classes))
    expected = F.interpolate(reference.relu().detach(), (8, 8), mode="bilinear")[:, 0]
    found = explain("grad_cam", net, images, classes)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.max() > 0


def test_grad_cam_of_tokens_points_at_the_patch_that_is_read():
    """The head reads a class token that can see by attention alone; all patches are equal but one,
    on which everything hangs."""
    net = classifier("vit")
    images = np.full((1, 8, 8, 3), 90, dtype=np.uint8)
    images[0, 4:, :4] = 255
    maps = [
        attribute(method("grad_cam"), net, images, np.array([k]), NOTHING_3, 0)[0] for k in range(3)
    ]
    assert all(one.shape == (8, 8) and one.min() >= 0 for one in maps)
    # Equal patches differ by their places alone, and much less than the odd one from them.
    strongest = max(maps, key=lambda one: one.max())
    assert np.unravel_index(strongest.argmax(), (8, 8)) >= (4, 0)


@pytest.mark.parametrize("family", FAMILIES)
@methods
def test_every_family_is_explained_the_same_twice(family, name):
    net = classifier(family)
    # The large stem leaves one place of 32 pixels a side, the small one of 8.
    side = {"resnet18": 64, "resnet50": 16}.get(family, 8)
    images = np.random.default_rng(2).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    assert not why_unavailable(method(name), net, images.shape[1:])
    state = torch.random.get_rng_state()
    first, again = (explain(name, net, images, np.array([0, 1, 2])) for _ in range(2))
    assert first.dtype == np.float32 and first.shape == images.shape[:3]
    assert np.isfinite(first).all() and first.any()
    assert (first == again).all()
    assert name != "grad_cam" or (first >= 0).all()
    assert (torch.random.get_rng_state() == state).all()


@methods
def test_grey_images_of_two_classes_are_explained(name):
    torch.manual_seed(0)
    net = Classifier(Encoder(tiny(), [0.5], [0.25], 8), 2, 0.0).train()
    images = np.random.default_rng(3).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
    found = attribute(method(name), net, images, np.array([0, 1, 1, 0]), np.array([99.0]), 0)
    assert found.shape == (4, 8, 8) and found.any()
    assert net.training


def test_a_number_added_to_all_logits_explains_nothing(images, classes, linear):
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = linear

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x) + x.float().mean(dim=(1, 2, 3))[:, None]

    for name in ("integrated_gradients", "smooth_gradients", "occlusion", "kernel_shap"):
        shifted, plain = (explain(name, net, images, classes) for net in (Shifted(), linear))
        np.testing.assert_allclose(shifted, plain, atol=2e-3 * np.abs(plain).max())


def test_features_of_one_place_cannot_be_told_apart():
    net = classifier("residual")
    assert why_unavailable(method("grad_cam"), net, (2, 2, 3)).endswith("of one place")
    assert not why_unavailable(method("grad_cam"), net, (8, 8, 3))
    assert not why_unavailable(method("lime"), net, (2, 2, 3))
    unknown = Linear((2, 2, 3), 2)
    assert "known to have places" in why_unavailable(method("grad_cam"), unknown, (2, 2, 3))
    with pytest.raises(ValueError, match="known to have places"):
        explain("grad_cam", unknown, np.zeros((1, 2, 2, 3), np.uint8), np.array([0]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "gradients"},
        {"name": "grad_cam", "num_steps": 3},
        {"name": "occlusion"},
        {"name": "occlusion", "width_fraction": 0.0},
        {"name": "kernel_shap", "superpixels_across": 1, "num_coalitions": 10},
    ],
)
def test_other_methods_are_refused(wrong):
    with pytest.raises(ValidationError):
        TypeAdapter(Method).validate_python(wrong)
