"""A skipped test has shown nothing: in continuous integration it fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from stack.folders import CHECKOUT
from stack.settings import inherited_environment


@pytest.mark.parametrize(("variables", "code"), [({"CI": "true"}, 1), ({"CI": ""}, 0)])
def test_a_skip_fails_in_ci(tmp_path: Path, variables: dict[str, str], code: int) -> None:
    (tmp_path / "test_it.py").write_text("import pytest\ndef test_it(): pytest.skip('no')\n")

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", "/dev/null", str(tmp_path)],
        cwd=CHECKOUT,
        env=inherited_environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == code, ended.stdout
    assert ("skips fail in CI" in ended.stdout) == (code == 1)
