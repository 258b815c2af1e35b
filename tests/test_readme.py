"""The README's Python runs as it stands."""

import re
from pathlib import Path

import pytest


@pytest.mark.slow
def test_ten_lines_of_python(capsys):
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0]
    assert "SimulatedDataset" in code
    exec(compile(code, "README.md", "exec"), {})
    score = float(re.search(r"tensor\(([\d.]+)", capsys.readouterr().out.splitlines()[-1]).group(1))
    assert 0.5 < score < 1.0
