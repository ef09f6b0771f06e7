"""The gallery map: which images it draws, in which colours and at which positions."""

from pathlib import Path

import numpy as np
import pytest

from app.data.gallery_map import GalleryMap, gallery_map_figure
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.match_label import QueryIdentity


def gallery_map(people, **changes):
    """Return a gallery map for a query of identity 1 from camera 0.

    Args:
        people: Identity of each gallery image. The images are from cameras 0, 1, 0, 1, ...
        changes: Other values of fields of the map.
    """
    records = [ImageRecord(Path(f"g/{at}_<i>.jpg"), person, at % 2, "gallery") for at, person in enumerate(people)]
    coordinates = np.arange(2.0 * len(people)).reshape(-1, 2)
    fields = {
        "rows": np.arange(len(people)),
        "shortlist": np.array([3, 1]),
        "query": np.array([[0.0, 1.0], [2.0, 3.0]]),
        "subject": QueryIdentity(1, 0),
        "uses_cameras": True,
        **changes,
    }
    return GalleryMap(coordinates=coordinates, records=records, **fields)


def traces(figure):
    return {trace.name: trace for trace in figure.data}


def test_every_image_is_drawn_once_by_its_match_label():
    drawn = traces(gallery_map_figure(gallery_map([1, 1, 2, 3, 2, 4])))
    assert list(drawn) == [
        "person 2 (2)",
        "person 4 (1)",
        "✗ shortlisted (1)",
        "junk: same person, same camera (1)",
        "✓ same person (1)",
        "query, encoder",
        "query, consolidated",
    ]
    assert drawn["✓ same person (1)"].customdata == ([1],)
    assert drawn["junk: same person, same camera (1)"].customdata == ([0],)
    assert drawn["✗ shortlisted (1)"].customdata == ([3],)
    assert (drawn["✗ shortlisted (1)"].x.tolist(), drawn["✗ shortlisted (1)"].y.tolist()) == ([6.0], [7.0])
    assert (drawn["query, encoder"].x, drawn["query, consolidated"].y) == ((0.0,), (3.0,))


def test_many_identities_have_own_colours_and_one_legend_entry():
    figure = gallery_map_figure(gallery_map([*range(10, 40), *range(10, 40)], shortlist=np.array([0])))
    (others,) = (trace for trace in figure.data if trace.name.startswith("30 other people"))
    colours = dict(zip([row for (row,) in others.customdata], others.marker.color, strict=True))
    assert len(colours) == 59  # All images except the shortlisted one.
    assert colours[1] == colours[31]
    assert colours[1] != colours[2]
    assert len(figure.data) <= 6


def test_only_requested_rows_are_drawn():
    figure = gallery_map_figure(gallery_map([1, 1, 2, 3, 2, 4], rows=np.array([1, 3])))
    drawn = [row for trace in figure.data if trace.customdata is not None for (row,) in trace.customdata]
    assert sorted(drawn) == [1, 3]


def test_hover_text_is_escaped_and_has_the_rank():
    hover_text = traces(gallery_map_figure(gallery_map([1, 1, 2, 3, 2, 4])))["✗ shortlisted (1)"].text[0]
    assert hover_text == "person 3, camera 2<br>3_&lt;i&gt;.jpg<br>rank 1 by D"


@pytest.mark.parametrize("uses_cameras", [True, False])
def test_without_cameras_there_is_no_junk(uses_cameras):
    names = " ".join(traces(gallery_map_figure(gallery_map([1, 1, 2, 3], uses_cameras=uses_cameras))))
    assert ("junk" in names) is uses_cameras
