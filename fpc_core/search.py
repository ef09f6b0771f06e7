"""Search for one image from Python or a notebook, and plot, tabulate or display the result."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps

from fpc_core.config import QuerySettings
from fpc_core.data.images import ImageError, decode_image, resize_image
from fpc_core.data.match_label import QueryIdentity
from fpc_core.figures.recipe import FigureKind, FigureRecipe
from fpc_core.figures.style import FigureStyle
from fpc_core.report.sources import query_of
from fpc_core.results import QueryTrace

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from fpc_core.figures.queries import FigureQuery
    from fpc_core.workspace import Workspace

ImageLike = str | PathLike[str] | Image.Image | np.ndarray | torch.Tensor


@dataclass(frozen=True, eq=False)
class SearchResult:
    """Result of `Workspace.search`, which notebooks display as a table of images.

    Attributes:
        workspace: Data and weights of the search.
        query: The query, with its identity and camera if they are known.
        trace: Results of all stages.
    """

    workspace: Workspace
    query: FigureQuery
    trace: QueryTrace

    @property
    def settings(self) -> QuerySettings:
        """Settings of the search."""
        return self.query.settings

    def to_pandas(self, count: int | None = None) -> pd.DataFrame:
        """Return the three rankings as a table.

        Args:
            count: Number of ranks per ranking; all by default, which is the shortlist for the first two.

        Returns:
            One row per hit, with the columns `ranking` ("cosine", "D" or "consolidated"), `rank` from 1, `row` of the
            gallery memory, `image`, `identity`, `camera` from 1 (0 if unknown), `label` ("match", "other", "junk", or
            "neutral" if the query's identity is unknown) and `distance`.
        """
        import pandas as pd

        records = self.workspace.retriever.memory.records
        rankings = {"cosine": self.trace.by_cosine, "D": self.trace.by_distance, "consolidated": self.trace.final}
        tables = []
        for name, ranking in rankings.items():
            first = ranking if count is None else ranking.first(count)
            hits = [records[row] for row in first.indices.tolist()]
            columns = {
                "ranking": name,
                "rank": np.arange(1, len(first) + 1),
                "row": first.indices,
                "image": [record.path.as_posix() for record in hits],
                "identity": [record.identity for record in hits],
                "camera": [record.camera + 1 for record in hits],
                "label": [self.query.tone(row).value for row in first.indices.tolist()],
                "distance": first.distance,
            }
            tables.append(pd.DataFrame(columns))
        return pd.concat(tables, ignore_index=True)

    def plot_masks(self) -> Figure:
        """Plot the patches of the query that are left after each dropping block."""
        return self._plot(FigureKind.DROP_PROCESS)

    def plot_ranking(self, hits: int = 10) -> Figure:
        """Plot the nearest `hits` gallery images, up to 20, by cosine, by D and after consolidation, without junk."""
        return self._plot(FigureKind.RANKED_LIST, hits=hits)

    def plot_transport(self, rank: int = 1, flows: int = 80) -> Figure:
        """Plot the heaviest flows of the transport plan to a shortlisted gallery image.

        Args:
            rank: Rank of the image by D, from 1.
            flows: Number of flows.

        Raises:
            ValueError: The shortlist has no such rank.
        """
        by_distance = self.trace.by_distance
        if not 1 <= rank <= len(by_distance):
            raise ValueError(f"rank must be in 1..{len(by_distance)} (the shortlist), got {rank}")
        record = self.workspace.retriever.memory.records[int(by_distance.indices[rank - 1])]
        return self._plot(FigureKind.TRANSPORT, gallery=record.path.as_posix(), flows=flows)

    def _plot(self, kind: FigureKind, **options: object) -> Figure:
        from fpc_core.figures.matplotlib_style import style_context
        from fpc_core.figures.query_figures import compute_figure  # matplotlib and grad-cam take seconds to import.

        style = FigureStyle(width="ieee-page")
        recipe = FigureRecipe(kind, (self.query.path,), self.settings, style=style, **options)  # type: ignore[arg-type]
        draw = compute_figure(recipe, self.workspace, [self.query])
        with style_context(style):
            return draw().figure

    @cached_property
    def _summary(self) -> str:
        patches = self.workspace.retriever.model.config.patches
        kept = ", ".join(f"{stage.kept.shape[1]} after block {stage.block}" for stage in self.trace.encoding.stages)
        return (
            f"{self.query.name}: keep rate {self.settings.prune.keep_rate:g} (of {patches} patches {kept}), "
            f"alpha {self.settings.alpha:g}, K {self.settings.neighbors}, {self.settings.variant.value} variant, "
            f"weights {self.workspace.weights_fingerprint[:12]}, data {self.workspace.dataset.label}"
        )

    def __repr__(self) -> str:
        return f"<SearchResult of {self._summary}>"

    def _repr_html_(self) -> str:
        """Return the rankings as an image with a caption, which notebooks display."""
        file = io.BytesIO()
        self.plot_ranking().savefig(file, format="png", dpi=150)
        notes = "".join(f"<br>{html.escape(note)}" for note in self.workspace.notes)
        png = base64.b64encode(file.getvalue()).decode()
        return (
            f'<figure><img alt="Rankings by cosine, by D and after consolidation" style="max-width: 100%" '
            f'src="data:image/png;base64,{png}"><figcaption>{html.escape(self._summary)}{notes}</figcaption></figure>'
        )


def search_image(
    workspace: Workspace,
    image: ImageLike,
    settings: QuerySettings | None = None,
    *,
    keep_rate: float | None = None,
    alpha: float | None = None,
    k: int | None = None,
    camera: int | None = None,
) -> SearchResult:
    """Search the gallery for one image; `Workspace.search` calls this and describes the arguments."""
    from fpc_core.figures.queries import FigureQuery

    dataset, config = workspace.dataset, workspace.retriever.model.config
    chosen = settings or QuerySettings(shortlist=dataset.shortlist, neighbors=min(dataset.neighbors, dataset.shortlist))
    if keep_rate is not None:
        chosen = chosen.with_keep_rate(keep_rate)
    chosen = replace(
        chosen, alpha=chosen.alpha if alpha is None else alpha, neighbors=chosen.neighbors if k is None else k
    )
    if camera is not None and config.cameras and not 1 <= camera <= config.cameras:
        raise ValueError(f"camera must be in 1..{config.cameras}, got {camera}; omit it if the camera is unknown")
    name, subject = "image", QueryIdentity()
    if isinstance(image, (str, PathLike)):
        source = query_of(Path(image), dataset)
        name, subject, pixels = source.name, source.subject, source.read()
    else:
        pixels = to_pixels(image)
    if camera is not None:
        subject = replace(subject, camera=camera - 1)
    query = FigureQuery(workspace, chosen, name, subject, resize_image(pixels, config.image_size))
    return SearchResult(workspace, query, query.trace)


def to_pixels(image: Image.Image | np.ndarray | torch.Tensor) -> np.ndarray:
    """Convert an image in memory to upright RGB, (H, W, 3) uint8.

    Args:
        image: A PIL image; an array (H, W, 3) or (H, W); or a tensor (3, H, W). Arrays and tensors are uint8, or
            floating point in [0, 1].

    Raises:
        ImageError: The image has another shape, type or range.
    """
    if isinstance(image, Image.Image):
        file = io.BytesIO()
        # Decoding a PNG converts transparency and palettes in the same way as for files.
        ImageOps.exif_transpose(image).save(file, "PNG")
        return decode_image(file.getvalue())
    if isinstance(image, torch.Tensor):
        if image.ndim != 3 or image.shape[0] != 3:
            raise ImageError(f"a tensor must have the shape (3, H, W), got {tuple(image.shape)}")
        image = image.detach().cpu().permute(1, 2, 0).numpy()
    if not isinstance(image, np.ndarray):
        raise ImageError(f"an image must be a path, PIL image, array or tensor, got {type(image).__name__}")
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < 8:
        raise ImageError(f"an array must have the shape (H, W, 3) or (H, W) and 8 pixels per side, got {image.shape}")
    if np.issubdtype(image.dtype, np.floating):
        if not (image.min() >= 0.0 and image.max() <= 1.0):
            raise ImageError(
                f"floating-point pixels must be in [0, 1], got {image.min():g} to {image.max():g}; undo the "
                "normalisation, or divide by 255"
            )
        image = np.rint(255.0 * image)
    elif image.dtype != np.uint8:
        raise ImageError(f"pixels must be uint8 or floating point, got {image.dtype}")
    return np.ascontiguousarray(image, dtype=np.uint8)
