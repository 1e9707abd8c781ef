"""A trained model of the library gives the library's own embeddings, here and after its folder is
gone; what is no such model is told apart."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tasks.artifacts.models import load_encoder, new_encoder, save_encoder
from tasks.artifacts.pretrained import begin_encoder
from tasks.core.architecture import Transformers
from tasks.core.errors import ArtifactError, ParamsError
from tasks.core.gate import Limits
from tasks.core.pixels import Canonical
from tests.nets import tiny

SIDE = 16
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
CONFIGS = {
    "vit": transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=SIDE,
        patch_size=4,
    ),
    "convnext": transformers.ConvNextConfig(
        num_stages=2, hidden_sizes=[8, 16], depths=[1, 1], patch_size=2
    ),
    "resnet": transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic"
    ),
    "swin": transformers.SwinConfig(
        image_size=SIDE, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4
    ),
    "dinov2": transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE, patch_size=4
    ),
}
POOLED = {
    "vit": lambda out: out.last_hidden_state[:, 0],
    "convnext": lambda out: out.pooler_output,
    "resnet": lambda out: out.last_hidden_state.mean(dim=(2, 3)),
    "swin": lambda out: out.last_hidden_state.mean(dim=1),
    "dinov2": lambda out: out.last_hidden_state[:, 0],
}
kinds = pytest.mark.parametrize("kind", CONFIGS)


def pixels(side: int, channels: int = 3) -> torch.Tensor:
    shape = (4, side, side, channels)
    return torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def canonical(size: int = SIDE, channels: Any = 3) -> Canonical:
    limits = Limits(max_file_bytes=1000, max_pixels=100, max_frames=1, min_size=1)
    return Canonical(size=size, channels=channels, resize="pad", limits=limits)


def save_trained(kind: str, folder: Path, **prepared) -> torch.nn.Module:
    torch.manual_seed(5)
    model = transformers.AutoModel.from_config(CONFIGS[kind]).eval()
    # Running statistics that differ from those of a fresh net.
    model.train()
    model(pixel_values=torch.randn(8, 3, SIDE, SIDE))
    model.eval().save_pretrained(folder)
    values = {"size": {"height": SIDE, "width": SIDE}, "image_mean": MEAN, "image_std": STD}
    transformers.ViTImageProcessorPil(**{**values, **prepared}).save_pretrained(folder)
    return model


def asked(folder: Path | str, sha256: str | None = None) -> Transformers:
    return Transformers(family="transformers", source=str(folder), sha256=sha256)


def begin(folder: Path | str, sha256: str | None = None, **canonically):
    given = asked(folder, sha256), [0.1], [0.9], canonical(**canonically), {}
    return begin_encoder(*given)


@kinds
@pytest.mark.parametrize(
    "prepared", [{}, {"do_rescale": False}, {"rescale_factor": 1 / 127.5}, {"do_normalize": False}]
)
def test_embeddings_are_those_of_the_library(kind, prepared, tmp_path):
    model = save_trained(kind, tmp_path, **prepared)
    encoder, _ = begin(tmp_path)
    processor = transformers.ViTImageProcessorPil.from_pretrained(tmp_path)
    images = pixels(SIDE)
    with torch.no_grad():
        given = processor(
            list(images.numpy()), return_tensors="pt", input_data_format="channels_last"
        )
        expected = POOLED[kind](model(**given))
        found = encoder.eval()(images)
    assert found.shape == (4, encoder.embedding_width)
    assert torch.allclose(found, expected, atol=1e-4)


@kinds
def test_an_encoder_on_disk_needs_the_folder_no_more(kind, tmp_path):
    save_trained(kind, tmp_path / "model")
    encoder, description = begin(tmp_path / "model")
    save_encoder(encoder, description, tmp_path / "encoder")
    shutil.rmtree(tmp_path / "model")
    again, described = load_encoder(tmp_path / "encoder")
    assert described == description
    assert str(tmp_path) not in description.model_dump_json()
    assert torch.equal(again.eval()(pixels(SIDE)), encoder.eval()(pixels(SIDE)))


@kinds
def test_the_same_model_is_written_in_the_same_bytes(kind, tmp_path):
    save_trained(kind, tmp_path / "model")
    shutil.copytree(tmp_path / "model", tmp_path / "elsewhere")
    for name in ("model", "elsewhere"):
        save_encoder(*begin(tmp_path / name), tmp_path / f"{name}.safetensors")
    bytes_of = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("model", "elsewhere")]
    assert bytes_of[0] == bytes_of[1]


def test_a_fresh_net_of_the_same_kind_has_other_weights(tmp_path):
    save_trained("vit", tmp_path)
    encoder, description = begin(tmp_path)
    torch.manual_seed(1)
    fresh = new_encoder(description)
    assert [*fresh.state_dict()] == [*encoder.state_dict()]
    assert not torch.equal(fresh.eval()(pixels(SIDE)), encoder.eval()(pixels(SIDE)))


@kinds
@pytest.mark.parametrize("side", [7, 40])
def test_images_are_brought_to_the_size_that_the_model_knows(kind, side, tmp_path):
    save_trained(kind, tmp_path)
    encoder, _ = begin(tmp_path, size=side)
    images = pixels(side)
    x_NCHW = images.permute(0, 3, 1, 2).float()
    resized = torch.nn.functional.interpolate(
        x_NCHW, (SIDE, SIDE), mode="bilinear", antialias=side > SIDE
    )
    normal = (resized / 255 - encoder.mean) / encoder.std
    assert torch.allclose(encoder.eval()(images), encoder.net(normal), atol=1e-4)


def test_grey_images_are_shown_as_colour(tmp_path):
    save_trained("vit", tmp_path)
    encoder, description = begin(tmp_path, channels=1)
    assert np.allclose(description.mean, MEAN) and np.allclose(description.std, STD)
    grey = pixels(SIDE, 1)
    assert torch.equal(encoder.eval()(grey), encoder(grey.expand(-1, -1, -1, 3)))


def test_every_weight_is_taken_from_the_files_but_for_the_dense_pooler(tmp_path):
    given = save_trained("vit", tmp_path).state_dict()
    encoder, _ = begin(tmp_path)
    own = {name.removeprefix("model."): value for name, value in encoder.net.state_dict().items()}
    assert {name for name in given if name not in own} == {
        "pooler.dense.weight",
        "pooler.dense.bias",
    }
    assert all(torch.equal(value, given[name]) for name, value in own.items())


def test_a_model_that_is_not_the_one_stated_is_refused(tmp_path):
    save_trained("vit", tmp_path)
    with pytest.raises(
        ParamsError, match=f"is another model, [0-9a-f]{{64}}; expected {'0' * 64}"
    ) as told:
        begin(tmp_path, "0" * 64)
    stated = str(told.value).split("another model, ")[1][:64]
    begin(tmp_path, stated)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["layernorm.bias"] += 1
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ParamsError, match="is another model"):
        begin(tmp_path, stated)


def without(name: str):
    def remove(folder: Path) -> None:
        (folder / name).unlink()

    return remove


def as_pickle(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def lacking_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["layernorm.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def misshapen(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["layernorm.weight"] = torch.ones(3)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def with_own_code(folder: Path) -> None:
    config = '{"model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModel": "mine.M"}}'
    (folder / "config.json").write_text(config)
    (folder / "mine.py").write_text("raise SystemExit('code of a model was run')")


def of_text(folder: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(folder)


def masking_by_lot(folder: Path) -> None:
    config = transformers.ViTMAEConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=SIDE,
        patch_size=4,
    )
    transformers.ViTMAEModel(config).save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without("config.json"), "config.json"),
        (without("preprocessor_config.json"), "preprocessor_config.json"),
        (without("model.safetensors"), "safetensors"),
        (as_pickle, "safetensors"),
        (lacking_a_tensor, "missing or misshapen, as layernorm.weight"),
        (misshapen, "missing or misshapen, as layernorm.weight"),
        (with_own_code, "contains custom code"),
        (of_text, "bert reads input_ids, not images"),
        (masking_by_lot, "another embedding of the same image each time"),
    ],
)
def test_what_is_no_image_model_in_safetensors_is_refused(spoil, reason, tmp_path):
    save_trained("vit", tmp_path)
    spoil(tmp_path)
    with pytest.raises(ArtifactError, match=reason) as told:
        begin(tmp_path)
    assert str(told.value).startswith(f"{tmp_path}: holds no image model")


def test_a_source_that_is_nowhere_is_refused(tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for source in ("nobody/no-such-model", str(tmp_path / "none")):
        with pytest.raises(ParamsError, match="is no folder here, and the hub gives no model"):
            begin(source)


def test_a_model_of_the_hub_begins_with_its_weights_and_its_own_normalisation(
    tmp_path, monkeypatch
):
    """But for the way over the network."""
    import huggingface_hub

    given = save_trained("vit", tmp_path / "hub")
    (tmp_path / "hub/pytorch_model.bin").write_bytes(b"a pickle")
    fetched: list[str] = []

    def snapshot_download(repo_id: str, *, allow_patterns: list[str]) -> str:
        fetched.append(repo_id)
        (tmp_path / "cache").mkdir()
        for path in (tmp_path / "hub").iterdir():
            if any(path.match(pattern) for pattern in allow_patterns):
                shutil.copy(path, tmp_path / "cache")
        return str(tmp_path / "cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    encoder, description = begin("google/vit-tiny")
    assert fetched == ["google/vit-tiny"]
    assert not (tmp_path / "cache/pytorch_model.bin").exists()
    own = {name.removeprefix("model."): value for name, value in encoder.net.state_dict().items()}
    assert len(own) > 20 and all(
        torch.equal(value, given.state_dict()[name]) for name, value in own.items()
    )
    assert description.mean == pytest.approx(MEAN) and description.std == pytest.approx(STD)
    assert encoder.mean.flatten().tolist() == pytest.approx(MEAN)
    assert encoder.std.flatten().tolist() == pytest.approx(STD)


def test_colour_is_not_shown_to_a_model_for_grey(tmp_path):
    config = transformers.ResNetConfig(
        num_channels=1, embedding_size=4, hidden_sizes=[4], depths=[1], layer_type="basic"
    )
    transformers.ResNetModel(config).save_pretrained(tmp_path)
    processor = transformers.ViTImageProcessorPil(image_mean=[0.5], image_std=[0.2])
    processor.save_pretrained(tmp_path)
    begin(tmp_path, channels=1)
    refusal = "clean.channels is 3, but the model in .* takes images of 1"
    with pytest.raises(ParamsError, match=refusal):
        begin(tmp_path)


def test_nets_of_our_own_begin_with_what_the_data_says():
    torch.manual_seed(0)
    encoder, description = begin_encoder(tiny(), MEAN, STD, canonical(), {"stage": "x"})
    torch.manual_seed(0)
    assert torch.equal(encoder.eval()(pixels(8)), new_encoder(description).eval()(pixels(8)))
    assert description.mean == MEAN and description.fingerprint == {"stage": "x"}
