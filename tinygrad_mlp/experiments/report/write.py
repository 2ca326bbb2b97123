"""`write_report`: all files of a report into one folder."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from tinygrad_mlp import plot
from tinygrad_mlp.experiments.report.document import Document, make_document
from tinygrad_mlp.experiments.report.html import render_html
from tinygrad_mlp.experiments.report.latex import render_latex
from tinygrad_mlp.experiments.report.manifest import FORMAT, manifest_text
from tinygrad_mlp.experiments.report.markdown import render_markdown
from tinygrad_mlp.experiments.report.sheet import render_claims_csv, render_csv
from tinygrad_mlp.experiments.report.svg import inline_svg
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.train.checkpoint import write_atomically

__all__ = ["render_texts", "write_report", "write_summary"]

_FORMATS = ("svg", "png", "pdf")


def write_report(
    results: Results,
    folder: str | Path,
    *,
    command: str = "",
    runs: str | Path | None = None,
) -> list[Path]:
    """Write a report of a study's runs; the same results give the same bytes. Returns the paths, the page first.

    - `report.html`: for reading, one file with everything in it; `report.md`: for GitHub
    - `tables.tex`, `settings.txt`, `figures/` as SVG, PNG and PDF: for a paper
    - `results.csv`, `claims.csv`: a line per run, and one per claim, with all digits
    - `manifest.json`: what `python -m tinygrad_mlp verify` computes again; it is written last

    Parameters
    ----------
    results:
        The runs.
    folder:
        Where to write. Figures that an older report left there and this one has not are removed.
    command:
        How the runs were made, to be printed.
    runs:
        Folder in which runs are kept, by default `folder`/runs; the page links to their files.

    Raises `DataError` where the test labels for a confusion matrix are not there, `OSError` where writing fails.

    >>> results = experiments.run(study, out="width")
    >>> write_report(results, "width")[0]
    PosixPath('width/report.html')
    """
    folder = Path(folder)
    runs_folder = "runs" if runs is None else Path(os.path.relpath(runs, folder)).as_posix()
    document = make_document(results, command)
    drawn, pictures = _draw(document)
    folder.mkdir(parents=True, exist_ok=True)  # a link to a run is made where its file can be reached from here
    page = render_html(document, pictures, folder, runs_folder)
    files = {"report.html": page.encode(), **render_texts(results, document), **drawn}
    manifest = manifest_text(results, document.tables, files, command=command, runs_folder=runs_folder)
    _remove_older(folder, set(files))
    for name, content in [*files.items(), ("manifest.json", manifest.encode())]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    return [folder / name for name in [*files, "manifest.json"]]


def render_texts(results: Results, document: Document) -> dict[str, bytes]:
    """The files of a report without figures: `verify` writes them again from stored runs, and compares the bytes."""
    return {
        "report.md": render_markdown(document).encode(),
        "tables.tex": render_latex(document.tables, document.title).encode(),
        "results.csv": render_csv(results).encode(),
        "claims.csv": render_claims_csv(results).encode(),
        "settings.txt": "\n\n".join([document.settings, "\n".join(document.settings_lines)]).encode() + b"\n",
    }


def write_summary(results: Results, folder: str | Path, *, command: str = "") -> list[Path]:
    """Write what is small enough for a repository, and return the paths.

    `<study>.csv` has all runs, `<study>-claims.csv` all verdicts, `<study>.md` is the report without figures.

    `command` as for `write_report`. Raises `OSError` where writing fails.
    """
    document = make_document(results, command)
    files = {
        ".csv": render_csv(results),
        "-claims.csv": render_claims_csv(results),
        ".md": render_markdown(document, pictures=False),
    }
    paths = [Path(folder) / f"{results.study.name}{suffix}" for suffix in files]
    for path, text in zip(paths, files.values(), strict=True):
        write_atomically(path, text.encode())
    return paths


def _draw(document: Document) -> tuple[dict[str, bytes], dict[str, str]]:
    """Files of all figures by name, and what stands for each in the page."""
    files: dict[str, bytes] = {}
    inline: dict[str, str] = {}
    with TemporaryDirectory() as scratch:
        for picture in document.pictures:
            figure = picture.draw()
            for format in _FORMATS:
                path = plot.save(figure, Path(scratch, f"{picture.name}.{format}"))
                files[f"figures/{path.name}"] = path.read_bytes()
                figure.set(layout_engine="none")  # everything has its place by now; finding it takes half of the time
            svg = files[f"figures/{picture.name}.svg"].decode()
            inline[picture.name] = inline_svg(svg, picture.name, picture.alt)
    return files, inline


def _remove_older(folder: Path, new: set[str]) -> None:
    """Remove figures that an older manifest lists and the new report has not, so that none is taken for a new one."""
    try:
        older = cast("dict[str, Any]", json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
        names = [str(name) for name in older["files"]] if older["format"] == FORMAT else []
    except (OSError, ValueError, KeyError, TypeError):
        return  # none, or not ours
    for name in names:
        path = Path(name)
        if name not in new and path.parent == Path("figures") and path.suffix[1:] in _FORMATS:
            with suppress(OSError):
                (folder / path).unlink()
