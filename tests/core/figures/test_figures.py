"""Publication figures match golden images, have reproducible bytes, and refuse invalid recipes."""

import csv
import io
import json
import math
import re
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from fpc_core.config import DropStrategy, MapMethod, MapTarget, PruneSettings, QuerySettings, Variant
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.data.match_label import MatchLabel
from fpc_core.data.occluder_rendering import cut_out, paint
from fpc_core.data.occluders import CutOut, Outline, Rectangle, Scene
from fpc_core.evaluation.engine.protocol import feature_distance, score_distance
from fpc_core.evaluation.engine.runner import run_with_store
from fpc_core.evaluation.paper_tables.definitions import Setting, tables_of
from fpc_core.evaluation.paper_tables.task import evaluation_task
from fpc_core.evaluation.sweep.tables import sweep_cells
from fpc_core.evaluation.sweep.task import SweepGrid, SweepTask
from fpc_core.figures import score_figures
from fpc_core.figures.fonts import check_font, fonts
from fpc_core.figures.image_grid import Block, Cell, draw_sheet
from fpc_core.figures.matplotlib_style import style_context
from fpc_core.figures.queries import load_queries
from fpc_core.figures.recipe import OF_ALL_QUERIES, FigureKind, FigureRecipe, read_recipe
from fpc_core.figures.render import bundle, draw, latex, render_png, write_figure
from fpc_core.figures.score_figures import compute_scores
from fpc_core.figures.style import FigureStyle
from fpc_core.io.dataclass_json import RecipeError
from fpc_core.retrieval import Retriever
from fpc_core.workspace import open_workspace

GOLDEN = Path(__file__).parents[2] / "golden" / "figures"
QUERIES = ("query/0001_c1_f0000002.png", "query/0003_c1_f0000002.png")
SETTINGS = QuerySettings(prune=PruneSettings(0.7), neighbors=4, shortlist=32)


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))


def recipe(kind: FigureKind, **changes) -> FigureRecipe:
    queries = () if kind in OF_ALL_QUERIES else QUERIES
    if kind is FigureKind.SWEEP_MAP:
        changes = {"keep_rates": (1.0, 0.7, 0.5), "alphas": (0.0, 0.4, 1.0)} | changes
    settings = replace(SETTINGS, variant=Variant.PAPER) if kind is FigureKind.QUERY_MAPS else SETTINGS
    return FigureRecipe(kind, queries, settings, hits=3, flows=40, **changes)


def render(figure_recipe: FigureRecipe, workspace):
    return draw(figure_recipe, workspace).figure


def rendered(figure, style, dpi=72) -> np.ndarray:
    file = io.BytesIO()
    with style_context(style):
        figure.savefig(file, dpi=dpi)
    return np.asarray(Image.open(file).convert("RGB"))


@pytest.mark.parametrize("kind", list(FigureKind))
def test_every_kind_matches_its_golden_image(workspace, kind, request):
    figure_recipe = recipe(kind, style=FigureStyle(columns=2, letters=True))
    picture = rendered(render(figure_recipe, workspace), figure_recipe.style)
    golden = GOLDEN / f"{kind}.png"
    if request.config.getoption("--golden-figures"):
        golden.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(golden, optimize=True)
    reference = np.asarray(Image.open(golden).convert("RGB"))
    assert picture.shape == reference.shape
    assert farthest(picture, reference) < 4


def farthest(picture, reference) -> float:
    """Compare two images by their tile of 8 x 8 pixels that differs most.

    Edges are smoothed a little differently on other machines. A thin line that is missing gives 5 or more.

    Args:
        picture: The image to check, (height, width, 3) in 0..255.
        reference: The golden image, of the same shape.

    Returns:
        The mean absolute difference in that tile, 0 to 255.
    """
    height, width = (side // 8 * 8 for side in reference.shape[:2])
    apart = np.abs(picture.astype(float) - reference).mean(-1)[:height, :width]
    return apart.reshape(height // 8, 8, width // 8, 8).mean((1, 3)).max()


def test_the_image_comparison_sees_a_missing_curve_but_not_slight_noise(workspace):
    figure_recipe = recipe(FigureKind.ALPHA_LINES)
    figure = render(figure_recipe, workspace)
    whole = rendered(figure, figure_recipe.style)
    noise = np.random.default_rng(0).uniform(-6, 6, whole.shape)
    assert farthest(np.clip(whole + noise, 0, 255), whole) < 4
    lines = [line for axes in figure.axes for line in axes.lines if len(line.get_xdata())]
    assert len(lines) == 10
    for line in lines:
        line.set_visible(False)
        assert farthest(rendered(figure, figure_recipe.style), whole) > 4
        line.set_visible(True)


OCCLUDED = (
    Scene(),
    Scene((Rectangle(0.5, 0.3, 1.0, 0.4), CutOut(x=0.7, path="bounding_box_test/0002_c2_f0000001.png"))),
)


@pytest.mark.parametrize("kind", [FigureKind.TRANSPORT, FigureKind.SWEEP_MAP])
def test_the_same_recipe_gives_the_same_bytes(workspace, kind):
    figure_recipe = recipe(kind) if kind in OF_ALL_QUERIES else recipe(kind, scenes=OCCLUDED)
    assert bundle(figure_recipe, workspace) == bundle(FigureRecipe.from_json(figure_recipe.to_json()), workspace)


def test_figures_of_two_threads_keep_their_own_style(workspace):
    kinds = (FigureKind.RANKED_LIST, FigureKind.DROP_PROCESS) * 2
    figure_recipe = [recipe(kind, style=FigureStyle(font_size=6 + index)) for index, kind in enumerate(kinds)]
    alone = [bundle(each, workspace) for each in figure_recipe]
    with ThreadPoolExecutor(len(figure_recipe)) as pool:
        assert list(pool.map(lambda each: bundle(each, workspace), figure_recipe)) == alone


@pytest.mark.parametrize("kind", [kind for kind in FigureKind if kind not in OF_ALL_QUERIES])
def test_a_query_is_searched_before_matplotlib_is_configured(workspace, kind, monkeypatch):
    dressed_for_print, seen = 42, []

    def watched(done):
        def look(*args, **kwargs):
            seen.append(matplotlib.rcParams["pdf.fonttype"])
            return done(*args, **kwargs)

        return look

    for name in ("prepare", "encode", "plan"):
        monkeypatch.setattr(Retriever, name, watched(getattr(Retriever, name)))
    render(recipe(kind), workspace)
    assert seen
    assert dressed_for_print not in seen


def test_occluders_are_painted_and_searched_as_in_the_lab(workspace):
    figure_recipe = recipe(FigureKind.RANKED_LIST, scenes=OCCLUDED)
    clean, occluded = load_queries(figure_recipe, workspace)
    record = next(each for each in workspace.dataset.gallery if each.path.as_posix().endswith("0002_c2_f0000001.png"))
    person = cut_out(workspace.dataset.read(record), Outline.PERSON)
    queries = {each.path.as_posix(): each for each in workspace.dataset.query}
    image = workspace.dataset.read(queries[occluded.path])
    painted = paint(image, OCCLUDED[1], {(record.path.as_posix(), Outline.PERSON): person})
    assert (clean.image == workspace.dataset.read(queries[clean.path])).all()
    assert (occluded.image == painted).all()
    config = workspace.retriever.model.config
    trace = workspace.retriever.search(
        to_tensor([painted], config), SETTINGS, torch.tensor([queries[occluded.path].camera])
    )
    np.testing.assert_array_equal(occluded.trace.final.distance, trace.final.distance)
    assert occluded.name == "query/0003_c1_f0000002.png under 2 occluders"
    assert "Occluders were added to 1 of the queries" in latex(figure_recipe, workspace, "lists")


def test_a_scene_that_cuts_from_an_unknown_image_is_refused(workspace):
    scene = Scene((CutOut(path="bounding_box_test/none.png"),))
    with pytest.raises(RecipeError, match=r"uses a person from 'bounding_box_test/none\.png'"):
        render(recipe(FigureKind.DROP_PROCESS, scenes=(scene, scene)), workspace)


@pytest.mark.parametrize("kind", [FigureKind.KEEP_RATES, FigureKind.TRADE_OFF])
def test_figure_and_data_are_made_from_one_computation(workspace, kind, monkeypatch, tmp_path):
    """Encodings and evaluations are counted, because every figure needs one of them."""
    made = []
    for owner, name in ((type(workspace.retriever), "prepare"), (score_figures, "evaluation_task")):
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, real=real, **named: made.append(1) or real(*given, **named))
    render(recipe(kind), workspace)
    once, made[:] = len(made), []
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "another"))
    write_figure(recipe(kind), workspace, tmp_path / "figure")
    assert len(made) == once


def data_of(workspace, figure_recipe):
    return list(csv.DictReader(io.StringIO(draw(figure_recipe, workspace).data)))


def test_the_data_of_masks_name_the_patches_that_are_left(workspace):
    rows = data_of(workspace, recipe(FigureKind.KEEP_RATES, keep_rates=(1.0, 0.5)))
    assert [row["panel"] for row in rows] == ["γ = 1", "γ = 0.5"] * 2
    assert rows[0]["kept"].split() == [str(patch) for patch in range(128)]
    kept = math.ceil(math.ceil(math.ceil(128 * 0.5) * 0.5) * 0.5)
    assert len(rows[1]["kept"].split()) == int(rows[1]["kept_patches"]) == kept


def test_the_data_of_transport_are_the_flows_drawn(workspace):
    rows = data_of(workspace, recipe(FigureKind.TRANSPORT))
    mass = [float(row["mass"]) for row in rows]
    assert len(rows) == 40
    assert mass == sorted(mass, reverse=True)
    assert all(0 <= int(row["query_patch"]) < 128 and 0 <= float(row["ground_cost"]) <= 2 for row in rows)


def test_the_data_of_alpha_lines_give_every_d(workspace):
    trace = workspace.retriever.search(*image_of(workspace, QUERIES[0]))
    rows = data_of(workspace, recipe(FigureKind.ALPHA_LINES))
    d = [0.6 * float(row["D_cos"]) + 0.4 * float(row["D_EMD"]) for row in rows]
    np.testing.assert_allclose(sorted(d), np.sort(trace.by_distance.distance), atol=2e-6)


def test_a_sweep_map_has_the_scores_of_the_sweep(workspace):
    figure_recipe = recipe(FigureKind.SWEEP_MAP, keep_rates=(1.0, 0.5), alphas=(0.0, 1.0))
    task = SweepTask(workspace.retriever, workspace.dataset, SweepGrid((1.0, 0.5), (0.0, 1.0), (4,)), SETTINGS)
    cells = sweep_cells(task, run_with_store(task.work).known)
    (table,) = compute_scores(figure_recipe, workspace)
    assert [row.labels for row in table.rows] == [("1", "0"), ("1", "1"), ("0.5", "0"), ("0.5", "1")]
    assert [row.ours["mAP"].value for row in table.rows] == pytest.approx([cell.mean_ap for cell in cells])
    assert [row.ours["Rank-1"].value for row in table.rows] == pytest.approx([cell.rank1 for cell in cells])


def test_curves_of_fig_4_have_the_scores_of_the_tables(workspace):
    setting = Setting(SETTINGS, workspace.retriever.model.config)
    task = evaluation_task(workspace.retriever, workspace.dataset, tables_of(["fig4"], setting))
    filled = task.filled(run_with_store(task.work).known)
    assert [table.rows for table in compute_scores(recipe(FigureKind.SCORE_CURVES), workspace)] == [
        table.rows for table in filled
    ]


def test_a_bundle_contains_figure_recipe_data_and_latex(workspace):
    figure_recipe = recipe(FigureKind.RANKED_LIST)
    with zipfile.ZipFile(io.BytesIO(bundle(figure_recipe, workspace, "mine"))) as archive:
        assert set(archive.namelist()) == {
            "mine.pdf",
            "mine.svg",
            "mine-300dpi.png",
            "mine-600dpi.png",
            "mine.json",
            "mine.csv",
            "mine.tex",
        }
        assert FigureRecipe.from_json(archive.read("mine.json").decode()) == figure_recipe
        rows = list(csv.DictReader(io.StringIO(archive.read("mine.csv").decode())))
        width = Image.open(io.BytesIO(archive.read("mine-600dpi.png"))).width
    assert width == round(3.25 * 600)
    assert len(rows) == 2 * 3 * 3  # There are 2 queries, 3 rankings and 3 hits.
    first = workspace.retriever.search(*image_of(workspace, QUERIES[0]))
    assert rows[3]["ranking"] == "D"
    assert float(rows[3]["distance"]) == pytest.approx(float(first.by_distance.distance[0]), abs=1e-6)


def image_of(workspace, path):
    config = workspace.retriever.model.config
    record = next(each for each in workspace.dataset.query if each.path.as_posix() == path)
    image = to_tensor([resize_image(workspace.dataset.read(record), config.image_size)], config)
    return image, SETTINGS, torch.tensor([record.camera])


def found_by_search(workspace, path):
    """Return the consolidated feature (C,) of a query at keep rate 0.5."""
    image, settings, camera = image_of(workspace, path)
    return workspace.retriever.search(image, settings.with_keep_rate(0.5), camera).consolidation.feature


def test_a_trade_off_scores_all_queries_and_reuses_stored_results(workspace, monkeypatch):
    figure_recipe = recipe(FigureKind.TRADE_OFF, keep_rates=(1.0, 0.5))
    (first,) = compute_scores(figure_recipe, workspace)
    features = np.stack([found_by_search(workspace, record.path.as_posix()) for record in workspace.dataset.query])
    scores = score_distance(
        feature_distance(features, workspace.retriever.memory.unit_features), workspace.dataset.query, workspace.dataset
    )
    row = first.rows[1]
    assert row.ours["mAP"].value == pytest.approx(scores.mean_ap)
    assert row.ours["Rank-1"].value == pytest.approx(scores.rank1)
    assert row.computed[0] < first.rows[0].computed[0]
    monkeypatch.setattr(type(workspace.retriever), "prepare", lambda *_: pytest.fail("images were encoded again"))
    assert compute_scores(figure_recipe, workspace)[0].rows == first.rows


@pytest.mark.parametrize("kind", sorted(OF_ALL_QUERIES))
def test_a_figure_of_all_queries_takes_no_query_names(kind):
    with pytest.raises(RecipeError, match=f"must be empty for {kind}"):
        FigureRecipe(kind, QUERIES)


LINES = {FigureKind.TRANSPORT: 40, FigureKind.ALPHA_LINES: 3}  # The minimum: one line per flow or candidate.
PLOTS = {FigureKind.ALPHA_LINES, FigureKind.SCORE_CURVES, FigureKind.TRADE_OFF}


def pdf_of(workspace, figure_recipe):
    """Return the PDF file and its drawing commands."""
    figure, file = render(figure_recipe, workspace), io.BytesIO()
    with style_context(figure_recipe.style):
        figure.savefig(file, format="pdf")
    pdf = file.getvalue()
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    return pdf, b"".join(zlib.decompress(each) for each in streams if each[:1] == b"\x78")


@pytest.mark.parametrize("kind", list(FigureKind))
def test_a_pdf_has_type_42_fonts_and_vector_lines(workspace, kind):
    pdf, drawing = pdf_of(workspace, recipe(kind))
    assert b"/Type3" not in pdf
    assert b"/Type0" in pdf
    assert b"/FontFile2" in pdf
    assert re.search(rb"\sT[jJ]\s", drawing)  # The text must not be converted to outlines.
    lines = re.findall(rb"[\d.]+ [\d.]+ m\s+[\d.]+ [\d.]+ l\s+(?:[\d.]+ [\d.]+ l\s+)*S", drawing)
    assert len(lines) >= LINES.get(kind, 0)
    pictures = len(re.findall(rb"/Subtype /Image", pdf))
    assert (pictures == 0) == (kind in PLOTS)


@pytest.mark.parametrize("font", ["DejaVu Serif", "STIXGeneral"])
def test_every_letter_of_a_figure_has_the_font_of_the_recipe(workspace, font):
    style = FigureStyle(font=font, letters=True)
    pdf, _ = pdf_of(workspace, recipe(FigureKind.DROP_PROCESS, style=style))
    names = set(re.findall(rb"/BaseFont /(?:[A-Z]{6}\+)?([\w-]+)", pdf))
    assert {name.split(b"-")[0] for name in names} == {font.replace(" ", "").encode()}


def test_available_fonts_include_a_sans_and_a_serif():
    assert {"DejaVu Sans", "DejaVu Serif", "STIXGeneral"} <= set(fonts())
    for name in fonts():
        check_font(name)


def test_a_missing_font_is_refused_and_available_ones_are_named(workspace):
    with pytest.raises(RecipeError, match=r"style\.font 'Nobody Sans' is not an installed .* one of DejaVu Sans"):
        render(recipe(FigureKind.DROP_PROCESS, style=FigureStyle(font="Nobody Sans")), workspace)


def test_labels_are_drawn_above_their_queries_unchanged(workspace):
    plain, labelled = (recipe(FigureKind.DROP_PROCESS, labels=each) for each in ((), ("$x_1$ & co", "")))
    figure = render(labelled, workspace)
    assert figure.get_size_inches()[1] > render(plain, workspace).get_size_inches()[1]
    (text,) = (each for each in figure.texts if each.get_text() == "$x_1$ & co")
    assert not text.get_parse_math()


def test_the_strategy_of_a_recipe_is_drawn(workspace):
    salient = replace(SETTINGS, prune=replace(SETTINGS.prune, strategy=DropStrategy.SALIENT))
    style = FigureStyle()
    default = rendered(render(recipe(FigureKind.DROP_PROCESS), workspace), style)
    other = rendered(render(replace(recipe(FigureKind.DROP_PROCESS), settings=salient), workspace), style)
    assert (default != other).any()


GALLERY = "bounding_box_test/0003_c2_f0000001.png"


@pytest.mark.parametrize(
    "changes",
    [
        {"method": MapMethod.LEFT_OUT},
        {"method": MapMethod.ATTENTION},
        {"target": MapTarget.IDENTITY, "identity": 3},
        {"gallery": GALLERY},
        {"relative": False},
    ],
)
def test_decoder_maps_use_the_method_and_target_of_the_recipe(workspace, changes):
    default, other = recipe(FigureKind.DECODER_MAPS), recipe(FigureKind.DECODER_MAPS, **changes)
    assert (
        rendered(render(default, workspace), default.style) != rendered(render(other, workspace), other.style)
    ).any()
    assert FigureRecipe.from_json(other.to_json()) == other


def test_a_recipe_without_a_method_means_grad_cam():
    content = json.loads(recipe(FigureKind.DECODER_MAPS).to_json())
    for name in ("method", "target", "identity", "relative"):
        del content[name]
    assert FigureRecipe.from_json(json.dumps(content)) == recipe(FigureKind.DECODER_MAPS)


def test_an_identity_is_refused_as_target_without_a_classifier(workspace):
    untrained = replace(workspace, weights=replace(workspace.weights, fresh="rec_classifier: 1 key"))
    with pytest.raises(RecipeError, match=r"model\.safetensors has no identity classifier"):
        render(recipe(FigureKind.DECODER_MAPS, target=MapTarget.IDENTITY), untrained)


def test_a_recipe_in_another_language_is_drawn_in_english_and_noted(workspace):
    german = recipe(FigureKind.RANKED_LIST, style=FigureStyle(language="de"))
    assert FigureRecipe.from_json(german.to_json()) == german
    assert "the recipe's language 'de'" in german.notes[0]
    english = replace(german, style=FigureStyle())
    assert english.notes == ()
    assert render_png(german, workspace, 50) == render_png(english, workspace, 50)


def test_latex_names_data_weights_and_settings_and_escapes(workspace):
    text = latex(recipe(FigureKind.KEEP_RATES, style=FigureStyle("ieee-page")), workspace, "rates")
    assert text.startswith("\\begin{figure*}")
    assert "Small world" in text
    assert "$\\gamma = 0.7$" in text
    assert "keep rates" in text.lower()
    assert "{rates.pdf}" in text


def test_a_sheet_has_the_width_of_its_style_and_grows_by_rows():
    image = np.zeros((20, 10, 3), np.uint8)
    block = Block(((Cell(image), Cell(image, tone=MatchLabel.MATCH)),))
    style = FigureStyle("ieee-column")
    one, two = (draw_sheet([block] * count, ["a", "b"], style, 2.0) for count in (1, 2))
    assert one.get_size_inches()[0] == two.get_size_inches()[0] == 3.5
    assert two.get_size_inches()[1] > 1.9 * (one.get_size_inches()[1] - 0.2)


def test_a_ragged_block_is_refused():
    cell = Cell(np.zeros((2, 1, 3), np.uint8))
    with pytest.raises(ValueError, match="must have the same length"):
        Block(((cell,), (cell, cell)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "pie"}, "kind must be one of drop_strategies"),
        ({"queries": []}, "queries must name 1 to 40"),
        ({"queries": "a.jpg"}, "queries must be a list of str"),
        ({"hits": 0}, "hits must be in 1..20"),
        ({"hits": True}, "hits must be an integer"),
        ({"keep_rates": [0]}, "keep_rates must be 1 to 21 different numbers"),
        ({"settings": {"alpha": 7}}, r"settings: alpha must be in \[0, 1\]"),
        ({"settings": {"prune": {"blocks": ["x"]}}}, "settings.prune.blocks must be a list of int"),
        ({"style": {"width": "a3"}}, "style.width must be one of cvpr-column"),
        ({"method": "crystal_ball"}, "method must be one of grad_cam, "),
        ({"method": "eigen_cam"}, "method must be one of grad_cam, "),
        ({"target": "fame"}, "target must be one of similarity, identity"),
        ({"identity": "me"}, "identity must be an integer"),
        ({"scenes": [{}]}, "scenes must be empty or have one entry per query \\(2\\)"),
        ({"scenes": [{}, {"occluders": [{"kind": "cloud"}]}]}, r"scenes\.1\.occluders\.0\.kind must be one of"),
        ({"labels": ["a"]}, "labels must be empty or have one entry per query \\(2\\)"),
        ({"labels": ["a\nb", ""]}, "labels must be single lines"),
        ({"labels": ["a" * 41, ""]}, "labels must be single lines of up to 40"),
        ({"alphas": [0.5, 0.5]}, "alphas must be 1 to 21 different numbers"),
        ({"colour": "red"}, "unknown colour in the recipe"),
        ({"format": 99}, "JSON object with format 1"),
    ],
)
def test_a_recipe_that_cannot_be_used_names_the_field(change, message):
    content = json.loads(recipe(FigureKind.TRANSPORT).to_json()) | change
    with pytest.raises(RecipeError, match=message):
        FigureRecipe.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "null", '"x"'])
def test_text_that_is_not_a_recipe_is_refused(text):
    with pytest.raises(RecipeError):
        FigureRecipe.from_json(text)


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"gone\.json"):
        read_recipe(tmp_path / "gone.json")
    large = tmp_path / "large.json"
    large.write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(RecipeError, match="bytes, the limit is"):
        read_recipe(large)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": ("query/none.png",)}, "query image 'query/none.png', which is not in this data"),
        ({"gallery": "none.png"}, "gallery image 'none.png', which is not in this data"),
        ({"weights": "0" * 64}, "was made with the weights 000000000000"),
        (
            {"kind": FigureKind.DECODER_MAPS, "target": MapTarget.IDENTITY, "identity": 99},
            r"identity must be a training identity in 0\.\.7",
        ),
    ],
)
def test_a_recipe_of_other_data_or_weights_is_refused(workspace, changes, message):
    with pytest.raises(RecipeError, match=message):
        render(replace(recipe(FigureKind.TRANSPORT), **changes), workspace)
