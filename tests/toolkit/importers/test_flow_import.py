"""Flows of both origins: latents, score and map equal an independent transcription of the origin's forward pass."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from csflow.toolkit.importers.anomalib import read_anomalib
from csflow.toolkit.importers.archive import TorchFile
from csflow.toolkit.importers.errors import ImportRefused
from csflow.toolkit.importers.flow_keys import ANOMALIB, REFERENCE, from_csflow
from csflow.toolkit.importers.foreign import ForeignModel
from csflow.toolkit.importers.import_model import ImportPlan, read_foreign
from csflow.toolkit.importers.permutations import draw
from csflow.toolkit.methods.flow.flow import anomaly_map, score

Save = Callable[..., Any]
ORIGINS = ["reference", "anomalib-0.x", "anomalib-1.x"]


@pytest.fixture
def imported(tmp_path: Path, save_reference: Save, save_anomalib: Save, drawn: Any) -> Callable[[str], Any]:
    """`imported(origin)`: what csflow reads, and the origin's tensors and permutations."""

    def make(origin: str, channels: int = 8) -> tuple[ForeignModel, Any, Any]:
        path = tmp_path / origin
        if origin == "reference":
            state, perms = save_reference(path, channels)
        else:
            old = origin == "anomalib-0.x"
            state = save_anomalib(path, channels, lightning="1.9.5" if old else "2.1.3")
            perms = drawn[origin](4, channels)
        return read_foreign(path, ImportPlan()), state, perms

    return make


@pytest.mark.parametrize("size", [128, 256])
@pytest.mark.parametrize("origin", ORIGINS)
def test_latents_score_and_map_are_the_origin_s(
    origin: str, size: int, imported: Any, transcription: Any, features: Any
) -> None:
    foreign, state, perms = imported(origin)
    assert foreign.origin == origin
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        x = features(8, size, dtype)
        expected = transcription(state, perms, x)
        z, _ = foreign.flow.to(dtype)(tuple(x))
        for got, want in zip(z, expected, strict=True):
            assert float((got - want).abs().max() / want.abs().max()) < tolerance
        flat = torch.cat([v.flatten(1) for v in expected], 1)
        torch.testing.assert_close(score(z), (flat**2 / 2).mean(1), rtol=tolerance, atol=0)
        torch.testing.assert_close(
            anomaly_map(z, foreign.anomaly_map), origin_map(origin, expected, size), rtol=tolerance, atol=tolerance
        )


def origin_map(origin: str, z: list[torch.Tensor], size: int) -> torch.Tensor:
    levels = [(v**2).mean(dim=1, keepdim=True) for v in z]
    if origin == "reference":
        return levels[0][:, 0]
    product = torch.ones(z[0].shape[0], 1, size, size, dtype=z[0].dtype)
    for level in levels:
        product = product * functional.interpolate(level, size=(size, size), mode="bilinear", align_corners=False)
    return product[:, 0]


def test_a_wrong_permutation_set_or_a_swapped_half_would_show(imported: Any, transcription: Any, features: Any) -> None:
    foreign, state, perms = imported("anomalib-1.x")
    x = features(8, 128)
    z, _ = foreign.flow(tuple(x))
    for other in (
        transcription(state, draw("legacy", 4, 8), x),
        transcription(state, perms, x, swapped=True),
        transcription(state, perms, [v.roll(4, dims=1) for v in x]),
    ):
        assert float((z[0] - other[0]).abs().max()) > 0.1


def test_names_map_back(tmp_path: Path, save_reference: Save, save_anomalib: Save) -> None:
    save_reference(tmp_path / "a")
    save_anomalib(tmp_path / "b")
    for name, layout in (("a", REFERENCE), ("b", ANOMALIB)):
        with TorchFile(tmp_path / name) as file:
            flow = read_foreign(tmp_path / name, ImportPlan()).flow
            back = from_csflow(layout, flow)
            assert len(back) == 184
            if name == "b":
                stored = file.root["state_dict"]
                assert back.keys() == stored.keys()
                assert all(torch.equal(file.tensor(stored[k]), v) for k, v in back.items())


def test_a_state_dict_of_the_reference_gets_its_permutations_drawn(
    tmp_path: Path, save_reference: Save, transcription: Any, features: Any
) -> None:
    state, perms = save_reference(tmp_path / "state", state_only=True)
    foreign = read_foreign(tmp_path / "state", ImportPlan())
    assert foreign.permutations == "legacy, drawn"
    x = features(8, 128)
    torch.testing.assert_close(foreign.flow(tuple(x))[0][2], transcription(state, perms, x)[2], rtol=1e-4, atol=1e-5)


def test_a_wrapped_model_of_the_reference_is_taken(
    tmp_path: Path, save_reference: Save, transcription: Any, features: Any
) -> None:
    state, perms = save_reference(tmp_path / "state", state_only=True)
    plain = torch.load(tmp_path / "state", weights_only=True)
    torch.save({"model": {f"module.{name}": value for name, value in plain.items()}}, tmp_path / "wrapped")
    foreign = read_foreign(tmp_path / "wrapped", ImportPlan())
    assert (foreign.permutations, foreign.image_size) == ("legacy, drawn", None)
    x = features(8, 128)
    torch.testing.assert_close(foreign.flow(tuple(x))[0][2], transcription(state, perms, x)[2], rtol=1e-4, atol=1e-5)


def test_stored_permutations_are_followed_even_where_nobody_draws_them(
    tmp_path: Path, save_reference: Save, transcription: Any, features: Any
) -> None:
    own = [[np.random.default_rng(50 + 3 * b + i).permutation(8) for i in range(3)] for b in range(4)]
    state, perms = save_reference(tmp_path / "own", perms=own)
    foreign = read_foreign(tmp_path / "own", ImportPlan())
    assert foreign.permutations == "own, stored"
    x = features(8, 128)
    torch.testing.assert_close(foreign.flow(tuple(x))[0][0], transcription(state, perms, x)[0], rtol=1e-4, atol=1e-5)


def test_the_pickle_tells_clamp_slope_and_image_size(tmp_path: Path, save_reference: Save) -> None:
    def edit(net: Any) -> None:
        for module in net.modules():
            if hasattr(module, "split_len1"):
                module.clamp = 1.9
            if hasattr(module, "leaky_slope"):
                module.leaky_slope = 0.2

    save_reference(tmp_path / "m", kernels=(3, 5), hidden=7, size=256, edit=edit)
    foreign = read_foreign(tmp_path / "m", ImportPlan())
    config = foreign.flow.config
    assert (config.clamp, config.slope, config.hidden, config.kernel_sizes) == (1.9, 0.2, 7, (3, 5))
    assert (config.channels, config.standardise, foreign.image_size) == (8, False, 256)


def set_tensor(net: Any, value: float) -> None:
    for name, parameter in net.named_parameters():
        if "gamma" in name:
            parameter.data.fill_(value)


def no_permutation(net: Any) -> None:
    net.module_list[3].perm[1][0] = net.module_list[3].perm[1][1]


def mixed(net: Any) -> None:
    net.module_list[5].perm = [torch.from_numpy(p) for p in draw("modern", 2, 8)[1]]


def wide_features(net: Any) -> None:
    net.variable_list[1] = torch.zeros(1, 512, 4, 4)


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (lambda net: set_tensor(net, 0.0), "every gamma is 0"),
        (lambda net: set_tensor(net, float("nan")), "NaN"),
        (no_permutation, "no permutation of 8"),
        (mixed, "two models"),
        (wide_features, "features of 512 channels"),
        (lambda net: delattr(net.module_list[4].s1, "up_conv10"), "lacks 2 tensors"),
        (lambda net: setattr(net.module_list[4].s1, "extra", torch.nn.Conv2d(1, 1, 1)), "extra"),
        (lambda net: setattr(net.module_list[4], "clamp", 2), "no common clamp"),
        (lambda net: setattr(net.module_list[4].s1, "down_conv01", torch.nn.Conv2d(2, 2, 3)), "do not fit"),
    ],
)
def test_a_doubtful_pickle_is_refused_in_words(
    tmp_path: Path, save_reference: Save, edit: Callable[[Any], None], word: str
) -> None:
    save_reference(tmp_path / "m", edit=edit)
    with pytest.raises(ImportRefused, match=word):
        read_foreign(tmp_path / "m", ImportPlan())


def test_the_version_in_doubt_must_be_named(tmp_path: Path, save_anomalib: Save) -> None:
    path = tmp_path / "m.ckpt"
    save_anomalib(path, lightning=None)
    with pytest.raises(ImportRefused, match=r"--from anomalib-0\.x or --from anomalib-1\.x"):
        read_foreign(path, ImportPlan())
    assert read_foreign(path, ImportPlan("anomalib-0.x")).permutations == "legacy, drawn"
    save_anomalib(path, lightning="1.9.5", more={"post_processor.image_min": torch.tensor(0.5)})
    with pytest.raises(ImportRefused, match="in doubt"):
        read_foreign(path, ImportPlan())
    save_anomalib(path, lightning="1.9.5")
    with pytest.raises(ImportRefused, match="contradicts"):
        read_foreign(path, ImportPlan("anomalib-1.x"))


@pytest.mark.parametrize(
    ("lightning", "names"),
    [
        ("1.9.5", "image_threshold.value pixel_threshold.value normalization_metrics.min normalization_metrics.max"),
        (
            "2.4.0",
            "post_processor._image_threshold post_processor._pixel_threshold "
            "post_processor.image_min post_processor.image_max",
        ),
    ],
)
def test_anomalib_s_thresholds_are_reported_in_raw_units(
    tmp_path: Path, save_anomalib: Save, lightning: str, names: str
) -> None:
    values = dict(zip(names.split(), map(torch.tensor, (2.0, 9.0, 1.0, 5.0)), strict=True))
    save_anomalib(tmp_path / "m", lightning=lightning, more=values, settings={"clamp": 2, "input_size": (256, 256)})
    with TorchFile(tmp_path / "m") as file:
        foreign = read_anomalib(file)
    assert foreign.thresholds.image == 2.0
    assert foreign.thresholds.pixel == 9.0
    # anomalib shows (raw - threshold) / (max - min) + 0.5
    raw = 2.7
    assert foreign.thresholds.raw((raw - 2.0) / (5.0 - 1.0) + 0.5) == pytest.approx(raw)
    assert foreign.image_size == 256
    assert foreign.flow.config.clamp == 2.0
