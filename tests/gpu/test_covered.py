"""Every operator has its test on a CUDA device; this one needs none."""

from pathlib import Path

from featlab.ops.schema import DEFINITIONS


def test_every_operator_is_named_in_a_test_for_the_gpu() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert DEFINITIONS
    assert [name for name in DEFINITIONS if f'"{name}"' not in texts] == []
