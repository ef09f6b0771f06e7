"""From a recipe and a workspace to a figure, and to the files an author needs."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from matplotlib.figure import Figure

from fpc_core.config import DropStrategy, MapSettings, MapTarget, QuerySettings
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.formats import latex as escaped
from fpc_core.evaluation.formats import to_csv
from fpc_core.explain.cam import decoder_map
from fpc_core.explain.masks import survivors
from fpc_core.explain.methods import NAMES
from fpc_core.explain.overlay import heat, veil
from fpc_core.explain.relation import Subject, Tone, tone_of
from fpc_core.figures.lines import draw_alpha_lines, draw_transport
from fpc_core.figures.recipe import FigureKind, FigureRecipe
from fpc_core.figures.scores import draw_trade_off, trade_off
from fpc_core.figures.sheet import Block, Cell, Scale, draw_sheet
from fpc_core.figures.style import WORDS, dressed, save
from fpc_core.model.checkpoint import weights_fingerprint
from fpc_core.recipes import RecipeError
from fpc_core.results import Encoding, QueryTrace, Ranking
from fpc_core.workspace import Workspace


def render(recipe: FigureRecipe, space: Workspace) -> Figure:
    """Draw the figure of a recipe. Raises RecipeError where the recipe does not fit this data or these weights."""
    return _drawn(recipe, space, _queries(recipe, space))


def _drawn(recipe: FigureRecipe, space: Workspace, queries: Sequence[_Query]) -> Figure:
    with dressed(recipe.style):
        return _DRAW[recipe.kind](recipe, space, queries)


def render_png(recipe: FigureRecipe, space: Workspace, dpi: int) -> bytes:
    """The figure as PNG bytes, for a look on screen."""
    figure, file = render(recipe, space), io.BytesIO()
    with dressed(recipe.style):
        figure.savefig(file, dpi=dpi)
    return file.getvalue()


def write_figure(recipe: FigureRecipe, space: Workspace, stem: Path) -> list[Path]:
    """Write stem.pdf, stem.svg, stem-300dpi.png, stem-600dpi.png, stem.json, stem.csv and stem.tex; their paths."""
    queries = _queries(recipe, space)  # drawn and tabled from one search each
    figure = _drawn(recipe, space, queries)
    with dressed(recipe.style):
        paths = save(figure, stem)
    texts = {".json": recipe.to_json(), ".csv": _table(recipe, space, queries), ".tex": latex(recipe, space, stem.name)}
    for suffix, text in texts.items():
        path = stem.with_name(stem.name + suffix)
        path.write_text(text, encoding="utf-8", newline="\n")
        paths.append(path)
    return paths


def bundle(recipe: FigureRecipe, space: Workspace, name: str = "figure") -> bytes:
    """What `write_figure` writes, as a zip; equal recipes give equal bytes on the CPU."""
    packed = io.BytesIO()
    with TemporaryDirectory() as folder, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in write_figure(recipe, space, Path(folder) / name):
            archive.writestr(zipfile.ZipInfo(path.name, (1980, 1, 1, 0, 0, 0)), path.read_bytes())
    return packed.getvalue()


def latex(recipe: FigureRecipe, space: Workspace, name: str) -> str:
    """A figure environment whose caption says data, weights and settings."""
    star = "*" if recipe.style.width.endswith("page") else ""
    settings = recipe.settings
    caption = (
        f"{recipe.kind.value.replace('_', ' ').capitalize()} on {escaped(space.dataset.name)} "
        f"($\\gamma = {settings.prune.keep_rate:g}$, $\\alpha = {settings.alpha:g}$, $K = {settings.neighbors}$, "
        f"{settings.variant.value} variant; weights {weights_fingerprint(space.retriever.model)[:12]})."
    )
    return (
        f"\\begin{{figure{star}}}[t]\n  \\centering\n  \\includegraphics[width=\\linewidth]{{{name}.pdf}}\n"
        f"  \\caption{{{caption}}}\n  \\label{{fig:{name}}}\n\\end{{figure{star}}}\n"
    )


@dataclass(frozen=True, eq=False)
class _Query:
    """A query image and, once asked for, its search with the settings of the recipe."""

    record: ImageRecord
    image: np.ndarray
    pixels: torch.Tensor
    cameras: torch.Tensor | None
    search: Callable[[torch.Tensor, torch.Tensor | None], QueryTrace]

    @cached_property
    def trace(self) -> QueryTrace:
        return self.search(self.pixels, self.cameras)

    @property
    def subject(self) -> Subject:
        return Subject(self.record.identity, self.record.camera)


def _find(records: Sequence[ImageRecord], path: str, split: str) -> ImageRecord:
    for record in records:
        if record.path.as_posix() == path:
            return record
    raise RecipeError(f"the recipe asks for the {split} image {path[:120]!r}, which is not in this data")


def _queries(recipe: FigureRecipe, space: Workspace) -> list[_Query]:
    """The images a recipe names. Raises RecipeError for other weights than its own and for a missing image."""
    held = weights_fingerprint(space.retriever.model)
    if recipe.weights and recipe.weights != held:
        raise RecipeError(
            f"the recipe was made with the weights {recipe.weights[:12]}, these are {held[:12]}; open the checkpoint "
            "it was made with, or empty its field weights"
        )
    records = [_find(space.dataset.query, path, "query") for path in recipe.queries]
    config = space.retriever.model.config

    def search(pixels: torch.Tensor, cameras: torch.Tensor | None) -> QueryTrace:
        return space.retriever.search(pixels, recipe.settings, cameras)

    queries = []
    for record in records:
        image = resize_image(space.dataset.read(record), config.image_size)
        cameras = torch.tensor([record.camera]) if space.dataset.uses_cameras else None
        queries.append(_Query(record, image, to_tensor([image], config), cameras, search))
    return queries


def _picture(space: Workspace, row: int) -> np.ndarray:
    record = space.retriever.memory.records[row]
    return resize_image(space.dataset.read(record), space.retriever.model.config.image_size)


def _encode(space: Workspace, query: _Query, settings: QuerySettings) -> Encoding:
    state = space.retriever.prepare(query.pixels, query.cameras, settings.prune.blocks[0])
    return space.retriever.encode(state, settings.prune)


def _aspect(space: Workspace) -> float:
    height, width = space.retriever.model.config.image_size
    return height / width


def _drop_strategies(recipe: FigureRecipe, space: Workspace, queries: Sequence[_Query]) -> Figure:
    """Fig. 5: what is left after the last dropping block, for each strategy at the same keep rate."""
    words, config = WORDS[recipe.style.language], space.retriever.model.config
    order = (DropStrategy.RANDOM, DropStrategy.SALIENT, DropStrategy.NON_SALIENT)
    blocks = []
    for query in queries:
        cells = [Cell(query.image)]
        for strategy in order:
            settings = replace(recipe.settings, prune=replace(recipe.settings.prune, strategy=strategy))
            alive = survivors(_encode(space, query, settings))[-1]
            cells.append(Cell(veil(query.image, alive, config)))
        blocks.append(Block((tuple(cells),)))
    heads = [words["input"], *(words[strategy.value] for strategy in order)]
    return draw_sheet(blocks, heads, recipe.style, _aspect(space))


def _drop_process(recipe: FigureRecipe, space: Workspace, queries: Sequence[_Query]) -> Figure:
    """Figs. 6 and 9: what is left after each dropping block."""
    words, config = WORDS[recipe.style.language], space.retriever.model.config
    blocks = []
    for query in queries:
        masks = survivors(_encode(space, query, recipe.settings))
        blocks.append(Block(((Cell(query.image), *(Cell(veil(query.image, mask, config)) for mask in masks)),)))
    heads = [words["input"], *(words["block"].format(block) for block in recipe.settings.prune.blocks)]
    return draw_sheet(blocks, heads, recipe.style, _aspect(space))


def _keep_rates(recipe: FigureRecipe, space: Workspace, queries: Sequence[_Query]) -> Figure:
    """Fig. 8: what is left in the end, for each keep rate; the state before the first drop is shared."""
    words, config = WORDS[recipe.style.language], space.retriever.model.config
    blocks = []
    for query in queries:
        state = space.retriever.prepare(query.pixels, query.cameras, recipe.settings.prune.blocks[0])
        masks = [
            survivors(space.retriever.encode(state, replace(recipe.settings.prune, keep_rate=rate)))[-1]
            for rate in recipe.keep_rates
        ]
        blocks.append(Block(((Cell(query.image), *(Cell(veil(query.image, mask, config)) for mask in masks)),)))
    return draw_sheet(
        blocks, [words["input"], *(f"γ = {rate:g}" for rate in recipe.keep_rates)], recipe.style, _aspect(space)
    )


def _decoder_maps(recipe: FigureRecipe, space: Workspace, queries: Sequence[_Query]) -> Figure:
    """Fig. 7: a heat map of the decoder over the neighbours it reads, one scale for each query."""
    words, config = WORDS[recipe.style.language], space.retriever.model.config
    how = _map_settings(recipe, space)
    blocks = []
    for query in queries:
        trace = query.trace
        found = decoder_map(space.retriever, trace, how).scaled()
        cells = [Cell(query.image)]
        for row, grid in zip(trace.consolidation.neighbors.tolist(), found.neighbor_grids, strict=True):
            cells.append(Cell(heat(_picture(space, row), grid, config, 1.0), tone=_tone(space, query, row)))
        blocks.append(Block((tuple(cells),)))
    bar = Scale(words.get(how.method.value, NAMES[how.method]), words["low"], words["high"])
    return draw_sheet(blocks, [words["query"]], recipe.style, _aspect(space), bar)


def _map_settings(recipe: FigureRecipe, space: Workspace) -> MapSettings:
    """Of the decoder's heat maps. Raises RecipeError for a target that this data or these weights do not have."""
    if recipe.target is MapTarget.IDENTITY:
        if not space.weights.knows_identities:
            raise RecipeError(
                f"{space.places.weights.name} has no classifier of training identities; choose the target similarity"
            )
        known = space.retriever.model.config.identities
        if not -1 <= recipe.identity < known:
            raise RecipeError(f"identity must be one of the {known} the weights were trained on, or -1")
        index = recipe.identity if recipe.identity >= 0 else None
    else:
        records = space.retriever.memory.records
        index = records.index(_find(records, recipe.gallery, "gallery")) if recipe.gallery else None
    return MapSettings(recipe.method, recipe.target, index, recipe.relative)


def _ranked_list(recipe: FigureRecipe, space: Workspace, queries: Sequence[_Query]) -> Figure:
    """The nearest gallery images by cosine, by D and after consolidation; junk images are left out."""
    words = WORDS[recipe.style.language]
    blocks = []
    for query in queries:
        trace = query.trace
        rows = []
        for number, ranking in enumerate((trace.by_cosine, trace.by_distance, trace.final)):
            cells = [
                Cell(_picture(space, row), f"{distance:.2f}", _tone(space, query, row))
                for row, distance in _hits(space, query, ranking, recipe.hits)
            ]
            rows.append((Cell(query.image) if number == 0 else None, *cells))
        names = (words["cosine"], words["distance"].format(f"{recipe.settings.alpha:g}"), words["final"])
        blocks.append(Block(tuple(rows), names))
    return draw_sheet(blocks, [words["query"], *map(str, range(1, recipe.hits + 1))], recipe.style, _aspect(space))


def _transport(recipe: FigureRecipe, space: Workspace, queries: Sequence[_Query]) -> Figure:
    """The heaviest flows of the plan to one gallery image."""
    query, row = queries[0], 0
    trace = query.trace
    rows = trace.match.shortlist.indices
    if recipe.gallery:
        wanted = _find(space.retriever.memory.records, recipe.gallery, "gallery")
        places = [place for place, each in enumerate(rows.tolist()) if space.retriever.memory.records[each] == wanted]
        if not places:
            raise RecipeError(f"{recipe.gallery} is not among the {len(rows)} shortlisted; name another gallery image")
        row = places[0]
    else:
        row = int(np.flatnonzero(rows == trace.by_distance.indices[0])[0])
    plan = space.retriever.plan(trace.encoding, trace.match, row, recipe.settings)
    return draw_transport(
        query.image,
        _picture(space, plan.gallery_index),
        plan,
        survivors(trace.encoding)[-1],
        space.retriever.model.config,
        recipe.style,
        flows=recipe.flows,
        tone=_tone(space, query, plan.gallery_index),
    )


def _alpha_lines(recipe: FigureRecipe, space: Workspace, queries: Sequence[_Query]) -> Figure:
    """D of the nearest candidates against alpha, and the exact swaps."""
    query = queries[0]
    trace = query.trace
    return draw_alpha_lines(
        trace.match,
        [_tone(space, query, row) for row in trace.match.shortlist.indices.tolist()],
        recipe.settings.alpha,
        recipe.style,
        hits=recipe.hits,
    )


def _trade_off(recipe: FigureRecipe, space: Workspace, queries: Sequence[_Query]) -> Figure:
    """Table 3 as a plot, ours alone: the paper's is of another model and data."""
    return draw_trade_off(trade_off(recipe, space), recipe.style)


def _hits(space: Workspace, query: _Query, ranking: Ranking, count: int) -> list[tuple[int, float]]:
    found = zip(ranking.indices.tolist(), ranking.distance.tolist(), strict=True)
    return [(row, d) for row, d in found if _tone(space, query, row) is not Tone.JUNK][:count]


def _tone(space: Workspace, query: _Query, row: int) -> Tone:
    return tone_of(space.retriever.memory.records[row], query.subject, space.dataset.uses_cameras)


def _table(recipe: FigureRecipe, space: Workspace, queries: Sequence[_Query]) -> str:
    """The numbers behind the figure, a line per query, ranking and hit, or per keep rate: CSV."""
    if recipe.kind is FigureKind.TRADE_OFF:
        return to_csv(trade_off(recipe, space))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["query", "kept_patches", "ranking", "rank", "gallery", "relation", "distance"])
    for query in queries:
        path, trace = query.record.path.as_posix(), query.trace
        kept = trace.encoding.positions.shape[1]
        rankings = {"cosine": trace.by_cosine, "D": trace.by_distance, "consolidated": trace.final}
        for name, ranking in rankings.items():
            for rank, (row, distance) in enumerate(_hits(space, query, ranking, recipe.hits), start=1):
                gallery = space.retriever.memory.records[row].path.as_posix()
                writer.writerow([path, kept, name, rank, gallery, _tone(space, query, row), f"{distance:.6f}"])
    return out.getvalue()


_DRAW: dict[FigureKind, Callable[[FigureRecipe, Workspace, Sequence[_Query]], Figure]] = {
    FigureKind.DROP_STRATEGIES: _drop_strategies,
    FigureKind.DROP_PROCESS: _drop_process,
    FigureKind.KEEP_RATES: _keep_rates,
    FigureKind.DECODER_MAPS: _decoder_maps,
    FigureKind.RANKED_LIST: _ranked_list,
    FigureKind.TRANSPORT: _transport,
    FigureKind.ALPHA_LINES: _alpha_lines,
    FigureKind.TRADE_OFF: _trade_off,
}
