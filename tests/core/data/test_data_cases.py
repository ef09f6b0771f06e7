"""Datasets as people export them: how each is read, and which notes report omissions and assumptions."""

import json

import pytest

from fpc_core.config import Variant
from fpc_core.data.datasets import DatasetError, open_dataset
from fpc_core.data.inventory import take_inventory
from fpc_core.data.protocols import Cameras, Protocol
from tests.support.data_cases import PEOPLE, body, lay_out, market_by_person, market_flat, numbers, persons, street


def facts(records):
    return sorted((record.identity, record.camera) for record in records)


def texts(dataset, *, warning=None):
    return " ".join(note.text for note in dataset.notes if warning is None or note.warning is warning)


@pytest.mark.parametrize(("query", "gallery"), [((0, 1), (0, 1, 2)), ((0,), (1, 2)), ((1, 2), (0, 3))])
def test_cameras_counted_from_0_are_shifted(tmp_path, query, gallery):
    dataset = open_dataset(lay_out(tmp_path, street(query, gallery)))
    assert facts(dataset.query) == [(p, c) for p in PEOPLE for c in query]
    assert facts(dataset.gallery) == [(p, c) for p in PEOPLE for c in gallery]
    assert dataset.skipped == ()
    assert "names count cameras from 0; camera 0 is shown as camera 1" in texts(dataset)


def test_one_image_of_camera_0_is_left_out_with_the_reason(tmp_path):
    lay_out(tmp_path, street([1], [2, 3]))
    lay_out(tmp_path, {"query": ["0001_c0_f0000000.png"]})
    dataset = open_dataset(tmp_path)
    assert (len(dataset.query), len(dataset.left_out)) == (12, 1)
    assert "1 file is left out: the name has camera 0, but cameras are counted from 1, 3% of all" in texts(dataset)
    assert "query/0001_c0_f0000000.png" in texts(dataset, warning=True)
    assert len(open_dataset(tmp_path, cameras="from-0").query) == 13


def test_left_out_files_are_counted_by_reason(tmp_path):
    lay_out(tmp_path, street([1], [2, 3]))
    lay_out(tmp_path, {"query": ["a.png", "b.png"], "query/a/b/c": ["0001_c1_f1.png"]})
    warnings = texts(open_dataset(tmp_path), warning=True)
    assert "2 files are left out: the name does not follow the layout, 5% of all, such as query/a.png" in warnings
    assert "1 file is left out: the image is more than 2 folders below its split" in warnings


def test_few_left_out_files_are_a_note_without_a_warning(tmp_path):
    names = street([1], [2, 3])
    many = [f"{person:04d}_c4_f{person:07d}.png" for person in range(100, 300)]
    lay_out(tmp_path, {**names, "bounding_box_test": [*names["bounding_box_test"], *many, "holiday.png"]})
    dataset = open_dataset(tmp_path)
    assert texts(dataset, warning=True) == ""
    assert texts(dataset) == "1 file is left out: the name does not follow the layout."


def test_market_by_person_is_read_by_its_names(tmp_path):
    dataset = open_dataset(lay_out(tmp_path / "shop", market_by_person()))
    assert (dataset.layout, dataset.name, dataset.protocol) == ("market1501", "shop", Protocol.CAMERAS)
    assert facts(dataset.query) == [(p, 0) for p in PEOPLE]
    assert facts(dataset.gallery) == [(0, 1), *((p, c) for p in PEOPLE for c in (0, 1, 2))]
    assert dataset.junk == 1
    inventory = take_inventory(dataset)
    assert (inventory.distractors, inventory.junk, inventory.without_match) == (1, 12, ())


@pytest.mark.parametrize("wrapper", ["", "pytorch", "archive/pytorch"])
def test_market_by_person_is_found_inside_wrappers(tmp_path, wrapper):
    lay_out(tmp_path / "Market-1501" / wrapper, market_by_person())
    dataset = open_dataset(tmp_path / "Market-1501")
    assert (dataset.name, len(dataset.gallery)) == ("Market-1501", 37)


@pytest.mark.parametrize(
    ("query", "gallery"),
    [
        ("query", "gallery"),
        ("Query", "Gallery"),
        ("query", "test"),
        ("image_query", "image_test"),
        ("probe", "gallery"),
    ],
)
def test_usual_folder_names_are_read_as_market(tmp_path, query, gallery):
    dataset = open_dataset(lay_out(tmp_path / "mine", market_flat(query, gallery)))
    assert (dataset.layout, dataset.name) == ("market1501", "mine")
    assert facts(dataset.query) == [(p, 0) for p in PEOPLE]
    assert facts(dataset.gallery) == [(p, c) for p in PEOPLE for c in (0, 1)]


@pytest.mark.parametrize(
    ("folder", "names", "title"),
    [
        ("probe_and_gallery", numbers("Probe", "Gallery"), "probe_and_gallery"),
        ("partial_ilids", numbers("partial_body_images", "whole_body_images"), "Partial-iLIDS"),
        ("Partial_iLIDS", numbers("Probe", "Gallery"), "Partial-iLIDS"),
    ],
)
def test_partial_ilids_has_one_person_per_number_and_two_cameras(tmp_path, folder, names, title):
    dataset = open_dataset(lay_out(tmp_path / folder, names))
    assert (dataset.layout, dataset.name, dataset.uses_cameras) == ("partial_ilids", title, True)
    assert facts(dataset.query) == [(p, 0) for p in PEOPLE]
    assert facts(dataset.gallery) == [(p, 1) for p in PEOPLE]
    assert take_inventory(dataset).without_match == ()
    assert "camera 1 for queries, camera 2 for gallery images" in texts(dataset)


@pytest.mark.parametrize(
    ("folder", "title"),
    [
        ("MSMT17", "MSMT17"),
        ("my_shop_cameras", "my_shop_cameras"),
        ("DukeMTMC-reID", "DukeMTMC-reID"),
        ("Occluded_Duke", "Occluded-Duke"),
        ("P-DukeMTMC-reID", "P-DukeMTMC-reID"),
        ("supermarket", "supermarket"),
        ("dukedom", "dukedom"),
        ("test/data", None),
    ],
)
def test_a_known_title_needs_the_folder_s_name(tmp_path, folder, title):
    dataset = open_dataset(lay_out(tmp_path / "shop 7" / folder, street([1], [2, 3])))
    assert dataset.name == (title or "shop 7")


def test_p_dukemtmc_is_titled_by_its_folder_and_has_cameras(tmp_path):
    names = body("test/", "{0:04d}_c{1}_f{0:07d}.png")
    names |= {"train/whole_body_images/0099": ["0099_c3_f0000001.png"]}
    dataset = open_dataset(lay_out(tmp_path / "P-DukeMTMC-reID", names))
    assert (dataset.layout, dataset.name) == ("p_dukemtmc", "P-DukeMTMC-reID")
    assert (facts(dataset.query), facts(dataset.train)) == ([(p, 0) for p in PEOPLE], [(99, 2)])
    assert dataset.protocol is Protocol.CAMERAS
    assert open_dataset(tmp_path / "P-DukeMTMC-reID" / "test").name == "P-DukeMTMC-reID"


@pytest.mark.parametrize("folder", ["Occluded_REID", "Partial_REID", "own_set"])
def test_the_released_variant_numbers_missing_cameras(tmp_path, folder):
    root = lay_out(tmp_path / folder, body())
    released = open_dataset(root, variant=Variant.RELEASED)
    assert (facts(released.query), facts(released.gallery)) == ([(p, 0) for p in PEOPLE], [(p, 1) for p in PEOPLE])
    paper = open_dataset(root, variant=Variant.PAPER)
    assert facts(paper.query) == facts(paper.gallery) == [(p, -1) for p in PEOPLE]
    assert released.protocol is paper.protocol is Protocol.NO_CAMERAS
    assert "camera 1 for queries, camera 2 for gallery images. Use --cameras none for the mean" in texts(released)
    assert "mean camera embedding is used. The released code gives queries camera 1" in texts(paper)
    assert open_dataset(root, cameras="none", variant=Variant.RELEASED).gallery == paper.gallery
    assert open_dataset(root, cameras="released", variant=Variant.PAPER).gallery == released.gallery


def test_one_camera_explains_why_nothing_matches(tmp_path):
    root = lay_out(tmp_path, street([1], [1]))
    warning = texts(open_dataset(root), warning=True)
    assert "No query has a true match: gallery images from the query's own camera do not count" in warning
    assert "use the protocol no-cameras" in warning
    without = open_dataset(root, protocol="no-cameras")
    assert take_inventory(without).without_match == ()
    assert texts(without, warning=True) == ""


def test_a_folder_per_person_keeps_names_and_leaves_one_out(tmp_path):
    dataset = open_dataset(lay_out(tmp_path, persons()))
    assert dataset.protocol is Protocol.LEAVE_ONE_OUT
    assert {record.person_label for record in dataset.gallery} == {"anna", "ben", "carla"}
    assert (dataset.shortlist, len(dataset.own_rows)) == (11, 12)
    assert "never with itself. To get comparable scores, add the folders query and gallery" in texts(dataset)
    assert take_inventory(dataset).without_match == ()


def test_a_folder_without_a_split_is_read_by_its_names(tmp_path):
    names = [f"{p:04d}_c{c}s1_{p:06d}_00.png" for p in PEOPLE for c in (1, 2)]
    dataset = open_dataset(lay_out(tmp_path, {"all": names}))
    assert (dataset.layout, dataset.protocol, dataset.queries_are_gallery) == ("unsplit", Protocol.CAMERAS, True)
    assert facts(dataset.query) == facts(dataset.gallery) == [(p, c) for p in PEOPLE for c in (0, 1)]


@pytest.mark.parametrize("wrapper", ["people", "archive/people"])
def test_people_inside_other_folders_are_found(tmp_path, wrapper):
    lay_out(tmp_path / wrapper, persons())
    dataset = open_dataset(tmp_path)
    assert (dataset.name, len(dataset.gallery)) == ("people", 12)
    assert dataset.protocol is Protocol.LEAVE_ONE_OUT


def test_one_person_in_the_gallery_is_a_warning(tmp_path):
    lay_out(tmp_path, {"query/anna": ["1.png"], "gallery/anna": ["2.png", "3.png"]})
    assert "All gallery images show one person" in texts(open_dataset(tmp_path), warning=True)


def test_dataset_json_sets_folders_cameras_title_and_protocol(tmp_path):
    names = street([0], [0, 1])
    lay_out(tmp_path, {"seen": names["query"], "day": names["bounding_box_test"][::2], "night": names["query"][:3]})
    label = {"folders": {"query": "seen", "gallery": ["day", "night"]}, "title": "Plant 7", "protocol": "no-cameras"}
    (tmp_path / "dataset.json").write_text(json.dumps({**label, "cameras": "from-0", "layout": "dukemtmc"}))
    dataset = open_dataset(tmp_path)
    assert (dataset.name, dataset.cameras, dataset.protocol) == ("Plant 7", Cameras.FROM_0, Protocol.NO_CAMERAS)
    assert (len(dataset.query), len(dataset.gallery)) == (12, 15)
    (tmp_path / "dataset.json").write_text(json.dumps(label))
    assert open_dataset(tmp_path).layout == "dukemtmc"  # The image names follow DukeMTMC.


def test_chosen_folders_of_numbered_images_are_read_as_partial_reid(tmp_path):
    """Three layouts fit these names equally well, and the first one of the registry is chosen."""
    lay_out(tmp_path, {"seen": ["001_01.png", "002_01.png"], "day": ["001_02.png", "002_02.png"]})
    (tmp_path / "dataset.json").write_text(json.dumps({"folders": {"query": "seen", "gallery": "day"}}))
    dataset = open_dataset(tmp_path, variant=Variant.RELEASED)
    assert dataset.layout == "partial_reid"
    assert {record.camera for record in dataset.query} != {record.camera for record in dataset.gallery}


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ({"folders": ["a"]}, "folders in dataset.json must be an object such as"),
        ({"folders": {"query": "../x"}}, r"folders in dataset.json must be inside the dataset, got \.\./x"),
        ({"folders": {"query": "none"}}, "folders in dataset.json must be folders in .*, got none"),
        ({"cameras": "two"}, "cameras in dataset.json is 'two'; use auto, names, from-0"),
        ({"protocol": "best"}, "protocol in dataset.json is 'best'; use auto, cameras, no-cameras"),
        ({"protocol": "leave-one-out"}, "leave-one-out is for a folder without a split"),
        ({"cameras": "none", "protocol": "cameras"}, "the protocol cameras needs camera numbers"),
    ],
)
def test_unusable_settings_of_dataset_json_are_refused(tmp_path, label, message):
    lay_out(tmp_path, street([1], [2, 3]))
    (tmp_path / "dataset.json").write_text(json.dumps(label))
    with pytest.raises(DatasetError, match=message):
        open_dataset(tmp_path)


def test_images_of_msmt17_that_no_list_names_are_reported(tmp_path):
    names = [f"{p:04d}_000_{c:02d}_0303morning_0008_0.png" for p in PEOPLE for c in (1, 2)]
    lay_out(tmp_path / "MSMT17_V2", {f"mask_test_v2/{name[:4]}": [] for name in names})
    for name in names[:-1]:
        (tmp_path / "MSMT17_V2/mask_test_v2" / name[:4] / name).touch()
    lines = [f"{name[:4]}/{name} {int(name[:4])}" for name in names]
    (tmp_path / "MSMT17_V2/list_query.txt").write_text("\n".join(lines[2::2]))
    (tmp_path / "MSMT17_V2/list_gallery.txt").write_text("\n".join(lines[1::2]))
    dataset = open_dataset(tmp_path)
    assert (dataset.name, len(dataset.query), len(dataset.gallery)) == ("MSMT17", 11, 11)
    assert facts(dataset.query)[0] == (2, 0)
    assert "1 file is left out: a list names the image, but it is missing" in texts(dataset, warning=True)
    assert "1 file is left out: no list names the image" in texts(dataset, warning=True)


def test_lists_cannot_name_files_outside_their_folder(tmp_path):
    root = lay_out(tmp_path / "MSMT17", {"test/0001": ["0001_000_01_0303morning_0008_0.png"]})
    inside, outside = "0001/0001_000_01_0303morning_0008_0.png", "../../0002_000_01_0303morning_0008_0.png"
    (tmp_path / "0002_000_01_0303morning_0008_0.png").touch()
    (root / "list_query.txt").write_text(f"{inside} 1\n{outside} 2\n{tmp_path / outside[6:]} 2\n")
    (root / "list_gallery.txt").write_text(f"{inside} 1\n")
    dataset = open_dataset(root)
    assert [record.path.name for record in dataset.query] == [inside[5:]]
    assert len(dataset.left_out) == 1  # Both lines name the same missing file.


def test_lists_of_posetrack_with_other_content_are_refused(tmp_path):
    root = lay_out(tmp_path, {"images/val/1": ["1_1_1.png"], "images/anns": []})
    (root / "val_dataset_sampling.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"val_reid_crops_anns\.json is missing; download the lists"):
        open_dataset(root)
    (root / "images/anns/val_reid_crops_anns.json").write_text("[]")
    with pytest.raises(DatasetError, match="must contain the columns id and reid_crop_path"):
        open_dataset(root)
    (root / "images/anns/val_reid_crops_anns.json").write_text("{")
    with pytest.raises(DatasetError, match=r"cannot be read .*; download it again"):
        open_dataset(root)
