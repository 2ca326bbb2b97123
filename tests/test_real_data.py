"""Tests on the real data are skipped where there are none, but not in CI that says where they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/data/test_idx.py", "-k", "the_real"]


@pytest.mark.parametrize(("ci", "named", "fails"), [("true", True, True), ("true", False, False), ("", True, False)])
def test_ci_fails_where_it_names_a_folder_without_them(ci: str, named: bool, fails: bool, tmp_path: Path) -> None:
    environment = {**os.environ, "CI": ci, "TINYGRAD_MLP_DATA": str(tmp_path) if named else ""}
    ended = subprocess.run(COMMAND, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode != 0) == fails, ended.stdout + ended.stderr
    assert (f"TINYGRAD_MLP_DATA is {tmp_path}, which must hold the folders" in ended.stdout) == fails
