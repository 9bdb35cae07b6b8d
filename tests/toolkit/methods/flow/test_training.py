"""Training: a resumed run equals an uninterrupted one, and the likelihood of good features rises."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from csflow.runtime.errors import ConfigError
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.flow import training
from csflow.toolkit.methods.flow.checkpoint import Checkpoint
from csflow.toolkit.methods.flow.config import FlowConfig, TrainConfig
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, score
from csflow.toolkit.methods.flow.training import has_fast_bfloat16, learning_rate, new_flow, train_flow

FLOW = FlowConfig(6, 2, (3, 3), 8)
TRAIN = TrainConfig(epochs=8, batch_size=4, learning_rate=2e-2, schedule="cosine", autocast=False)


class Interrupted(Exception):
    """Stands for Ctrl-C."""


def data(seed: int = 0, count: int = 20) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(count, 2, 4, 4, generator=generator)
    mixed = torch.cat([latent, latent.roll(1, 1) * 0.5, latent + 0.1], 1)
    return mixed, mixed[:, :, ::2, ::2].contiguous()


def files(features: tuple[torch.Tensor, ...]) -> FeatureFiles:
    return FeatureFiles(tuple(x.numpy() for x in features))


def fitted() -> CrossScaleFlow:
    flow = new_flow(FLOW, 3)
    flow.fit_standardisation(files(data()))
    return flow


def test_loss_falls_and_strangers_score_higher() -> None:
    flow = fitted()
    losses = train_flow(flow, files(data()), TRAIN)
    assert losses[-1] < losses[0] - 0.05
    strangers = tuple(torch.randn(x.shape, generator=torch.Generator().manual_seed(9)) for x in data())
    with torch.no_grad():
        assert float(score(flow(strangers)[0]).median()) > float(score(flow(data())[0]).median())


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("stop_after", [1, 4])
def test_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, stop_after: int, noise: float) -> None:
    how = replace(TRAIN, feature_noise=noise)
    straight = fitted()
    losses = train_flow(straight, files(data()), how)

    def interrupt(done: int, _loss: float) -> None:
        if done == stop_after:
            raise Interrupted

    checkpoint = Checkpoint(tmp_path / "c.safetensors", "same")
    with pytest.raises(Interrupted):
        train_flow(fitted(), files(data()), how, checkpoint, interrupt)
    seen: list[int] = []
    resumed = new_flow(FLOW, 77)
    resumed_losses = train_flow(resumed, files(data()), how, checkpoint, lambda done, _: seen.append(done))
    # Checkpoints are paced by their cost: an epoch or two may have to be repeated, never skipped.
    assert 1 <= seen[0] <= stop_after
    assert seen == list(range(seen[0], TRAIN.epochs + 1))
    assert resumed_losses == losses
    for a, b in zip(straight.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_same_seed_same_weights_and_other_seed_other_weights() -> None:
    ends = []
    for seed in (5, 5, 6):
        flow = fitted()
        train_flow(flow, files(data()), TrainConfig(epochs=1, batch_size=4, seed=seed, autocast=False))
        ends.append(torch.cat([p.detach().flatten() for p in flow.parameters()]))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_new_flow_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    new_flow(FLOW, 3)
    assert torch.equal(before, torch.get_rng_state())


def test_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    flow = fitted()
    optimizer = torch.optim.Adam(flow.parameters())
    Checkpoint(path, "one").save(flow, optimizer, 1, [1.0])
    with pytest.raises(ConfigError, match="--fresh"):
        Checkpoint(path, "other").restore(flow, optimizer)


def test_damaged_checkpoint_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    flow = fitted()
    optimizer = torch.optim.Adam(flow.parameters())
    checkpoint = Checkpoint(path, "one")
    checkpoint.save(flow, optimizer, 1, [1.0])
    data = path.read_bytes()
    for damaged in (data[:100], b"", b"\xff" * 200, data[: len(data) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match="--fresh"):
            checkpoint.restore(flow, optimizer)


def test_divergence_is_an_error_in_words() -> None:
    bad = tuple(x * float("inf") for x in data())
    with pytest.raises(ConfigError, match="--learning-rate"):
        train_flow(new_flow(FLOW, 0), files(bad), TRAIN)


def test_cosine_schedule_warms_up_and_ends_near_zero() -> None:
    config = TrainConfig(schedule="cosine", learning_rate=1.0)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 1e-3
    assert all(a >= b for a, b in itertools.pairwise(rates[5:]))
    assert {learning_rate(TrainConfig(), step, 100) for step in range(100)} == {2e-4}


def test_noise_keeps_few_pictures_from_being_learnt_by_heart() -> None:
    few = data(count=4)
    long = replace(TRAIN, epochs=60)
    unseen = data(seed=1)

    def gap(config: TrainConfig) -> float:
        flow = new_flow(FLOW, 3)
        flow.fit_standardisation(files(few))
        train_flow(flow, files(few), config)
        with torch.no_grad():
            return float(score(flow(unseen)[0]).mean() - score(flow(few)[0]).mean())

    assert gap(replace(long, feature_noise=0.3)) < 0.5 * gap(long)


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [
        ({"cpu_name": "Intel(R) Xeon(R) Processor", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel(R) Xeon(R) Processor", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False}, False),
        ({}, False),
    ],
)
def test_bfloat16_trains_where_it_was_measured_to_be_faster(capabilities: dict[str, object], fast: bool) -> None:
    assert has_fast_bfloat16(capabilities) is fast


def test_where_a_kernel_reaches_over_a_map_gradients_are_float32s(monkeypatch: pytest.MonkeyPatch) -> None:
    """There torch leaves the weights' gradient in bfloat16 unwritten."""
    monkeypatch.setattr(training, "has_fast_bfloat16", lambda _: True)
    flow = new_flow(FlowConfig(6, 2, (3, 5), 8), 0)

    def precision(side: int) -> torch.dtype:
        maps = torch.zeros(1, 6, 2 * side, 2 * side), torch.zeros(1, 6, side, side)
        with training.autocast(flow, maps, wanted=True):
            return torch.nn.functional.conv2d(maps[0], torch.zeros(1, 6, 1, 1)).dtype

    assert precision(1) is torch.float32
    assert precision(2) is torch.bfloat16
