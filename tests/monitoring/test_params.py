"""Mistakes in the section are told by key, before anything is checked."""

from pathlib import Path

import pytest

from monitoring.params import Params, load_params
from tasks.core.errors import ArtifactError, ParamsError
from tasks.core.yaml_edits import edit_values
from tests.monitoring.planted import ROOT

TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")


def test_the_section_of_the_project_fits_and_has_no_defaults() -> None:
    params, run = load_params(ROOT / "params.yaml")
    assert params.quiet_alpha > params.alpha and run.seed == 0
    assert all(field.is_required() for field in Params.model_fields.values())


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("alpha", 0.0, "monitoring.alpha: Input should be greater than 0 (given: 0.0)"),
        ("alpha", 1, "monitoring.alpha: Input should be less than 1"),
        ("min_rows", 1, "monitoring.min_rows"),
        ("num_permutations", 398, "num_permutations 398: expected 399 or more"),
        ("floors.embeddings", -0.1, "monitoring.floors.embeddings"),
        ("num_report_rows", 2001, "monitoring.num_report_rows"),
    ],
)
def test_a_wrong_value_is_told(tmp_path: Path, key: str, value: float, said: str) -> None:
    (tmp_path / "params.yaml").write_text(edit_values(TEXT, {f"monitoring.{key}": value}))
    with pytest.raises(ParamsError) as told:
        load_params(tmp_path / "params.yaml")
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("run: {}\n", "monitoring: section is missing"),
        ("- 1\n", "monitoring: section is missing"),
        (TEXT.replace("  alpha: ", "  level: "), "monitoring.level: Extra inputs"),
    ],
)
def test_a_missing_or_misspelt_key_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=said):
        load_params(tmp_path / "params.yaml")


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        load_params(tmp_path / "params.yaml")


def test_levels_in_the_wrong_order_are_told(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(edit_values(TEXT, {"monitoring.quiet_alpha": 0.005}))
    with pytest.raises(ParamsError, match="expected at least alpha, 0\\.01"):
        load_params(tmp_path / "params.yaml")
