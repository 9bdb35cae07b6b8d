"""How much methods lose where parts lie turned and shifted: image AUROC as they are, and by the protocol of Rd-MVTec.

    csflow synthetic line --size 128 --train 60 --test-good 40 --test-defects 10
    python tests/bench/bench_randomise.py line --backbone tf_efficientnet_lite0 --image-size 128 --seeds 5

Each method is trained on pictures turned by up to 10 degrees and cropped, and tested on such, once a seed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from csflow.calibration.metrics import GOOD, image_auroc
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.picture.preprocess import pieces_if_found
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.weights import load_backbone
from csflow.toolkit.data.dataset import Dataset, load_dataset
from csflow.toolkit.data.randomised import randomised
from csflow.toolkit.features import FeatureFiles, Plan, extract_features
from csflow.toolkit.methods.method import head_scores
from csflow.toolkit.methods.reporter import Silent
from csflow.toolkit.model import Model
from csflow.toolkit.plan import BackboneChoice, SharedFeatures, TrainPlan, model_plan, named_methods
from csflow.toolkit.train_model import train_model


def aurocs(images: Path, plans: dict[str, TrainPlan], seed: int | None) -> dict[str, float]:
    """Image AUROC of each method, trained and tested on pictures changed by this seed; None leaves them as they are."""
    found = {}
    with randomised(load_dataset(images), seed, "train", "test") as dataset, tempfile.TemporaryDirectory() as work:
        wide = BackboneConfig.reading_all(plan.model.backbone for plan in plans.values())
        shared = SharedFeatures(Path(work) / "features", wide)
        tested: Tested | None = None
        for i, (method, plan) in enumerate(plans.items()):
            bundle = train_model(dataset, Path(work) / f"{i}.csflow", plan, Silent(), shared=shared)
            tested = tested or Tested.of(dataset, wide, bundle.manifest.preprocessing, Path(work) / "tested")
            found[method] = tested.auroc(bundle)
    return found


@dataclass(frozen=True)
class Tested:
    """Features of the test pictures, extracted once for all methods; those without the part are left out."""

    wide: BackboneConfig
    features: FeatureFiles
    defective: list[bool]

    @classmethod
    def of(cls, dataset: Dataset, wide: BackboneConfig, how: Preprocessing, folder: Path) -> Tested:
        """As a bundle with this preprocessing sees them."""
        backbone, _ = load_backbone(wide, "auto")
        shown = [s for s in dataset.test if how.align is None or pieces_if_found(s.path, how) is not None]
        features = extract_features(backbone, Plan([sample.path for sample in shown], how), folder, "")
        return cls(wide, features, [sample.label != GOOD for sample in shown])

    def auroc(self, bundle: Bundle) -> float:
        """Of the bundle's head."""
        model = Model.load(bundle)
        places = model.config.backbone.places_in(self.wide)
        scores = head_scores(model.head, self.features.chosen(places), torch.device("cpu"))
        return image_auroc(scores, self.defective)


def main() -> None:
    """Print one JSON object a line: each run, then each method's mean and loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--methods", default="glad?components=10,nearest,padim,mahalanobis")
    parser.add_argument("--backbone", default="tf_efficientnet_lite2")
    parser.add_argument("--image-size", type=int, default=384)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--align", choices=["translation", "euclidean"])
    args = parser.parse_args()
    choice = BackboneChoice(args.backbone, args.image_size)
    plans = {method: TrainPlan(*model_plan(method, choice), align=args.align) for method in named_methods(args.methods)}
    plain = aurocs(args.images, plans, None)
    print(json.dumps({"seed": None, **plain}), flush=True)
    turned = []
    for seed in range(args.seeds):
        turned.append(aurocs(args.images, plans, seed))
        print(json.dumps({"seed": seed, **turned[-1]}), flush=True)
    for method in plans:
        values = [run[method] for run in turned]
        mean = statistics.fmean(values)
        spread = statistics.pstdev(values)
        print(json.dumps({"method": method, "plain": plain[method], "turned": mean, "sd": spread}), flush=True)


if __name__ == "__main__":
    main()
