"""Visitors may name paths below the configured roots and nothing else, in any spelling."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpc_core.data.datasets import open_dataset
from fpc_core.workspace.allowed_roots import (
    OutsideRootsError,
    Root,
    confine,
    confine_memory,
    discover,
    name_of,
    named_roots,
    resolve,
)
from tests.support.small_workspace import paint

IMAGES = {"query": "0001_c1_f0000001.png", "bounding_box_test": "0001_c2_f0000002.png"}


def lay_out(folder, images=IMAGES):
    for split, name in images.items():
        (folder / split).mkdir(parents=True)
        paint(1, 1).save(folder / split / name)
    return folder


@pytest.fixture
def house(tmp_path):
    """Return a folder with a root, which has two datasets, weights and a gallery memory, and a folder outside it."""
    sets = tmp_path / "sets"
    lay_out(sets / "duke")
    for person in ("anna", "bert"):
        (sets / "plain" / person).mkdir(parents=True)
        paint(2, 1).save(sets / "plain" / person / "1.png")
    (sets / "models" / "deep").mkdir(parents=True)
    (sets / "models" / "deep" / "fpc.pth").write_bytes(b"weights")
    (sets / "models" / "notes.txt").write_text("no weights")
    (sets / "memory").mkdir()
    (sets / "memory" / "manifest.json").write_text("{}")
    (sets / "half.partial").mkdir()
    lay_out(tmp_path / "sets-secret")
    (tmp_path / "sets-secret" / "key.pth").write_bytes(b"secret")
    return tmp_path


@pytest.fixture
def roots(house):
    return (Root("demo", house / "demo"), Root("sets", (house / "sets").resolve()))


def test_the_demo_is_a_root_and_the_environment_adds_others(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.setenv("FPC_ROOTS", os.pathsep.join([str(tmp_path / "a"), "", str(tmp_path / "b" / "a")]))
    assert named_roots(tmp_path / "demo") == (
        Root("demo", tmp_path / "demo"),
        Root("a", tmp_path / "a"),
        Root("a-2", tmp_path / "b" / "a"),
    )
    monkeypatch.delenv("FPC_ROOTS")
    assert [root.label for root in named_roots(tmp_path)] == ["demo"]
    with pytest.raises(ValueError, match="not an absolute path"):
        named_roots(tmp_path, "data")


def test_names_and_typed_paths_resolve_to_the_same_path(house, roots):
    duke = (house / "sets" / "duke").resolve()
    assert resolve("sets/duke", roots) == duke
    assert resolve(str(duke), roots) == duke
    assert name_of(duke, roots) == "sets/duke"
    assert resolve("sets", roots) == house / "sets"
    assert name_of(house / "sets", roots) == "sets"
    assert resolve("sets/not/there/yet", roots) == house / "sets" / "not" / "there" / "yet"


def test_the_innermost_of_nested_roots_names_a_path(house, roots):
    inner = Root("models", house / "sets" / "models")
    assert name_of(house / "sets" / "models" / "deep", (*roots, inner)) == "models/deep"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        ".",
        "..",
        "sets/../sets-secret",
        "sets/..",
        "sets/duke/../duke",
        "sets//etc/passwd",
        "sets-secret/key.pth",
        "SETS/duke",
        "Sets",
        "elsewhere/duke",
        "/etc/passwd",
        "/etc/nothing-of-that-name",
        "~/key",
        "sets/\0",
        "sets/" + "x" * 5000,
        "{root}-secret/key.pth",
        "{root}/../sets-secret/key.pth",
        "{root}/duke/../../sets-secret",
        "//{root}/../",
    ],
)
def test_any_path_outside_the_roots_gets_the_same_message(house, roots, name):
    name = name.replace("{root}", str(house / "sets"))
    with pytest.raises(OutsideRootsError) as refused:
        resolve(name, roots)
    message = str(refused.value)
    assert message.endswith(
        "is not below a folder that this app may read (demo, sets); choose from the list, or ask the administrator "
        "to add the folder to FPC_ROOTS"
    )
    assert len(message) < 500


def test_case_matters_if_it_does_on_the_disk(house, roots):
    upper = house / "SETS" / "duke"
    if upper.exists():
        pytest.skip("this file system ignores case")
    with pytest.raises(OutsideRootsError):
        resolve(str(upper), roots)


def test_a_link_out_of_the_roots_is_refused_and_one_inside_is_followed(house, roots):
    (house / "sets" / "out").symlink_to(house / "sets-secret")
    (house / "sets" / "in").symlink_to(house / "sets" / "duke")
    (house / "sets" / "loop").symlink_to(house / "sets" / "loop")
    for name in ("sets/out", "sets/out/key.pth", str(house / "sets" / "out" / "query")):
        with pytest.raises(OutsideRootsError):
            resolve(name, roots)
    assert name_of(resolve("sets/in", roots), roots) == "sets/duke"
    assert not resolve_or_none("sets/loop/x", roots)


def resolve_or_none(name, roots):
    try:
        path = resolve(name, roots)
    except OutsideRootsError:
        return None
    return path if path.exists() else None


def test_a_root_that_is_a_link_is_resolved(house):
    (house / "alias").symlink_to(house / "sets")
    roots = named_roots(house / "demo", str(house / "alias"))
    assert name_of(resolve("sets/duke", roots), roots) == "sets/duke"


@given(st.lists(st.sampled_from(["..", ".", "duke", "out", "query", "", "/", "sets", "sets-secret"]), max_size=6))
def test_no_spelling_leads_out_of_the_roots(tmp_path_factory, parts):
    base = tmp_path_factory.mktemp("house")
    (base / "sets" / "duke" / "query").mkdir(parents=True)
    (base / "sets-secret").mkdir()
    (base / "sets" / "out").symlink_to(base / "sets-secret")
    roots = (Root("sets", base / "sets"),)
    for name in ("sets/" + "/".join(parts), str(base / "sets") + "/" + "/".join(parts), "/".join(parts)):
        try:
            path = resolve(name, roots)
        except OutsideRootsError:
            continue
        assert path == base / "sets" or base / "sets" in path.parents


def test_datasets_checkpoints_and_memories_are_found(roots):
    sights = discover(roots)
    assert sights.datasets == ("sets/duke", "sets/plain")
    assert sights.checkpoints == ("sets/models/deep/fpc.pth",)
    assert sights.memories == ("sets/half", "sets/memory")
    assert sights.absent == ("demo",)
    assert sights.complete


def test_plain_folders_of_every_kind_are_found(tmp_path):
    def plain(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            paint(1, 1).save(tmp_path / name)

    plain("flat/1.png", "only/child/1.png", "split/query/anna/1.png", "split/gallery/anna/2.png")
    result = discover((Root("r", tmp_path),)).datasets
    assert result == ("r/flat", "r/only/child", "r/split")
    for name in result:
        assert open_dataset(resolve(name, (Root("r", tmp_path),))).gallery


def test_links_and_hidden_folders_are_not_scanned(house, roots):
    (house / "sets" / "out").symlink_to(house / "sets-secret")
    lay_out(house / "sets" / ".hidden")
    assert discover(roots).datasets == ("sets/duke", "sets/plain")


def test_a_scan_is_limited_in_depth_and_entries(house, roots):
    shallow = discover(roots, depth=1)
    assert "sets/models/deep/fpc.pth" not in shallow.checkpoints
    assert not shallow.complete
    assert not discover(roots, max_entries=3).complete


@pytest.mark.parametrize("what", ["query/0001_c1_f0000009.png", "bounding_box_train"])
def test_a_dataset_with_a_link_out_of_the_roots_is_refused(house, roots, what):
    root = house / "sets" / "duke"
    confine(open_dataset(root), roots)
    target = house / "sets-secret" / ("query" if "." not in what else "query/0001_c1_f0000001.png")
    (root / what).symlink_to(target)
    with pytest.raises(OutsideRootsError, match="is a link to a folder that this app may not read"):
        confine(open_dataset(root), roots)


def test_a_dataset_may_contain_links_within_the_roots(house, roots):
    root = house / "sets" / "duke"
    (root / "query" / "0001_c1_f0000009.png").symlink_to(Path("..") / "bounding_box_test" / IMAGES["bounding_box_test"])
    confine(open_dataset(root), roots)


@pytest.mark.parametrize("name", ["dataset.json", "records.parquet", "notes"])
def test_a_link_out_of_the_roots_beside_images_is_refused(house, roots, name):
    root = house / "sets" / "duke"
    dataset = open_dataset(root)
    (root / name).symlink_to(house / "sets-secret" / "key.pth")
    with pytest.raises(OutsideRootsError, match=f"{name} of the dataset is a link to a folder that this app may not"):
        confine(dataset, roots)
    (root / name).unlink()
    (root / name).symlink_to(root / name)
    with pytest.raises(OutsideRootsError):
        confine(dataset, roots)


@pytest.mark.parametrize("folder", ["memory", "half.partial"])
def test_a_memory_with_a_link_out_of_the_roots_is_refused(house, roots, folder):
    memory = house / "sets" / folder
    name = memory.with_name(memory.name.removesuffix(".partial"))
    confine_memory(name, roots)
    confine_memory(house / "sets" / "not-built-yet", roots)
    (memory / "tokens.npy").symlink_to(house / "sets-secret" / "key.pth")
    with pytest.raises(OutsideRootsError, match=r"tokens\.npy of the gallery memory is a link"):
        confine_memory(name, roots)


@pytest.mark.parametrize(
    "name", ["sets/" + "a" * 300, "sets/" + "a/" * 2500, "sets/duke\x00.pth", "sets/\udcff", "sets/~root"]
)
def test_invalid_names_are_refused(roots, house, name):
    try:
        path = resolve(name, roots)
    except OutsideRootsError:
        return
    assert house / "sets" in path.parents
    assert not path.exists() if len(name) < 250 else True


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_not_offered(house, roots):
    os.mkfifo(house / "sets" / "models" / "pipe.pth")
    (house / "sets" / "models" / "zero.pth").symlink_to("/dev/zero")
    assert discover(roots).checkpoints == ("sets/models/deep/fpc.pth",)
    with pytest.raises(OutsideRootsError):
        resolve("sets/models/zero.pth", roots)
