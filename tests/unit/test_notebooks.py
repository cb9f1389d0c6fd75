"""Notebooks and their scripts hold the same cells, run on any run, and carry no traces of a machine."""

import importlib.util
from pathlib import Path
from types import ModuleType

import jupytext
import nbformat
import pytest
from reportrun import make_run

FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("[0-9][0-9]_*.py"))


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("execute_notebooks", FOLDER / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]


def test_there_are_notebooks() -> None:
    assert NAMES == ["01_entries", "02_matches", "03_balance", "04_duplicates"]
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_and_its_script_hold_the_same_cells(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert cells(notebook) == cells(jupytext.read(FOLDER / f"{name}.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_kept_as_it_ran_small_and_without_errors(name: str, runner: ModuleType) -> None:
    path = FOLDER / f"{name}.ipynb"
    assert path.stat().st_size <= runner.MAX_BYTES
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert all(output.output_type != "error" for output in outputs)
    assert all(output.get("name") != "stderr" for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 1
    assert "/home/" not in str(outputs)
    assert str(Path.home()) not in str(outputs)
    assert str(Path(__file__).parents[2]) not in str(outputs)
    assert "/tmp/" not in str(outputs)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("notebooks") / "made-up", pairs=80).run.path


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_on_another_run(name: str, runner: ModuleType, made_up: Path, tmp_path: Path) -> None:
    executed = runner.execute(FOLDER / f"{name}.py", made_up)
    assert "run made-up" in str(executed.cells)
    runner.write(executed, tmp_path / f"{name}.ipynb")
    assert cells(nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)) == cells(executed)


def test_a_missing_run_is_said_with_what_to_do(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BICURATE_RUN", str(tmp_path))
    assert runner.main([]) == 2
    said = capsys.readouterr().err
    assert "curate demo" in said
    assert "BICURATE_RUN" in said


def test_an_unknown_notebook_is_said(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "run", pairs=8, until="balance", t=2.0)
    monkeypatch.setenv("BICURATE_RUN", str(tmp_path / "run"))
    assert runner.main(["99_none"]) == 2
    assert "99_none" in capsys.readouterr().err


def with_output(text: str, name: str = "stdout") -> nbformat.NotebookNode:
    output = nbformat.v4.new_output("stream", text=text, name=name)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])])


def test_places_of_this_machine_are_written_out_of_an_output(runner: ModuleType, tmp_path: Path) -> None:
    said = f"reading {FOLDER.parent}/runs/demo with <Thing at 0x7f00deadbeef>"
    runner.write(with_output(said), tmp_path / "x.ipynb")
    kept = nbformat.read(tmp_path / "x.ipynb", as_version=4).cells[0].outputs[0].text
    assert kept == "reading runs/demo with <Thing at 0x>"


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        (str(FOLDER.parent), "stdout", "this machine"),
        (str(Path.home() / "x") + ", read", "stdout", "this machine"),
        ("UserWarning: a legend of nothing", "stderr", "warns"),
        ("x" * 400_000, "stdout", "bytes"),
    ],
)
def test_an_output_that_should_not_be_kept_is_refused(
    runner: ModuleType, tmp_path: Path, text: str, name: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        runner.write(with_output(text, name), tmp_path / "x.ipynb")
    assert not (tmp_path / "x.ipynb").exists()
