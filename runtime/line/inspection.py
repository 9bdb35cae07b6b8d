"""A whole run from words to its summary: what `csflow run` does, for programs that do the same."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from csflow.runtime.bundle.pictures import calibration_decoders
from csflow.runtime.detector import Detector
from csflow.runtime.errors import ConfigError, CSFlowError
from csflow.runtime.line.cameras import CameraPolicy, open_cameras, warm_up_left_s
from csflow.runtime.line.frame_health import reference_of
from csflow.runtime.line.outputs import OutputOptions, Outputs, open_outputs
from csflow.runtime.line.stream import StreamPolicy, run_stream
from csflow.runtime.machine.service import Service
from csflow.runtime.picture.origin import decoder_of
from csflow.runtime.sink import OutputReport
from csflow.runtime.sinks.summary import Summary, Tally
from csflow.runtime.source import FrameSource
from csflow.runtime.trigger import SupervisedTrigger, Trigger, open_trigger
from csflow.runtime.triggers.camera import camera_uri, is_camera_trigger
from csflow.runtime.triggers.pending import MAX_PENDING

__all__ = ["Ended", "Inspection", "Opened", "inspect"]

UNMEASURED = (
    "exposure and sharpness are not judged: the bundle does not know how good parts look; run 'csflow calibrate' again"
)


@dataclass(frozen=True)
class Inspection:
    """What a run is asked for, in words."""

    cameras: Sequence[str] = ("0",)
    """As `open_source` takes them; one where there is a trigger."""
    bundle: str | None = None
    """Its folder; None is the default."""
    backend: str = "auto"
    unverified: bool = False
    """Run an engine too that the decision gate has not passed."""
    trigger: str | None = None
    """As `open_trigger` takes it; None gives every frame its result."""
    camera_policy: CameraPolicy = field(default_factory=CameraPolicy)
    policy: StreamPolicy = field(default_factory=StreamPolicy)
    outputs: OutputOptions = field(default_factory=OutputOptions)


@dataclass(frozen=True)
class Opened:
    """What a run consists of, before its first result."""

    detector: Detector
    sources: Sequence[FrameSource]
    trigger: Trigger | None
    page_url: str | None

    def lines(self) -> list[str]:
        """The same for people, a fact a line."""
        calibration = self.detector.calibration
        return [
            f"bundle     {self.detector.bundle.path}",
            *self._signer(),
            f"engine     {self.detector.description}",
            *([] if not self.detector.distrust else [f"WARNING    {self.detector.distrust}"]),
            *(f"source     {source.name} ({'live' if source.live else 'every frame'})" for source in self.sources),
            *([] if self.trigger is None else [f"trigger    {self.trigger.name}"]),
            *([] if reference_of(self.detector).measured else [f"WARNING    {UNMEASURED}"]),
            *(f"WARNING    {words}" for words in self._other_decoders()),
            f"thresholds warn {calibration.warn_threshold:.4g}, reject {calibration.reject_threshold:.4g}",
            *([] if self.page_url is None else [f"page       {self.page_url}"]),
        ]

    def _signer(self) -> Iterator[str]:
        identity = self.detector.identity
        if identity.signed_by:
            yield f"signed by  {identity.signed_by}"
        elif identity.pack_sha256:
            yield "WARNING    the bundle came in a pack that nobody signed"

    def _other_decoders(self) -> Iterator[str]:
        known = calibration_decoders(self.detector.bundle)
        for source in self.sources:
            decoder = decoder_of(source)
            if known and decoder and decoder not in known:
                yield (
                    f"the pictures of {source.name} are decoded by {decoder}, those of the calibration were by "
                    f"{' and '.join(known)}: colours may differ; calibrate with pictures that came this way"
                )


@dataclass(frozen=True)
class Ended:
    """What a run came to."""

    summary: Summary
    reports: list[OutputReport]
    """How the outputs with queues fared."""
    error: CSFlowError | None
    """What ended it; None at the end of the stream, of the triggers, or when it was stopped."""


def inspect(
    wish: Inspection,
    opened: Callable[[Opened], None],
    stopping: Callable[[], AbstractContextManager[threading.Event]],
    service: Service | None = None,
) -> Ended:
    """Open everything, give results until the end, close everything.

    Args:
        opened: called once all is open.
        stopping: gives the event that stops the run, for as long as it runs.
        service: is told that the loop turns and that it stops.

    Raises what keeps a run from beginning: ConfigError, BundleError, CalibrationError, EngineError, SourceError and
    SinkError. What ends one that had begun is in what it gives.
    """
    service = service or Service()
    if wish.camera_policy.strip is not None and wish.trigger is not None:
        raise ConfigError("the pieces of a strip follow one another, and a trigger asks for single pictures: leave one")
    triggered, wish = wish.trigger is not None, _by_its_own_input(wish)
    with contextlib.ExitStack() as stack:
        trigger = _trigger(wish, stack)
        with _told(trigger):
            detector = stack.enter_context(Detector.open(wish.bundle, wish.backend, wish.unverified))
            if isinstance(trigger, SupervisedTrigger):
                trigger.hold()
            sources = open_cameras(wish.cameras, wish.camera_policy, stack)
            outputs = stack.enter_context(open_outputs(wish.outputs, detector, sources, service.stopping, triggered))
            if isinstance(trigger, SupervisedTrigger):
                # A part that came before would wait for its picture beyond its deadline.
                time.sleep(warm_up_left_s(sources))
                trigger.ready(detector.identity, detector.self_test)
        opened(Opened(detector, sources, trigger, outputs.page_url))
        return _run(_kept_for_each(wish.policy, trigger), detector, sources, trigger, outputs, stopping, service)


def _by_its_own_input(wish: Inspection) -> Inspection:
    """Where the camera's input is the trigger, no picture is passed over: each is a part."""
    if wish.trigger is None or not is_camera_trigger(wish.trigger):
        return wish
    if len(wish.cameras) != 1:
        raise ConfigError("--trigger camera is about one camera: start one run for each")
    policy = replace(wish.policy, depth=max(wish.policy.depth, MAX_PENDING))
    return replace(wish, cameras=[camera_uri(wish.trigger, wish.cameras[0])], trigger=None, policy=policy)


def _kept_for_each(policy: StreamPolicy, trigger: Trigger | None) -> StreamPolicy:
    """Where several requests may wait, pictures wait too: each gets the first after it, not what is there when its turn
    comes. A supervisor asks for one part at a time."""
    if trigger is None or isinstance(trigger, SupervisedTrigger):
        return policy
    return replace(policy, depth=max(policy.depth, MAX_PENDING))


def _trigger(wish: Inspection, stack: contextlib.ExitStack) -> Trigger | None:
    """First of all: a supervisor hears why nothing comes, and no library writes into its pipe."""
    if wish.trigger is None:
        return None
    if len(wish.cameras) > 1:
        raise ConfigError("a trigger asks one camera: start one run for each")
    return stack.enter_context(open_trigger(wish.trigger))


@contextlib.contextmanager
def _told(trigger: Trigger | None) -> Iterator[None]:
    try:
        yield
    except CSFlowError as error:
        if isinstance(trigger, SupervisedTrigger):
            trigger.failed(error)
        raise


def _run(
    policy: StreamPolicy,
    detector: Detector,
    sources: Sequence[FrameSource],
    trigger: Trigger | None,
    outputs: Outputs,
    stopping: Callable[[], AbstractContextManager[threading.Event]],
    service: Service,
) -> Ended:
    tally, error = Tally(), None
    with stopping() as stop:
        try:
            run_stream(
                sources,
                detector,
                [outputs],
                policy=policy,
                trigger=trigger,
                stop=stop,
                tally=tally,
                beat=service.beat,
            )
        except CSFlowError as failure:
            error = failure
    return Ended(tally.summary(), outputs.reports(), error)
