"""The PaDiM graph: blocks of triangles give what whole matrices give, in float32 and, nearly, in float16."""

import pytest
import torch

from csflow.export.graphs.heads.padim import HalfTriangles, TriangularMatrices, padim_graph
from csflow.toolkit.methods.padim import PaDiMConfig, PaDiMHead

SHAPES = ((50, 4, 4), (20, 2, 2))


@pytest.fixture
def head() -> PaDiMHead:
    draw = torch.Generator().manual_seed(0)
    made = PaDiMHead(PaDiMConfig(70, spread=True), SHAPES)
    made.matrices.get_buffer("matrix").copy_(torch.randn(16, 70, 70, generator=draw).tril())
    made.spread.get_buffer("shift").copy_(torch.rand(4, 4, generator=draw))
    return made.eval()


def features() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(2, *shape, generator=draw) for shape in SHAPES]


@pytest.mark.parametrize(("precision", "kind"), [("fp32", TriangularMatrices), ("fp16", HalfTriangles)])
def test_blocks_of_triangles_give_what_whole_matrices_give(head: PaDiMHead, precision: str, kind: type) -> None:
    graph = padim_graph(head, SHAPES, precision).module
    assert isinstance(graph.matrices, kind)
    held = sum(block.numel() for name, block in graph.named_buffers() if "block_" in name)
    assert held == 16 * (16 * 16 + 16 * 32 + 16 * 48 + 16 * 64 + 6 * 70)
    assert "matrix" in head.matrices.state_dict()
    with torch.inference_mode():
        for got, expected in zip(graph(*features()), head(*features()), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-5 if precision == "fp32" else 1e-2, atol=1e-5)
