"""Load the queries that a recipe names, with their occluders, and search for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from fpc_core.config import MapSettings, MapTarget, PruneSettings, QuerySettings
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.ground_truth import true_masks
from fpc_core.data.images import to_tensor
from fpc_core.data.match_label import MatchLabel, QueryIdentity, match_label, subject_of
from fpc_core.data.occluder_rendering import cut_out, cut_outs, paint
from fpc_core.data.occluders import Outline, Scene
from fpc_core.figures.recipe import FigureRecipe
from fpc_core.io.dataclass_json import RecipeError
from fpc_core.results import DropStage, EncoderState, Encoding, QueryTrace, Ranking
from fpc_core.runtime.interruption import lazy_property
from fpc_core.workspace import Workspace


@dataclass(frozen=True, eq=False)
class FigureQuery:
    """A query with its occluders, whose search runs when its results are first needed.

    Attributes:
        workspace: Data and weights of the search.
        settings: Settings of the search.
        path: Path of the query in the dataset, or the name of another image.
        subject: Identity and camera of the query, if they are known.
        image: (H, W, 3) uint8 at the model's input size, including the occluders.
        scene: Occluders in the image.
    """

    workspace: Workspace
    settings: QuerySettings
    path: str
    subject: QueryIdentity
    image: np.ndarray
    scene: Scene = field(default_factory=Scene)

    @lazy_property
    def trace(self) -> QueryTrace:
        """Results of the search for the query."""
        return self.workspace.retriever_for(self.subject.path).search(self._pixels, self.settings, self._cameras)

    def encode(self, prune: PruneSettings) -> Encoding:
        """Encode the query with other prune settings, whose dropping blocks must be those of the search."""
        return self.workspace.retriever.encode(self.state, prune)

    def trace_blocks(self) -> tuple[DropStage, ...]:
        """Return the attention of `[cls]` and the kept patches of every block."""
        return self.workspace.retriever.trace_blocks(self._pixels, self._cameras, self.settings.prune)

    @lazy_property
    def state(self) -> EncoderState:
        """State of the query before the first dropping block of the settings."""
        return self.workspace.retriever.prepare(self._pixels, self._cameras, self.settings.prune.blocks[0])

    @property
    def name(self) -> str:
        """Name of the query in tables: its path and the number of occluders."""
        count = len(self.scene.occluders)
        return self.path + (f" under {count} occluder{'s' * (count > 1)}" if count else "")

    def tone(self, row: int) -> MatchLabel:
        """Return whether a gallery image, given by its row, is a match, another person or junk."""
        record = self.workspace.retriever.memory.records[row]
        return match_label(record, self.subject, self.workspace.dataset.excludes_own_camera)

    def hits(self, ranking: Ranking, count: int) -> list[tuple[int, float]]:
        """Return the rows and distances of the nearest images that are not junk.

        Args:
            ranking: Ranking of the gallery or of the shortlist.
            count: Maximum number of images.
        """
        return list(islice((each for each in ranking.pairs() if self.tone(each[0]) is not MatchLabel.JUNK), count))

    @property
    def _pixels(self) -> torch.Tensor:
        return to_tensor([self.image], self.workspace.retriever.model.config)

    @property
    def _cameras(self) -> torch.Tensor | None:
        known = self.subject.camera is not None and self.workspace.dataset.uses_cameras
        return torch.tensor([self.subject.camera]) if known else None


def labels_of(recipe: FigureRecipe) -> Sequence[str]:
    """Return the label of each query; empty strings if the recipe has none."""
    return recipe.labels or ("",) * len(recipe.queries)


def aspect(workspace: Workspace) -> float:
    """Return the height of an image at the model's input size divided by its width."""
    height, width = workspace.retriever.model.config.image_size
    return height / width


def gallery_image(workspace: Workspace, row: int) -> np.ndarray:
    """Return a gallery image at the model's input size.

    Args:
        workspace: Data and weights.
        row: Row of the gallery memory.

    Returns:
        (H, W, 3) uint8 image.
    """
    return workspace.image(workspace.retriever.memory.records[row])


def gallery_path(workspace: Workspace, row: int) -> str:
    """Return the path of a gallery image in the format of recipes.

    Args:
        workspace: Data and weights.
        row: Row of the gallery memory.
    """
    return workspace.retriever.memory.records[row].path.as_posix()


def gallery_row(path: str, query: FigureQuery) -> int:
    """Return the row of a gallery image.

    Args:
        path: Path of the image in the format of recipes; empty for the image nearest by D.
        query: The query.

    Raises:
        RecipeError: The image is not in the gallery.
    """
    if not path:
        return int(query.trace.by_distance.indices[0])
    records = query.workspace.retriever.memory.records
    return records.index(find(records, path, "gallery"))


def shortlisted_row(path: str, query: FigureQuery) -> int:
    """Return the row of a gallery image that is in the shortlist.

    Args:
        path: Path of the image in the format of recipes; empty for the image nearest by D.
        query: The query.

    Raises:
        RecipeError: The image is not in the gallery, or not shortlisted for the query.
    """
    shortlist, row = query.trace.match.shortlist, gallery_row(path, query)
    if row not in shortlist:
        raise RecipeError(
            f"{path} is not among the {len(shortlist.indices)} shortlisted images; name another gallery image"
        )
    return row


def load_queries(recipe: FigureRecipe, workspace: Workspace) -> list[FigureQuery]:
    """Load the queries of a recipe, and paint their occluders.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.

    Raises:
        RecipeError: The recipe names other weights, or an image is missing.
    """
    check_weights(recipe, workspace)
    records = [find(workspace.dataset.query, path, "query") for path in recipe.queries]
    scenes = recipe.scenes or (Scene(),) * len(records)
    masks: Mapping[Path, np.ndarray] = {}
    if any(each.outline is Outline.PERSON for scene in scenes for each in scene.cut_outs):
        masks = true_masks(workspace.dataset)

    def cut(record: ImageRecord, outline: Outline) -> np.ndarray:
        return cut_out(workspace.image(record), outline, masks.get(record.path))

    pictures = cut_outs(scenes, workspace.retriever.memory.records, cut)
    return [
        FigureQuery(
            workspace,
            recipe.settings,
            record.path.as_posix(),
            subject_of(record, workspace.dataset),
            paint(workspace.image(record), scene, pictures),
            scene,
        )
        for record, scene in zip(records, scenes, strict=True)
    ]


def check_weights(recipe: FigureRecipe, workspace: Workspace) -> None:
    """Check that a recipe allows the weights of a workspace.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.

    Raises:
        RecipeError: The recipe names other weights.
    """
    actual = workspace.weights_fingerprint
    if recipe.weights and recipe.weights != actual:
        raise RecipeError(
            f"the recipe was made with the weights {recipe.weights[:12]}, not {actual[:12]}; open that checkpoint, or "
            "clear the recipe's weights field"
        )


def find(records: Sequence[ImageRecord], path: str, split: str) -> ImageRecord:
    """Return the record with a given path.

    Args:
        records: Records to search.
        path: Path as in `ImageRecord.path.as_posix()`.
        split: Name of the split for the error message.

    Raises:
        RecipeError: No record has this path.
    """
    for record in records:
        if record.path.as_posix() == path:
            return record
    raise RecipeError(f"the recipe names the {split} image {path[:120]!r}, which is not in this dataset")


def map_settings(recipe: FigureRecipe, workspace: Workspace) -> MapSettings:
    """Return the settings of the decoder's heat maps.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.

    Raises:
        RecipeError: The gallery lacks the image, or the weights lack the identity, that the maps explain.
    """
    if recipe.target is MapTarget.IDENTITY:
        if not workspace.weights.knows_identities:
            raise RecipeError(f"{workspace.places.weights.name} has no identity classifier; use the target similarity")
        identities = workspace.retriever.model.config.identities
        if not -1 <= recipe.identity < identities:
            raise RecipeError(
                f"identity must be a training identity in 0..{identities - 1}, or -1 for the most likely one, got "
                f"{recipe.identity}"
            )
        index = recipe.identity if recipe.identity >= 0 else None
    else:
        records = workspace.retriever.memory.records
        index = records.index(find(records, recipe.gallery, "gallery")) if recipe.gallery else None
    return MapSettings(recipe.method, recipe.target, index, recipe.relative)
