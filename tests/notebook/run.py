"""Runs a notebook from top to bottom and writes it with its outputs.

    $(scripts/setup-clients tests/notebook/requirements.txt) tests/notebook/run.py examples/quickstart.ipynb

writes the notebook itself anew (`make notebook`); `--out FILE` another file. Cells run in the notebook's folder, each
within ten minutes; the first that fails ends it. What differs from one execution to the next without meaning anything
(times of execution, the kernel's version) is left out.
"""

import argparse
import pathlib
import sys

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

SECONDS_A_CELL = 600


def joined(outputs):
    """Joins the pieces of a stream, because their boundaries are random."""
    kept = []
    for output in outputs:
        last = kept[-1] if kept else None
        if last and output.output_type == "stream" and last.output_type == "stream" and last.name == output.name:
            last.text += output.text
        else:
            kept.append(output)
    return kept


def cleaned(notebook):
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
    return notebook


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    notebook = nbformat.read(arguments.notebook, as_version=4)
    folder = {"metadata": {"path": str(arguments.notebook.resolve().parent)}}
    client = NotebookClient(notebook, timeout=SECONDS_A_CELL, kernel_name="python3", resources=folder)
    try:
        client.execute()
    except CellExecutionError as error:
        sys.exit(f"{arguments.notebook}: {error}")
    nbformat.write(cleaned(notebook), arguments.out or arguments.notebook)


if __name__ == "__main__":
    main()
