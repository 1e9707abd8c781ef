"""What can be asked for, and why the rest is refused."""

import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from tasks.core.architecture import Architecture, Built
from tests.fake_timm import fake_timm as fake_timm
from tests.nets import TINY, tiny, tiny_convnext, tiny_resnet, tiny_vit

ASKED = TypeAdapter(Architecture)
BUILT = TypeAdapter(Built)
HUB = {"family": "transformers", "source": "models/dinov2", "sha256": None}


@pytest.mark.parametrize(
    ("architecture", "width"),
    [
        (tiny(num_stages=1), 4),
        (tiny(num_stages=5, depth=2), 64),
        (tiny(width=6, connectivity="dense"), 12),
        (tiny_resnet(width=64), 512),
        (tiny_resnet(depth=34, width=64), 512),
        (tiny_resnet(depth=50, width=64), 2048),
        (tiny_vit(), 16),
        (tiny_convnext(), 16),
    ],
)
def test_the_width_of_the_embedding(architecture, width):
    assert architecture.embedding_width == width


@pytest.mark.parametrize("architecture", [tiny(), tiny_resnet(), tiny_vit(), tiny_convnext()])
def test_what_is_asked_for_comes_back_from_its_description(architecture):
    for kind in (ASKED, BUILT):
        assert kind.validate_python(architecture.model_dump()) == architecture


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (TINY | {"width": 2}, "greater than or equal to 4"),
        (TINY | {"width": 1000}, "less than or equal to 512"),
        (TINY | {"width": "8"}, "valid integer"),
        (TINY | {"width": 8.5}, "valid integer"),
        (TINY | {"depth": 0}, "greater than or equal to 1"),
        (TINY | {"num_stages": 6}, "less than or equal to 5"),
        (TINY | {"activation": "tanh"}, "'relu', 'gelu', 'silu' or 'leaky_relu'"),
        (TINY | {"connectivity": "sparse"}, "'plain', 'residual' or 'dense'"),
        (TINY | {"attention": "global"}, "'squeeze_excitation' or 'self_attention'"),
        (TINY | {"normalisation": "layer"}, "'batch', 'group' or 'none'"),
        (TINY | {"dropout": 1.0}, "less than 1"),
        (TINY | {"heads": 4}, "Extra inputs are not permitted"),
        ({k: v for k, v in TINY.items() if k != "dropout"}, "Field required"),
        (TINY | {"family": "mlp"}, "'convolutional', 'resnet', 'vit', 'convnextv2', 'timm'"),
        (tiny_resnet().model_dump() | {"depth": 101}, "18, 34 or 50"),
        (tiny_vit().model_dump() | {"num_heads": 3}, "16 cannot be shared among num_heads 3"),
        (tiny_vit().model_dump() | {"patch_width": 0}, "greater than 0"),
        (tiny_convnext().model_dump() | {"depths": [1]}, "2 widths and 1 depths; expected one"),
        (tiny_convnext().model_dump() | {"drop_path": -0.1}, "greater than or equal to 0"),
        (HUB | {"sha256": "abc"}, "should match pattern"),
        (HUB | {"source": ""}, "at least 1 character"),
        ({k: v for k, v in TINY.items() if k != "family"}, "discriminator 'family'"),
    ],
)
def test_other_architectures_are_refused(wrong, reason):
    with pytest.raises(ValidationError, match=reason):
        ASKED.validate_python(wrong)


def test_a_model_on_disk_is_not_described_by_its_place():
    assert ASKED.validate_python(HUB)
    with pytest.raises(ValidationError, match="config"):
        BUILT.validate_python(HUB)


def test_timm_is_refused_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValidationError, match=r"timm cannot be imported here .*never required"):
        ASKED.validate_python({"family": "timm", "name": "resnet18"})


def test_timm_is_refused_where_it_is_of_no_use(monkeypatch, tmp_path):
    (tmp_path / "timm.py").write_text("raise RuntimeError('no torchvision')", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValidationError, match=r"imported here \(no torchvision\)"):
        ASKED.validate_python({"family": "timm", "name": "resnet18"})


def test_nets_of_timm_are_asked_for_by_their_names(fake_timm):
    for kind in (ASKED, BUILT):
        asked = {"family": "timm", "name": "vgg"}
        assert kind.validate_python(asked).model_dump() == asked
        with pytest.raises(ValidationError, match="timm knows no model 'vggg'"):
            kind.validate_python({"family": "timm", "name": "vggg"})
