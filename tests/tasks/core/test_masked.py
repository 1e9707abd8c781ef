"""What was hidden is hidden, and other nets than patch transformers are refused."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tasks.core.encoder import Encoder
from tasks.core.errors import ParamsError
from tasks.core.masked import Masked, MaskedNet, cut_patches
from tasks.core.methods import make_method
from tests.nets import tiny, tiny_vit

SHAPE = (8, 8, 3)
MASKED: dict[str, Any] = {
    "name": "masked",
    "masked_fraction": 0.75,
    "decoder_width": 8,
    "decoder_depth": 1,
    "decoder_heads": 2,
}


def patch_encoder() -> Encoder:
    return Encoder(tiny_vit(patch_width=2, depth=1), [0.5] * 3, [0.25] * 3, 8)


def new_net(**changed) -> MaskedNet:
    torch.manual_seed(0)
    method = make_method(Masked(**MASKED | changed), patch_encoder(), SHAPE)
    assert isinstance(method, MaskedNet)
    return method


def images(seed: int, num_images: int = 6) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    # Large blobs: what lies beside a hidden patch tells something of it.
    coarse = torch.randint(0, 256, (num_images, 3, 2, 2), generator=rng).float()
    fine = nn.functional.interpolate(coarse, (8, 8), mode="bilinear")
    return fine.permute(0, 2, 3, 1).to(torch.uint8)


def test_patches_are_cut_row_by_row():
    image = torch.arange(2 * 4 * 4 * 3).view(2, 4, 4, 3)
    patches = cut_patches(image, 2)
    assert patches.shape == (2, 4, 12)
    for number, (row, column) in enumerate([(0, 0), (0, 2), (2, 0), (2, 2)]):
        expected = image[:, row : row + 2, column : column + 2].reshape(2, 12)
        assert torch.equal(patches[:, number], expected)


def test_the_share_that_was_asked_for_is_hidden_in_each_image():
    for fraction, hidden in ((0.75, 12), (0.5, 8), (0.99, 15)):
        torch.manual_seed(0)
        *_, is_masked = new_net(masked_fraction=fraction).project(images(0), images(1))
        assert is_masked.sum(dim=1).tolist() == [hidden] * 12
        assert not (is_masked == is_masked[0]).all()


def test_nothing_of_a_hidden_patch_reaches_what_is_predicted():
    net, first, second = new_net().eval(), images(0), images(1)
    torch.manual_seed(5)
    predicted, _, is_masked = net.project(first, second)
    both = torch.cat([first, second])
    side = 2
    for number in range(16):
        top, left = side * (number // 4), side * (number % 4)
        both[is_masked[:, number], top : top + side, left : left + side] = 0
    torch.manual_seed(5)
    again, patches, _ = net.project(*both.chunk(2))
    assert not patches[is_masked].any()
    torch.testing.assert_close(again, predicted)
    torch.manual_seed(5)
    seen_changed, _, _ = net.project(255 - first, second)
    assert not torch.allclose(seen_changed[:6], predicted[:6])


def test_with_all_but_one_patch_seen_the_tokens_are_those_of_the_transformer():
    net = new_net(masked_fraction=0.01 + 1 / 16).eval()
    assert net.num_seen == 15
    seen = torch.arange(16)[None].expand(6, -1)
    pixels = images(0).float() / 255
    tokens = net._encode(pixels, seen)
    encoder = net.encoder
    x = (pixels.permute(0, 3, 1, 2) - encoder.mean) / encoder.std  # type: ignore[operator]
    torch.testing.assert_close(tokens, net.transformer(x).last_hidden_state)


def test_its_loss_is_computed_in_float32():
    losses = []
    for is_narrow in (False, True):
        net = new_net()
        torch.manual_seed(5)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_narrow):
            losses.append(net(images(0), images(1)))
    wide, narrow = losses
    assert narrow.dtype == torch.float32
    assert narrow.item() == pytest.approx(wide.item(), rel=0.05)
    assert narrow.item() != wide.item()


def test_it_learns_repeatably_and_goes_on_from_its_state():
    def learn(net: MaskedNet, steps: range) -> list[float]:
        optimiser = torch.optim.SGD(net.parameters(), lr=0.05)
        losses = []
        for step in steps:
            torch.manual_seed(step)
            loss = net(images(step % 4, 32), images(step % 4 + 4, 32))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return losses

    net = new_net()
    losses = learn(net, range(30))
    assert np.mean(losses[-5:]) < 0.97 * np.mean(losses[:5])
    part = new_net()
    learn(part, range(15))
    resumed = new_net()
    resumed.load_state_dict(copy.deepcopy(part.state_dict()))
    assert learn(resumed, range(15, 30)) == losses[15:]
    assert not [key for key in net.state_dict() if key.startswith("transformer")]


def test_other_encoders_are_refused_with_a_reason():
    encoder = Encoder(tiny(), [0.5] * 3, [0.25] * 3, 8)
    with pytest.raises(ParamsError, match="expected family vit"):
        make_method(Masked(**MASKED), encoder, SHAPE)


def test_images_of_another_size_are_refused():
    with pytest.raises(ParamsError, match=r"\(16, 16\) pixels from a transformer for \(8, 8\)"):
        make_method(Masked(**MASKED), patch_encoder(), (16, 16, 3))


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ParamsError, match="hides none of 16 patches"):
        new_net(masked_fraction=0.01)
    grey = Encoder(tiny_vit(patch_width=1), [0.5], [0.25], 4)
    with pytest.raises(ParamsError, match="patches of one grey pixel"):
        make_method(Masked(**MASKED), grey, (4, 4, 1))
    with pytest.raises(ValidationError, match="not a multiple of decoder_heads 2"):
        Masked(**{**MASKED, "decoder_width": 9})
