"""Pages with other datasets: one folder per person, a single camera, or no cameras at all."""

import pytest

from app.server import resources
from app.server.cache import FILE_INFO, WORKSPACES
from app.session.workspace_choice import WorkspaceChoice, read_choice
from app.ui.query_picker import query_of
from fpc_core.data.protocols import PROTOCOL_TEXT, Protocol
from fpc_core.gallery.builder import build_memory
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.workspace import Places
from fpc_core.workspace.allowed_roots import named_roots
from tests.support.apptest import PAGES, ROOT, open_page, run_page, sent_to, texts
from tests.support.data_cases import body, lay_out, persons, street


@pytest.fixture
def start_with(small_places, tmp_path, monkeypatch):
    """Return a function that starts the app with a dataset of these file names, and builds its gallery memory."""

    def start(names, folder="own", **options):
        places = Places(
            lay_out(tmp_path / folder, names, noise=True), small_places.weights, tmp_path / "memory", **options
        )
        dataset = places.open_dataset()
        build_memory(load_checkpoint(places.weights)[0].eval(), dataset.gallery, dataset.root, places.memory)
        for name, path in (("DATA", places.data), ("WEIGHTS", places.weights), ("MEMORY", places.memory)):
            monkeypatch.setenv(f"FPC_{name}", str(path))
        monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
        FILE_INFO.clear()
        WORKSPACES.clear()
        return places

    return start


def shown(name, **params):
    page = open_page(PAGES / f"{name}.py")
    page.query_params.update(params)
    return run_page(page)


def plain(page):
    return texts(page).replace("\\", "")


def test_a_folder_per_person_shows_names_and_never_the_query_itself(start_with):
    start_with(persons())
    page = shown("explore")
    lines = str(sent_to(page, "ranking") or sent_to(page, "cards"))
    assert "anna" in lines
    assert "id 0" not in lines
    data = plain(shown("data"))
    assert "never with itself. To get comparable scores, add the folders query and gallery" in data
    assert PROTOCOL_TEXT[Protocol.LEAVE_ONE_OUT] in data
    for name in ("sweep", "evaluate", "atlas", "compare"):
        assert PROTOCOL_TEXT[Protocol.LEAVE_ONE_OUT] in plain(shown(name)), name


def test_one_camera_is_explained_on_every_page_and_can_be_ignored(start_with):
    start_with(street([1], [1]))
    for name in ("explore", "sweep", "evaluate", "atlas"):
        assert "no person was seen by two cameras" in plain(shown(name)), name
    page = shown("data", protocol="no-cameras")
    assert PROTOCOL_TEXT[Protocol.NO_CAMERAS] in plain(page)
    assert "no person was seen" not in plain(page)
    page.selectbox(key="draft-protocol").set_value("auto")
    assert "no person was seen by two cameras" in plain(run_page(page))


def test_the_choice_of_protocol_keeps_the_gallery_memory(start_with):
    places = start_with(street([1], [1, 2]))
    roots = named_roots(ROOT / "assets" / "demo", "")
    started = Places.from_environment()
    assert WorkspaceChoice(protocol="no-cameras").places(roots, started).memory == places.memory
    assert WorkspaceChoice(cameras="none").places(roots, started).memory != places.memory


def test_a_link_sets_protocol_and_cameras_or_says_why_not():
    choice, problems = read_choice({"protocol": "no-cameras", "numbering": "none"})
    assert (choice.protocol, choice.cameras, problems) == ("no-cameras", "none", ())
    assert choice.to_params() == {"protocol": "no-cameras", "numbering": "none"}
    choice, problems = read_choice({"protocol": "best", "numbering": "seven"})
    assert choice == WorkspaceChoice()
    assert "protocol to best, but it must be one of cameras, no-cameras" in problems[0]
    assert "numbering to seven" in problems[1]


def test_the_released_variant_without_cameras_is_pointed_out(start_with):
    start_with(body(), "Occluded_REID", variant="paper")
    note = "The model receives no camera numbers for this dataset. The released code assigns camera 1 to queries"
    assert note not in plain(shown("explore", usual="paper"))
    assert note in plain(shown("explore", usual="paper", variant="released"))
    refused = plain(shown("explore"))
    assert "was built with --cameras none, but --cameras released is in use; use --cameras none" in refused


def test_a_query_of_a_folder_without_a_split_is_keyed_by_its_file(start_with):
    start_with({"anna": ["1_0.png", "1_1.png"], "ben": ["2_0.png"], "ann": ["1_0.png"]})
    workspace = resources.workspace(Places.from_environment(), "cpu")
    queries = [query_of(workspace, record) for record in workspace.dataset.query]
    assert len({query.digest for query in queries}) == len(queries)
