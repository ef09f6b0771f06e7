"""Draw the figure of a recipe, and write it as image, data and LaTeX files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from fpc_core.config import DropStrategy
from fpc_core.evaluation.paper_tables.export import latex as escaped
from fpc_core.evaluation.paper_tables.table import ReportTable
from fpc_core.figures.fonts import check_font
from fpc_core.figures.matplotlib_style import DrawFn, FigureWithData, style_context
from fpc_core.figures.query_figures import load_and_compute
from fpc_core.figures.recipe import OF_ALL_QUERIES, FigureKind, FigureRecipe
from fpc_core.figures.score_figures import compute_scores, draw_of_scores
from fpc_core.workspace import Workspace

PNG_DPI = (300, 600)  # Resolutions of the exported PNG files.
CAPTIONS = {
    FigureKind.DROP_STRATEGIES: "Patches of a query that are left by three drop strategies",
    FigureKind.DROP_PROCESS: "Patches of a query that are left after each dropping block",
    FigureKind.DECODER_MAPS: "Heat maps of the decoder over the neighbours of a query",
    FigureKind.KEEP_RATES: r"Patches of a query that are left at several keep rates $\gamma$",
    FigureKind.TRANSPORT: "Heaviest flows of the transport plan from a query to a gallery image",
    FigureKind.RANKED_LIST: "Nearest gallery images of a query, with distances: by cosine, by $D$, after consolidation",
    FigureKind.ALPHA_LINES: r"$D$ of the shortlisted gallery images against $\alpha$, with the swaps of ranks",
    FigureKind.SCORE_CURVES: r"Rank-1 and mAP against $\alpha$ and against $K$, with bootstrap intervals over people",
    FigureKind.TRADE_OFF: (
        r"Rank-1 and mAP against the FLOPs of the encoder, by keep rate $\gamma$, with bootstrap intervals over people"
    ),
    FigureKind.SWEEP_MAP: r"Rank-1 and mAP by keep rate $\gamma$ and $\alpha$",
    FigureKind.MARGIN: (
        r"Why one gallery image is nearer to a query than another: contribution of each query patch to the difference "
        r"of $\alpha D_{\mathrm{EMD}}$, and the parts of $D$"
    ),
    FigureKind.QUERY_MAPS: (
        "Heat maps over a query: of the encoder for the similarity to a gallery image and, if the decoder reads the "
        "query, of the decoder"
    ),
    FigureKind.PATCH_LIFELINE: (
        "History of one patch of a query (framed): attention from [cls] in every block, with crosses on the patches "
        r"that a block drops, and the block that drops the patch at each keep rate $\gamma$"
    ),
}


def draw(recipe: FigureRecipe, workspace: Workspace, tables: Sequence[ReportTable] = ()) -> FigureWithData:
    """Draw the figure of a recipe, and return it with its data.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.
        tables: For a figure of all queries, the tables of `score_figures.compute_scores`; they are computed if empty.

    Raises:
        RecipeError: The recipe does not match the data, the weights or the fonts of this machine.
        ValueError: No query has a true match.
        OSError: Results cannot be stored.
    """
    with _draw_in_style(recipe, workspace, tables) as figure:
        return figure


def render_png(recipe: FigureRecipe, workspace: Workspace, dpi: int, tables: Sequence[ReportTable] = ()) -> bytes:
    """Draw the figure of a recipe as PNG; errors are those of `draw`.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.
        dpi: Resolution in pixels per inch.
        tables: For a figure of all queries, the tables of `score_figures.compute_scores`; they are computed if empty.

    Returns:
        Bytes of the PNG file.
    """
    file = io.BytesIO()
    with _draw_in_style(recipe, workspace, tables) as figure:
        figure.figure.savefig(file, dpi=dpi)
    return file.getvalue()


def write_figure(
    recipe: FigureRecipe, workspace: Workspace, stem: Path, tables: Sequence[ReportTable] = ()
) -> list[Path]:
    """Write the files of a figure (see `files`) into one folder; errors are those of `draw`.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.
        stem: Path of the files without suffix.
        tables: For a figure of all queries, the tables of `score_figures.compute_scores`; they are computed if empty.

    Returns:
        Paths of the files.
    """
    paths = []
    for name, content in files(recipe, workspace, stem.name, tables).items():
        paths.append(stem.with_name(name))
        paths[-1].write_bytes(content)
    return paths


def bundle(
    recipe: FigureRecipe, workspace: Workspace, name: str = "figure", tables: Sequence[ReportTable] = ()
) -> bytes:
    """Return the files of a figure (see `files`) as a zip archive; equal recipes give equal bytes on the CPU.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.
        name: Common stem of the file names.
        tables: For a figure of all queries, the tables of `score_figures.compute_scores`; they are computed if empty.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, content in files(recipe, workspace, name, tables).items():
            archive.writestr(zipfile.ZipInfo(file, (1980, 1, 1, 0, 0, 0)), content)
    return packed.getvalue()


def files(
    recipe: FigureRecipe, workspace: Workspace, name: str, tables: Sequence[ReportTable] = ()
) -> dict[str, bytes]:
    """Return the files of a figure by name: PDF, SVG, PNG at 300 and 600 dpi, recipe, data as CSV, and LaTeX.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.
        name: Common stem of the file names.
        tables: For a figure of all queries, the tables of `score_figures.compute_scores`; they are computed if empty.
    """
    with _draw_in_style(recipe, workspace, tables) as figure:
        images = _save_all_formats(figure.figure, name)
    texts = {".json": recipe.to_json(), ".csv": figure.data, ".tex": latex(recipe, workspace, name)}
    return images | {name + suffix: text.encode("utf-8") for suffix, text in texts.items()}


@contextmanager
def _draw_in_style(
    recipe: FigureRecipe, workspace: Workspace, tables: Sequence[ReportTable]
) -> Iterator[FigureWithData]:
    """Draw a figure within a context that has the figure's matplotlib settings, so that it can be saved with them.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.
        tables: For a figure of all queries, the tables of `score_figures.compute_scores`; they are computed if empty.
    """
    check_font(recipe.style.font)
    draw_figure: DrawFn
    if recipe.kind in OF_ALL_QUERIES:
        draw_figure = partial(draw_of_scores, recipe, tables or compute_scores(recipe, workspace))
    else:
        draw_figure = load_and_compute(recipe, workspace)
    with style_context(recipe.style):  # This starts after the computation, so that other threads can draw meanwhile.
        yield draw_figure()


def latex(recipe: FigureRecipe, workspace: Workspace, name: str) -> str:
    """Return a LaTeX figure environment whose caption names data, weights and settings.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.
        name: Stem of the PDF file, and label of the figure.
    """
    star = "*" if recipe.style.width.endswith("page") else ""
    settings, dataset = recipe.settings, workspace.dataset
    rate = f"$\\gamma = {settings.prune.keep_rate:g}$, "
    dropped = f"{escaped(settings.prune.strategy.replace('_', '-'))} patches"
    if settings.prune.strategy is DropStrategy.GIVEN:
        rate, dropped = "", f"{sum(map(len, settings.prune.given))} patches chosen by hand"
    occluded = sum(bool(scene.occluders) for scene in recipe.scenes)
    caption = (
        f"{CAPTIONS[recipe.kind]}. {escaped(dataset.label)}; {rate}"
        f"$\\alpha = {settings.alpha:g}$, $K = {settings.neighbors}$ where not varied; "
        f"{dropped} dropped, {settings.variant.value} variant, "
        f"weights {workspace.weights_fingerprint[:12]}."
    ) + (f" Occluders were added to {occluded} of the queries." if occluded else "")
    return (
        f"\\begin{{figure{star}}}[t]\n  \\centering\n  \\includegraphics[width=\\linewidth]{{{name}.pdf}}\n"
        f"  \\caption{{{caption}}}\n  \\label{{fig:{name}}}\n\\end{{figure{star}}}\n"
    )


def _save_all_formats(figure: Figure, name: str) -> dict[str, bytes]:
    """Save a figure as PDF, SVG and PNG at 300 and 600 dpi, without dates, so that equal figures give equal bytes.

    Args:
        figure: Figure to save.
        name: Common stem of the file names.

    Returns:
        Bytes of each file by its name, such as "figure-300dpi.png".
    """
    formats: dict[str, dict[str, Any]] = {
        f"{name}.pdf": {"format": "pdf", "metadata": {"CreationDate": None}, "dpi": 600},
        f"{name}.svg": {"format": "svg", "metadata": {"Date": None}, "dpi": 600},
    }
    for dpi in PNG_DPI:
        formats[f"{name}-{dpi}dpi.png"] = {"format": "png", "metadata": {"Software": None}, "dpi": dpi}
    files = {}
    for file, options in formats.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, **options)
        files[file] = buffer.getvalue()
    return files
