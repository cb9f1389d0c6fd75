"""Run the notebooks and write their outputs into them. `make notebooks`, or `python notebooks/execute.py [01_entries ...]`.

The scripts NN_name.py (jupytext, percent) are what is edited; the .ipynb beside each holds the same cells and, after this, what
they print. They read the run in BICURATE_RUN, or `runs/demo`, which `curate demo` makes.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parent
RUN = "BICURATE_RUN"
DEFAULT = FOLDER.parent / "runs" / "demo"
SECONDS = 300  # a cell
MAX_BYTES = 400_000  # a notebook with its outputs
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def main(names: Sequence[str]) -> int:
    """Run the named notebooks, all where none is named; return the exit status."""
    run = Path(os.environ.get(RUN) or DEFAULT).resolve()
    if not (run / "balance" / "_stage.json").is_file():
        print(
            f"{run} is not a run: run 'curate demo' first, or set {RUN} to the directory of a run",
            file=sys.stderr,
        )
        return 2
    unknown = [name for name in names if not (FOLDER / f"{name}.py").is_file()]
    if unknown:
        print(f"no notebook is called {unknown[0]!r}; there are {', '.join(notebooks())}", file=sys.stderr)
        return 2
    for name in names or notebooks():
        try:
            executed = execute(FOLDER / f"{name}.py", run)
        except CellExecutionError as error:
            print(f"{name} failed: {error}", file=sys.stderr)
            return 1
        write(executed, FOLDER / f"{name}.ipynb")
        print(f"{name}.ipynb: run on {run.name}")
    return 0


def notebooks() -> list[str]:
    """Return the names of the notebooks, in their order."""
    return sorted(path.stem for path in FOLDER.glob("[0-9][0-9]_*.py"))


def execute(script: Path, run: Path) -> nbformat.NotebookNode:
    """Return a script's notebook as run on a run's directory. Raises CellExecutionError."""
    notebook = as_notebook(script)
    environment = {RUN: str(run.resolve())}
    client = NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", record_timing=False,
        resources={"metadata": {"path": str(script.parent)}},
    )  # fmt: skip
    client.execute(env=os.environ | environment)
    notebook.metadata = {"kernelspec": KERNEL, "jupytext": {"formats": "ipynb,py:percent"}}
    return notebook


def as_notebook(script: Path) -> nbformat.NotebookNode:
    """Return a percent script as a notebook without outputs; the same cells have the same ids at every run."""
    notebook = jupytext.read(script)
    for index, cell in enumerate(notebook.cells):
        cell.id = f"{script.stem}-{index:02d}".replace("_", "-")
    return notebook


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook. Raises ValueError where its outputs name a place on this machine or are too large."""
    text = nbformat.writes(notebook) + "\n"
    outputs = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    for place in (str(FOLDER.parent), str(Path.home()), sys.prefix):
        if len(place) > 1 and place in outputs:
            raise ValueError(f"{path.name}: an output names {place}, which is of this machine alone")
    if len(text.encode()) > MAX_BYTES:
        raise ValueError(
            f"{path.name} would have {len(text.encode()):,} bytes, at most {MAX_BYTES:,} are kept in the tree"
        )
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
