"""Run the notebooks and write their outputs into them. `make notebooks`, or `python notebooks/execute.py [01_entries ...]`.

The scripts NN_name.py (jupytext, percent) are what is edited; the .ipynb beside each holds the same cells and, after this, what
they print: the places of this machine and of its memory written out of it, no times, below MAX_BYTES. They read the run in
BICURATE_RUN, or `runs/demo`, which `curate demo` makes. Nothing is written of a notebook that fails or warns.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parent
RUN = "BICURATE_RUN"
DEFAULT = FOLDER.parent / "runs" / "demo"
SECONDS = 300  # a cell
MAX_BYTES = 300_000  # a notebook with its outputs
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
        path = FOLDER / f"{name}.ipynb"
        try:
            write(execute(FOLDER / f"{name}.py", run), path)
        except (CellExecutionError, ValueError) as error:
            print(f"{name} failed: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
            return 1
        print(f"{path.name}: run on {run.name}, {path.stat().st_size:,} bytes")
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
    """Write a notebook without the places in its outputs. Raises ValueError where one warns, names a place yet, or is too large."""
    for output in outputs(notebook):
        if output.get("name") == "stderr":
            raise ValueError(f"{path.name}: a cell warns: {output['text'].strip().splitlines()[-1]}")
        strip(output)
    text = nbformat.writes(notebook) + "\n"
    left = "".join(map(str, outputs(notebook)))
    for place in places():
        if place in left:
            raise ValueError(f"{path.name}: an output names {place}, which is of this machine alone")
    if len(text.encode()) > MAX_BYTES:
        raise ValueError(
            f"{path.name} would have {len(text.encode()):,} bytes, at most {MAX_BYTES:,} are kept in the tree"
        )
    path.write_text(text, encoding="utf-8")


def outputs(notebook: nbformat.NotebookNode) -> Iterator[nbformat.NotebookNode]:
    """Yield what the cells print and show."""
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def places() -> list[str]:
    """Return the folders that are of this machine alone: the tree's, the environment's, the user's."""
    return [place for place in (str(FOLDER.parent), sys.prefix, str(Path.home())) if len(place) > 1]


def strip(output: nbformat.NotebookNode) -> None:
    """Write the tree's folder and addresses in memory out of an output's texts."""
    held = output if "text" in output else output.get("data", {})
    for kind in ("text", "text/plain", "text/html", "text/markdown"):
        if kind in held:
            held[kind] = re.sub(r"\b0x[0-9a-f]{6,}\b", "0x", held[kind].replace(f"{FOLDER.parent}/", ""))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
