"""All images are checked before encoding; unreadable ones stop a build, or are left out and recorded."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from fpc_core.cli import main
from fpc_core.data.datasets import open_dataset
from fpc_core.data.images import check_header
from fpc_core.gallery import readable
from fpc_core.gallery.builder import build_memory
from fpc_core.gallery.manifest import MANIFEST, read_left_out
from fpc_core.gallery.memory import GalleryMemoryError, open_memory
from fpc_core.gallery.readable import UnreadableImagesError, left_out_note, readable_dataset
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.workspace import Places, open_workspace
from fpc_core.workspace.inspect import MemoryStatus, inspect_memory, inspect_weights
from tests.support.small_workspace import paint
from tests.support.transreid import transreid_weights

EMPTY = "bounding_box_test/0003_c2_f0000001.png"
CUT = "bounding_box_test/0005_c3_f0000001.png"
QUERY = "query/0002_c1_f0000002.png"


@pytest.fixture
def places(small_places, tmp_path) -> Places:
    """Return the small world with an empty and a truncated gallery image."""
    data = shutil.copytree(small_places.data, tmp_path / "small")
    (data / EMPTY).write_bytes(b"")
    (data / CUT).write_bytes((data / CUT).read_bytes()[:300])
    return replace(small_places, data=data, memory=tmp_path / "memory")


def options(places: Places) -> list[str]:
    return ["--data", str(places.data), "--weights", str(places.weights), "--memory", str(places.memory)]


def test_an_unreadable_image_is_found_before_anything_is_encoded(places, capsys):
    assert main(["memory", "build", *options(places)]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"1 of 40 images of Small world cannot be read: {EMPTY} is empty" in message
    assert "--skip-unreadable" in message
    assert not places.memory.with_name("memory.partial").exists()


def test_an_image_damaged_after_its_header_is_named_with_its_folder(places, capsys):
    shutil.copy(places.data / "bounding_box_test" / "0003_c1_f0000001.png", places.data / EMPTY)
    assert main(["memory", "build", *options(places)]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"{CUT} is damaged or truncated" in message
    assert "to leave out such images, use --skip-unreadable" in message


def test_unreadable_images_are_left_out_listed_and_recorded(places, capsys):
    assert main(["memory", "build", "--skip-unreadable", *options(places)]) == 0
    output = capsys.readouterr()
    assert f"2 images that could not be read are left out: {EMPTY}, {CUT}" in output.err
    assert "30 images" in output.out
    assert [each.path for each in read_left_out(places.memory)] == [EMPTY, CUT]
    assert [path for path, _ in json.loads((places.memory / MANIFEST).read_text())["left_out"]] == [EMPTY, CUT]


def test_a_memory_with_images_left_out_is_used_and_says_so(places, capsys):
    assert main(["memory", "build", "--skip-unreadable", *options(places)]) == 0
    workspace = open_workspace(places, "cpu")
    assert len(workspace.dataset.gallery) == len(workspace.retriever.memory) == 30
    assert workspace.notes == (f"2 images that could not be read are left out: {EMPTY}, {CUT}",)
    capsys.readouterr()
    assert main(["evaluate", "-k", "3", "--no-cache", *options(places)]) == 0
    assert f"Note: 2 images that could not be read are left out: {EMPTY}, {CUT}." in capsys.readouterr().out
    assert main(["doctor", *options(places)]) == 0
    assert "8 queries and 30 gallery images can be opened; 2 images" in capsys.readouterr().out
    weights = inspect_weights(places)
    info = inspect_memory(places.memory, open_dataset(places.data), weights)
    assert (info.status, info.images, len(info.left_out)) == (MemoryStatus.FITS, 30, 2)


def test_a_query_that_cannot_be_read_is_left_out_too(places):
    (places.data / QUERY).write_bytes(b"no image")
    dataset, left_out = readable_dataset(open_dataset(places.data), skip=True)
    assert QUERY in {each.path for each in left_out}
    assert len(dataset.query) == 7
    assert dataset.first_query in {record.path.as_posix() for record in dataset.query}


def test_a_build_without_skipping_encodes_repaired_images(places):
    assert main(["memory", "build", "--skip-unreadable", *options(places)]) == 0
    for name in (EMPTY, CUT):
        paint(3, 1).save(places.data / name)
    assert main(["memory", "build", *options(places)]) == 0
    assert len(open_memory(places.memory)) == 32
    assert read_left_out(places.memory) == ()


def test_too_many_unreadable_images_are_not_left_out(places, monkeypatch):
    monkeypatch.setattr(readable, "MAX_LEFT_OUT", 1)
    with pytest.raises(UnreadableImagesError, match=r"2 of 40 images .* but at most 1 can be left out"):
        readable_dataset(open_dataset(places.data), skip=True)


def test_a_dataset_without_readable_images_is_refused(places):
    for path in (places.data / "query").iterdir():
        path.write_bytes(b"")
    with pytest.raises(GalleryMemoryError, match="no query image of Small world can be read"):
        readable_dataset(open_dataset(places.data), skip=True)


@pytest.mark.parametrize("content", ["x", [["a"]], [["a", 1]], [["a", "b"]] * 3_000], ids=lambda value: str(value)[:12])
def test_a_damaged_list_of_left_out_images_is_reported(places, small_places, content):
    shutil.copytree(small_places.memory, places.memory)
    manifest = json.loads((places.memory / MANIFEST).read_text())
    (places.memory / MANIFEST).write_text(json.dumps({**manifest, "left_out": content}))
    assert read_left_out(places.memory) == ()
    with pytest.raises(GalleryMemoryError, match="is damaged"):
        open_memory(places.memory)


def test_crops_of_8_pixels_are_encoded(small_places, tmp_path):
    data = shutil.copytree(small_places.data, tmp_path / "small")
    Image.new("RGB", (12, 36), (90, 30, 20)).save(data / "bounding_box_test" / "0009_c1_f0000001.png")
    Image.new("RGB", (8, 8), (90, 30, 20)).save(data / "bounding_box_test" / "0009_c2_f0000001.png")
    dataset, left_out = readable_dataset(open_dataset(data))
    assert left_out == ()
    model, _ = load_checkpoint(small_places.weights)
    assert len(build_memory(model, dataset.gallery, dataset.root, tmp_path / "memory")) == 34


def test_a_header_check_decodes_no_pixels(small_places, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("pixels were decoded"))
    check_header(small_places.data / QUERY, QUERY)


def test_too_many_cameras_are_reported_before_anything_is_encoded(small_places, tmp_path, capsys):
    data = shutil.copytree(small_places.data, tmp_path / "small")
    paint(9, 1).save(data / "bounding_box_test" / "9999_c7_f9999907.png")
    places = replace(small_places, data=data, memory=tmp_path / "memory")
    assert main(["memory", "build", *options(places)]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "images of camera 7, but the weights have embeddings for 4 cameras" in message
    assert "(see bounding_box_test/9999_c7_f9999907.png)" in message
    assert "--mean-camera" in message
    assert not places.memory.with_name("memory.partial").exists()
    assert main(["memory", "build", "--mean-camera", *options(places)]) == 0
    assert len(open_workspace(replace(places, mean_camera=True), "cpu").retriever.memory) == 33
    with pytest.raises(ValueError, match="images of camera 7"):
        open_workspace(places, "cpu")


def test_an_interrupted_build_says_how_to_resume(places, capsys, monkeypatch):
    def build(*_: object, progress, **__: object) -> None:
        progress(16, 30)
        raise KeyboardInterrupt

    monkeypatch.setattr("fpc_core.cli.build.build_memory", build)
    assert main(["memory", "build", "--skip-unreadable", *options(places)]) == 130
    message = capsys.readouterr().err.splitlines()[-1]
    assert message == (
        f"interrupted: 16 of 30 images are stored in {places.memory}.partial; run the same command again to resume"
    )


def test_other_interrupted_commands_print_one_line(small_places, capsys, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fpc_core.cli.commands.run_with_store", stop)
    assert main(["evaluate", *options(small_places)]) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("interrupted: run the same command again")


def test_a_folder_without_permission_is_reported_as_such(small_places, tmp_path, monkeypatch, capsys):
    def deny(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("fpc_core.gallery.builder.write_json", deny)
    places = replace(small_places, memory=tmp_path / "memory")
    assert main(["memory", "build", *options(places)]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "no permission to write" in message
    assert "choose another folder with --memory" in message
    assert "disk space" not in message


def test_an_image_without_permission_is_reported_as_such(small_places, monkeypatch):
    def deny(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    dataset = open_dataset(small_places.data)
    monkeypatch.setattr("fpc_core.io.bounded_files.open_regular", deny)
    with pytest.raises(UnreadableImagesError, match=r"query/\S+ cannot be read \(Permission denied\); check the path"):
        readable_dataset(dataset)


def test_notes_on_left_out_images_name_three(places):
    listed = [readable.UnreadableImage(f"query/{number}.png", "is empty") for number in range(5)]
    assert left_out_note(listed) == (
        "5 images that could not be read are left out: query/0.png, query/1.png, query/2.png and others"
    )


def test_untrained_parts_are_named_under_every_result(small_places, tmp_path, capsys, monkeypatch):
    import torch

    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
    torch.save(transreid_weights(), tmp_path / "reid.pth")
    where = options(replace(small_places, weights=tmp_path / "reid.pth", memory=tmp_path / "memory"))
    note = "reid.pth (TransReID): rec_bottleneck is untrained and the decoder is a copy of the last block"
    query = str(small_places.data / QUERY)
    for command in (
        ["memory", "build", *where],
        ["doctor", *where],
        ["query", query, "-k", "3", *where],
        ["evaluate", "-k", "3", *where],
        ["evaluate", "-k", "3", "--format", "csv", *where],
        ["sweep", "--keep-rates", "1", "--alphas", "0.4", "--neighbors", "2", *where],
    ):
        assert main(command) == 0
        output = capsys.readouterr()
        assert note in output.out + output.err, command
