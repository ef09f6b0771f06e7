"""The numbers of a report equal those of searches, and hostile files and names do no harm."""

import os
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from fpc_core.cli import main
from fpc_core.config import MapMethod, MapSettings, MapTarget, PruneSettings, QuerySettings, Variant
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.data.match_label import QueryIdentity
from fpc_core.explain.heatmaps import decoder_map
from fpc_core.report.collect import explain
from fpc_core.report.render import about, render
from fpc_core.report.sources import Source, Sources, images_of, queries_of, readable
from fpc_core.workspace import open_workspace

SETTINGS = QuerySettings(PruneSettings(0.7), variant=Variant.PAPER, neighbors=4, shortlist=32)
HOW = MapSettings(MapMethod.LEFT_OUT)
MADE = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOSTILE = "<img src=x onerror=alert(1)>&amp;.png"


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


def reported(workspace, sources, settings=SETTINGS, how=HOW):
    """Render a report and parse it as XML, which fails if it is not well-formed.

    Args:
        workspace: The opened data, weights and gallery memory.
        sources: The queries.
        settings: The settings of the search.
        how: The settings of the report.

    Returns:
        The page and its element tree.
    """
    page = render(about(workspace, sources, settings, how, MADE), *explain(workspace, sources, settings, how))
    return page, ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>").strip())


@pytest.fixture(scope="module")
def two(workspace):
    return reported(workspace, queries_of(workspace.dataset, 2))


def words(element):
    return " ".join(" ".join(element.itertext()).split())


def article(tree, number):
    return tree.find(f".//article[@id='q{number}']")


def strips(element):
    """Return the captions of the images in every strip of an element."""
    elements = (each for each in element.iter("div") if each.get("class", "").startswith("strip"))
    return [[words(figure.find("figcaption")) for figure in strip.iter("figure")] for strip in elements]


def trace_of(workspace, record, settings=SETTINGS):
    config = workspace.retriever.model.config
    image = to_tensor([resize_image(workspace.dataset.read(record), config.image_size)], config)
    return workspace.retriever.search(image, settings, torch.tensor([record.camera]))


def test_the_numbers_of_every_query_equal_the_search(workspace, two):
    for number, record in enumerate(workspace.dataset.query[:2], start=1):
        trace, shown = trace_of(workspace, record), article(two[1], number)
        dropped, by_distance, final, _, decoder = strips(shown)
        kept = [f"Block {stage.block} {stage.kept.shape[1]} kept" for stage in trace.encoding.stages]
        assert dropped == ["Input 128 patches", *kept]
        for captions, symbol, ranking in ((by_distance, "D", trace.by_distance), (final, "d", trace.final)):
            listed = zip(ranking.indices.tolist(), ranking.distance.tolist(), strict=True)
            people = [(workspace.retriever.memory.records[row], distance) for row, distance in listed]
            expected = [
                (f"{symbol} {distance:.3f}", f"id {person.identity} · cam {person.camera + 1}")
                for person, distance in people
                if (person.identity, person.camera) != (record.identity, record.camera)
            ]
            assert len(captions) == 10
            for caption, (distance, who) in zip(captions, expected, strict=False):
                assert distance in caption
                assert who in caption
        shares = trace.consolidation
        expected_shares = [shares.query_share, *shares.neighbor_shares.tolist()]
        assert [re.search(r"([\d.]+%) of attention", caption)[1] for caption in decoder] == [
            f"{each:.1%}" for each in expected_shares
        ]
        assert f"[cls] {100 * shares.cls_share:.1f} % query {100 * shares.query_share:.1f} %" in words(shown)
        peak = decoder_map(workspace.retriever, trace, HOW).peak
        assert f"0 {peak:.2g} drop without the patch, for the cosine to the top-ranked image" in words(shown)


def test_the_nearest_hit_is_explained_by_parts_and_a_sentence(workspace, two):
    record = workspace.dataset.query[0]
    trace, shown = trace_of(workspace, record), words(article(two[1], 1))
    rows = [
        row
        for row in trace.by_distance.indices.tolist()
        if (person := workspace.retriever.memory.records[row]).identity != record.identity
        or person.camera != record.camera
    ]
    index = trace.match.shortlist.position(rows[0])
    d_cos, d_emd = trace.match.shortlist.d_cos[index], trace.match.transport.distance[index]
    assert f"D {0.6 * d_cos + 0.4 * d_emd:.4f}: cosine {d_cos:.4f}, transport {d_emd:.4f}" in shown
    assert re.search(r"By D, #1 (is closer than|and) .*#\d", shown)


def test_the_head_counts_first_hits_and_lists_data_and_settings(workspace, two):
    head = words(two[1].find(".//header"))
    queries = workspace.dataset.query[:2]
    for name, kind in (("cosine", "by_cosine"), ("D", "by_distance"), ("consolidated", "final")):
        right = 0
        for record in queries:
            rows = getattr(trace_of(workspace, record), kind).indices.tolist()
            people = (workspace.retriever.memory.records[row] for row in rows)
            first = next(p for p in people if (p.identity, p.camera) != (record.identity, record.camera))
            right += first.identity == record.identity
        assert f"{name} {right} of 2" in head
    for fact in (
        "SYNTHETIC for tests",
        "queries of Small world: 2, 6 more left out",
        "Data Small world (synthetic), 32 gallery images",
        "Weights model.safetensors, SHA-256 ",
        "Variant paper",
        "0.7 in blocks 3, 6, 9, non-salient patches dropped",
        "α 0.4, sinkhorn, ε 0.05, shortlist 32",
        "Device CPU",
        "Made 2026-11-25 12:00 UTC by FPC Explorer",
    ):
        assert fact in head


def test_right_and_wrong_hits_have_a_border_a_mark_and_words(workspace, two):
    for number, record in enumerate(workspace.dataset.query[:2], start=1):
        for figure in article(two[1], number).iter("figure"):
            caption, marks = words(figure.find("figcaption")), [words(each) for each in figure.iter("span")]
            person = re.search(r"id (\d+)", caption)
            if person:
                same = int(person[1]) == record.identity
                assert figure.get("class") == ("match" if same else "other")
                assert ("✓" if same else "✗") in marks
                assert ("same person" if same else "different person") in figure.find(".//img").get("alt")


def test_the_page_fetches_nothing(two):
    page, tree = two
    for element in tree.iter():
        for name in ("src", "href", "srcset", "action", "data"):
            assert element.get(name, "#").startswith(("data:image/", "#"))
    assert not re.search(r"https?:|url\(|@import|<script|<link|<iframe", page)
    assert "default-src 'none'" in page


@pytest.fixture
def folder(tmp_path, small_places):
    """Return a folder with two valid images, one with a hostile name, and one invalid file of every kind."""
    good = small_places.data / "query" / "0002_c1_f0000002.png"
    (tmp_path / "images" / "below").mkdir(parents=True)
    for path in (HOSTILE, "below/good.png"):
        shutil.copy(good, tmp_path / "images" / path)
    (tmp_path / "images" / "empty.jpg").touch()
    (tmp_path / "images" / "cut.png").write_bytes(good.read_bytes()[:300])
    (tmp_path / "images" / "<b>notes.txt").write_text("no image")
    (tmp_path / "images" / ".hidden.png").write_text("passed over")
    return tmp_path / "images"


def test_a_hostile_name_is_text_and_bad_files_are_listed_with_the_reason(workspace, folder):
    page, tree = reported(workspace, images_of(folder, workspace.dataset, 50))
    assert [words(each.find("h2")) for each in tree.iter("article")] == [
        f"1. {HOSTILE}",
        "2. below/good.png",
        "Not explained",
    ]
    assert all(each.get("onerror") is None for each in tree.iter())
    assert "<img src=x" not in page
    rows = {words(row[0]): words(row[1]) for row in tree.find(".//article[@id='refused']").iter("tr")}
    assert set(rows) == {"file", "<b>notes.txt", "empty.jpg", "cut.png"}
    assert "does not have one of the suffixes .bmp," in rows["<b>notes.txt"]
    assert "is empty" in rows["empty.jpg"]
    assert "damaged" in rows["cut.png"]
    assert "Not explained 3 files" in words(tree.find(".//header"))


def test_the_identity_of_an_outside_image_is_unknown(workspace, folder):
    _, tree = reported(workspace, images_of(folder, workspace.dataset, 50))
    shown = article(tree, 1)
    assert "identity unknown" in words(shown)
    assert "first true match" not in words(shown)
    assert {figure.get("class") for figure in shown.iter("figure")} == {"neutral"}
    assert "First hit right" not in words(tree)


def test_a_query_of_the_data_is_recognised_in_a_folder(workspace, small_places):
    sources = images_of(small_places.data / "query", workspace.dataset, 3)
    assert [source.subject for source in sources.images] == [QueryIdentity(each, 0) for each in (1, 2, 3)]
    assert sources.more == 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_without_waiting(workspace, folder):
    os.mkfifo(folder / "pipe.png")
    refused = images_of(folder, workspace.dataset, 50).refused
    assert ("pipe.png", "is not a regular file") in [(each.name, each.reason) for each in refused]


def test_unprintable_names_are_made_readable():
    assert readable("tab\tand\x00zero") == "tab�and�zero"
    assert readable(os.fsdecode(b"latin-\xe9.png")) == "latin-�.png"
    assert readable("été 图.png") == "été 图.png"


def test_a_shortlist_of_junk_only_is_reported(workspace):
    record = workspace.dataset.gallery[0]
    source = Source("own", QueryIdentity(record.identity, record.camera), lambda: workspace.dataset.read(record))
    settings = QuerySettings(PruneSettings(1.0), neighbors=1, shortlist=1)
    _, tree = reported(workspace, Sources("one", (source,)), settings)
    assert "Every shortlisted image is junk" in words(article(tree, 1))
    assert "first true match: cosine beyond the shortlist" in words(article(tree, 1))


def test_the_released_decoder_is_noted_not_to_read_the_query(workspace):
    released = QuerySettings(PruneSettings(0.7), variant=Variant.RELEASED, neighbors=4, shortlist=32)
    _, tree = reported(workspace, queries_of(workspace.dataset, 1), released)
    assert "the released decoder does not read the query" in words(article(tree, 1))
    assert len(strips(article(tree, 1))[-1]) == 4


def test_a_target_identity_is_called_a_training_identity(workspace):
    how = MapSettings(MapMethod.GRAD_CAM, MapTarget.IDENTITY, relative=True)
    _, tree = reported(workspace, queries_of(workspace.dataset, 1), how=how)
    label = "Grad-CAM, for the logit of the most likely of the 8 training identities, difference from the average patch"
    assert label in words(article(tree, 1))
    assert "may not appear in the gallery" in words(tree.find(".//header"))


def test_an_identity_is_refused_as_target_without_a_classifier(workspace):
    untrained = replace(workspace, weights=replace(workspace.weights, fresh="rec_classifier: 1 key"))
    with pytest.raises(ValueError, match="has no identity classifier"):
        explain(untrained, queries_of(workspace.dataset, 1), SETTINGS, MapSettings(target=MapTarget.IDENTITY))


@pytest.fixture
def where(small_places):
    return [f"--{name}={getattr(small_places, name)}" for name in ("data", "weights", "memory")]


def test_the_command_writes_one_file_and_counts_skipped_queries(where, folder, tmp_path, capsys):
    out = tmp_path / "new" / "report.html"
    options = ["--out", str(out), "--keep-rate", "0.6", "-k", "3", "--variant", "paper"]
    assert main(["explain", str(folder), *options, *where]) == 0
    assert "2 queries, 3 files not explained" in capsys.readouterr().out
    assert "<dd><bdi>0.6 in blocks 3, 6, 9" in out.read_text(encoding="utf-8")
    assert main(["explain", "--queries", "1", *options, *where]) == 0
    assert "1 queries, 7 more left out (--queries)" in capsys.readouterr().out
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["gone"], "gone is not a folder"),
        (["--queries", "0"], "must be in 1..500, got 0"),
        (["--queries", "501"], "must be in 1..500, got 501"),
        (["--keep-rate", "0"], "keep rate must be in"),
    ],
)
def test_an_invalid_report_command_is_one_line(where, options, message, tmp_path, capsys):
    assert main(["explain", *options, "--out", str(tmp_path / "r.html"), *where]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "r.html").exists()


def test_a_folder_as_output_file_is_refused_before_computing(where, tmp_path, capsys):
    assert main(["explain", "--out", str(tmp_path), *where]) == 2
    assert "use a file name such as" in capsys.readouterr().err


def test_an_empty_folder_is_refused(where, tmp_path, capsys):
    (tmp_path / "bare").mkdir()
    assert main(["explain", str(tmp_path / "bare"), *where]) == 2
    assert "contains no files" in capsys.readouterr().err


@pytest.mark.browser
def test_a_browser_shows_the_report_without_errors_or_requests(browser, two, tmp_path):
    path = Path(tmp_path / "report.html")
    path.write_text(two[0], encoding="utf-8")
    page, events = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark"), []
    page.on("console", lambda message: events.append(message.text))
    page.on("pageerror", lambda error: events.append(str(error)))
    page.on("request", lambda request: events.append(request.url) if not request.url.startswith("data:") else None)
    page.goto(path.as_uri())
    assert events == [path.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    page.close()
