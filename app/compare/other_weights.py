"""Other weights for side B of Compare, on the same dataset. Their gallery memory must exist; nothing is built here."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

import streamlit as st

from app.messages import BUILD_MEMORY, escape_markdown, show_error, show_warning
from app.public_mode import is_public
from app.server import resources
from app.server.search import Query
from app.session import workspace_choice
from app.session.workspace_choice import WorkspaceChoice
from app.ui.query_picker import is_dataset_query, query_of
from fpc_core.config import ModelConfig, PruneSettings
from fpc_core.data.images import resize_image
from fpc_core.io.bounded_files import escape_name
from fpc_core.workspace import PersonalWorkspace, Places, Workspace, build_options, check_cameras, roots_in_use
from fpc_core.workspace.allowed_roots import OutsideRootsError, Root, confine_memory, name_of, resolve
from fpc_core.workspace.inspect import MemoryStatus

PARAM = "b_weights"  # Query parameter and key of the widget.
SAME = "same as A"


@dataclass(frozen=True)
class _Selection:
    """Data and weights of side B.

    Attributes:
        choice: Names of the data and weights, and their settings.
        places: Paths of the choice.
        data_roots: Folders that must contain the dataset; empty for the startup dataset.
    """

    choice: WorkspaceChoice
    places: Places
    data_roots: tuple[Root, ...]


def choose_weights(workspace: Workspace) -> str:
    """Render the choice of the weights of side B, and return their name, or an empty string for those of side A.

    An own gallery is searched with the same weights on both sides, so the choice is then disabled. In public mode,
    where data and weights are fixed, it is not rendered.
    """
    requested = st.query_params.get(PARAM, "")
    if isinstance(workspace, PersonalWorkspace):
        if requested and not is_public():  # An absent widget would lose its query parameter.
            st.selectbox("Weights of B", [requested], key=PARAM, bind="query-params", disabled=True)
        st.caption("Your own gallery is searched with the same weights on both sides.")
        return ""
    if is_public():
        if requested:
            show_warning(f"The link sets {PARAM}. This public app uses fixed weights and ignores this setting.")
        return ""
    roots = roots_in_use()
    names = resources.discovered_paths(roots).checkpoints
    if requested not in ("", SAME, *names):
        if _is_file(requested, roots):
            names = (*names, requested)
        else:
            show_warning(
                f"The link sets the weights of side B to {requested[:120]}, but your folders have no such file. Using "
                "the weights of side A."
            )
    own = workspace.places.weights.resolve()
    options = [SAME, *(name for name in names if resolve(name, roots) != own)]
    if st.session_state.get(PARAM) not in options:
        st.session_state.pop(PARAM, None)
    chosen = st.selectbox(
        "Weights of B",
        options,
        key=PARAM,
        bind="query-params",
        help="Compares two models on the same query. The gallery memory of the other weights must exist; the Data page "
        "builds it.",
    )
    return "" if chosen == SAME else chosen


def open_other(workspace: Workspace, name: str) -> Workspace | None:
    """Open the workspace of side B. If that is not possible, render the reason and what to do, and return None.

    Args:
        workspace: Workspace of side A.
        name: Name of the weights of side B below a root.
    """
    selection = None
    try:
        selection = _selection(name)
        weights = resources.weights_info(selection.places)
        dataset, _ = resources.data_info(selection.places, selection.data_roots)
        check_cameras(dataset, weights.report.config)
        _check_depth(name, weights.report.config)
        fitting = _with_fitting_memory(selection)
        if fitting is None:
            _render_missing_memory(name, selection)
            return None
        other = resources.workspace(fitting, selection.choice.device, selection.data_roots)
    except (ValueError, OSError) as error:
        show_error(error)
        st.caption(
            "Compare reads the image size, stride and number of heads from the checkpoint. If they are not in the "
            "checkpoint, choose the weights on the Data page."
        )
        if selection is not None:
            _render_data_button(selection.choice)
        return None
    if [each.path for each in other.dataset.gallery] != [each.path for each in workspace.dataset.gallery]:
        show_warning(
            "The gallery memories of A and B leave out different unreadable images, so ranks cannot be compared. "
            "Build both with the same images."
        )
        _render_data_button(selection.choice)
        return None
    return other


def weights_names(workspace: Workspace, name: str) -> dict[str, str]:
    """Return display names for the weights of both sides: file names or, if these are equal, names with folders.

    Args:
        workspace: Workspace of side A.
        name: Name of the weights of side B below a root.
    """
    path, file = workspace.places.weights, name.rpartition("/")[2]
    if path.name != file:
        return {"A": escape_name(path.name), "B": file}
    return {"A": workspace_choice.display_name(path, roots_in_use()), "B": name}


def query_of_other(other: Workspace, query: Query) -> Query:
    """Return the query of side A as a query for side B, whose model may need images of another size.

    Args:
        other: Workspace of side B.
        query: Query at the input size of side A.
    """
    if is_dataset_query(query):
        record = next(each for each in other.dataset.query if each.path.as_posix() == query.name)
        return query_of(other, record)
    config, camera = other.retriever.model.config, query.subject.camera
    known = camera is None or camera < config.cameras  # The visitor chose the camera among those of side A.
    subject = query.subject if known else replace(query.subject, camera=None)
    return Query(query.name, resize_image(query.image, config.image_size), subject, other.key)


def is_resized_twice(other: Workspace, query: Query) -> bool:
    """Return whether side B has to resize an uploaded image that was already resized for side A.

    Args:
        other: Workspace of side B.
        query: Query at the input size of side A.
    """
    return not is_dataset_query(query) and query.image.shape[:2] != other.retriever.model.config.image_size


def _is_file(name: str, roots: tuple[Root, ...]) -> bool:
    try:
        path = resolve(name, roots)
        return name_of(path, roots) == name and path.is_file()
    except (OutsideRootsError, OSError):
        return False


def _selection(name: str) -> _Selection:
    """Return the visitor's data with other weights; size, stride and heads are read from the checkpoint.

    Raises:
        OutsideRootsError: The name refers to a path outside the roots.
    """
    roots, started = roots_in_use(), Places.from_environment()
    weights = "" if resolve(name, roots) == started.weights.resolve() else name
    active = workspace_choice.active_choice()
    choice = replace(active, weights=weights, memory="", stride=None, image_size="", heads=None)
    return _Selection(choice, choice.places(roots, started), roots if choice.data else ())


def _with_fitting_memory(selection: _Selection) -> Places | None:
    """Return the paths with a gallery memory that fits data and weights, or None if there is none.

    The default folder comes first, then those that visitors have chosen on the Data page.
    """
    roots, places = roots_in_use(), selection.places
    weights = resources.weights_info(places)
    dataset, _ = resources.data_info(places, selection.data_roots)
    folders = [places.memory]
    for name in resources.discovered_paths(roots).memories:
        try:
            folder = resolve(name, roots)
            confine_memory(folder, roots)
        except OutsideRootsError:  # The folder contains a symbolic link that points outside the roots.
            continue
        folders.append(folder)
    for folder in folders:
        if resources.memory_info(folder, dataset, weights).status is MemoryStatus.FITS:
            return replace(places, memory=folder)
    return None


def _check_depth(name: str, config: ModelConfig) -> None:
    """Check that the encoder has all layers in which the app drops patches.

    Args:
        name: Name of the weights, for the error message.
        config: Configuration of the model.

    Raises:
        ValueError: The encoder has too few layers.
    """
    blocks = PruneSettings().blocks
    if config.depth <= blocks[-1]:
        raise ValueError(
            f"{name} has {config.depth} layers, but patches are dropped in layers {', '.join(map(str, blocks))}; "
            "choose weights with 12 layers"
        )


def _render_missing_memory(name: str, selection: _Selection) -> None:
    places = selection.places
    st.warning(
        f"There is no gallery memory of {escape_markdown(name)} for this dataset yet, so side B cannot be searched. "
        "Build it on the Data page, or with this command:",
        icon=":material/database_off:",
    )
    options = {"data": places.data, "weights": places.weights, "memory": places.memory}
    paths = " ".join(f"--{key} {shlex.quote(escape_name(str(path)))}" for key, path in options.items())
    st.code(f"{BUILD_MEMORY} {paths}{build_options(places)}", language="bash", wrap_lines=True)
    _render_data_button(selection.choice)


def _render_data_button(choice: WorkspaceChoice) -> None:
    """Render a button that opens the Data page with the weights of side B."""
    if st.button("Open these weights on the Data page", icon=":material/database:", key="b-to-data"):
        workspace_choice.start_draft(choice)
        st.switch_page("app/pages/data.py", query_params={})
