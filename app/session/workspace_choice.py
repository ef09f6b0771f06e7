"""A visitor's choice of dataset, weights, gallery memory, device, default variant and settings of the weights.

The choice is stored in the session and in the URL of every page, so that a link opens the same data. The URL contains
names relative to the roots, and no defaults. The Data page edits a draft, which affects no other page until applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import streamlit as st

from app.public_mode import is_public
from app.session.link_checks import invalid_value
from app.session.shared_view import CHOICE_PARAMS, forget_params
from fpc_core.config import QuerySettings, Variant
from fpc_core.data.protocols import AUTO, Cameras, Protocol
from fpc_core.io.bounded_files import escape_name
from fpc_core.model.positions import format_size, parse_size
from fpc_core.workspace import Places, default_memory_folder, devices
from fpc_core.workspace.allowed_roots import OutsideRootsError, Root, confine_memory, name_of, resolve

DRAFT = "draft-"  # Prefix of the keys of the Data page's widgets.
STRIDES = (11, 12, 16, 8, 10, 14)  # Patch strides that can be chosen, those of TransReID and FPC first.
MAX_HEADS = 64  # Maximum number of attention heads in a link; a ViT-H has 16.


@dataclass(frozen=True)
class WorkspaceChoice:
    """Data, weights and settings to load.

    Attributes:
        data: Name of the dataset for `allowed_roots.resolve`; empty for the startup dataset.
        weights: Name of the checkpoint for `allowed_roots.resolve`; empty for the startup checkpoint.
        memory: Name of the gallery memory for `allowed_roots.resolve`; empty for the default folder of these data and
            weights.
        device: Device to compute on, or "auto".
        stride: Patch stride of the model; None to read it from the checkpoint.
        variant: Variant for pages that have no control for it.
        image_size: Input size of the model, such as "256x128"; empty to read it from the checkpoint.
        heads: Number of attention heads of the model; None to read it from the checkpoint.
        mean_camera: Whether every image gets the mean of the camera embeddings.
        protocol: Name of the evaluation `Protocol`, or "auto".
        cameras: Name of the `Cameras` of the dataset, or "auto".
    """

    data: str = ""
    weights: str = ""
    memory: str = ""
    device: str = "auto"
    stride: int | None = None
    variant: Variant = QuerySettings().variant
    image_size: str = ""
    heads: int | None = None
    mean_camera: bool = False
    protocol: str = AUTO
    cameras: str = AUTO

    def to_params(self) -> dict[str, str]:
        """Return the choice as query parameters, without defaults."""
        default = WorkspaceChoice()
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {CHOICE_PARAMS[name]: str(value) for name, value in values.items() if value != getattr(default, name)}

    def places(self, roots: Sequence[Root], started: Places) -> Places:
        """Return the paths of this choice.

        Args:
            roots: Allowed folders.
            started: Paths set at startup.

        Raises:
            OutsideRootsError: A name refers to a path outside the roots.
        """
        places = replace(
            started,
            data=resolve(self.data, roots) if self.data else started.data,
            weights=resolve(self.weights, roots) if self.weights else started.weights,
            stride=self.stride,
            image_size=parse_size(self.image_size) if self.image_size else None,
            heads=self.heads,
            mean_camera=self.mean_camera,
            cameras=self.cameras,
        )
        if self.memory:
            memory = resolve(self.memory, roots)
            confine_memory(memory, roots)
        else:
            memory = started.memory if places == started else default_memory_folder(places)
        return replace(places, memory=memory, protocol=self.protocol, variant=self.variant.value)


def read_choice(params: Mapping[str, str], *, public: bool = False) -> tuple[WorkspaceChoice, tuple[str, ...]]:
    """Return the choice in query parameters, and messages about parameters that are ignored.

    Args:
        params: Query parameters of the link.
        public: Whether the app is public, so that only the default variant can be chosen.
    """
    problems = []
    if public:
        barred = [name for field, name in CHOICE_PARAMS.items() if field != "variant" and name in params]
        if barred:
            problems.append(
                f"The link sets {', '.join(barred)}. This public app uses fixed data and ignores these settings. "
                "Install the app to use your own."
            )
        params = {name: value for name, value in params.items() if name == CHOICE_PARAMS["variant"]}
    device, stride, variant = (params.get(CHOICE_PARAMS[name], "") for name in ("device", "stride", "variant"))
    if device and device not in devices():
        problems.append(invalid_value("the device", device, f"this machine has {', '.join(devices())}"))
        device = ""
    if stride and stride not in map(str, STRIDES):
        problems.append(invalid_value("the stride", stride, f"it must be one of {', '.join(map(str, STRIDES))}"))
        stride = ""
    if variant and variant not in list(Variant):
        problems.append(invalid_value("the default variant", variant, f"it must be one of {', '.join(Variant)}"))
        variant = ""
    size, heads, mean_camera = (params.get(CHOICE_PARAMS[name], "") for name in ("image_size", "heads", "mean_camera"))
    if size:
        try:
            size = format_size(parse_size(size))
        except ValueError as error:
            problems.append(invalid_value("the image size", size, str(error)))
            size = ""
    if heads and not (heads.isascii() and heads.isdigit() and len(heads) < 4 and 1 <= int(heads) <= MAX_HEADS):
        problems.append(invalid_value("the number of heads", heads, f"it must be from 1 to {MAX_HEADS}"))
        heads = ""
    if mean_camera not in ("", "True"):
        problems.append(invalid_value("meancamera", mean_camera, "the only allowed value is True"))
        mean_camera = ""
    options = {}
    for name, values in (("protocol", list(Protocol)), ("cameras", list(Cameras))):
        options[name] = params.get(CHOICE_PARAMS[name], AUTO)
        if options[name] not in (AUTO, *values):
            problems.append(invalid_value(CHOICE_PARAMS[name], options[name], f"it must be one of {', '.join(values)}"))
            options[name] = AUTO
    choice = WorkspaceChoice(
        data=params.get(CHOICE_PARAMS["data"], ""),
        weights=params.get(CHOICE_PARAMS["weights"], ""),
        memory=params.get(CHOICE_PARAMS["memory"], ""),
        device=device or WorkspaceChoice().device,
        stride=int(stride) if stride else None,
        variant=Variant(variant) if variant else WorkspaceChoice().variant,
        image_size=size,
        heads=int(heads) if heads else None,
        mean_camera=bool(mean_camera),
        **options,
    )
    return choice, tuple(problems)


def current() -> tuple[WorkspaceChoice, tuple[str, ...]]:
    """Write the visitor's choice to the URL and return it, with messages about the link."""
    return _stored_choice("choice", WorkspaceChoice())


def draft() -> tuple[WorkspaceChoice, tuple[str, ...]]:
    """Return the draft of the Data page, with messages about the link.

    The first draft of a session is a copy of the link's choice or, without one, of the active choice.
    """
    if "draft" not in st.session_state and _choice_from_url():
        return _stored_choice("draft", WorkspaceChoice())
    return st.session_state.setdefault("draft", active_choice()), ()


def save_draft(choice: WorkspaceChoice) -> None:
    """Store the draft and write it to the URL."""
    st.session_state["draft"] = choice
    _write_url(choice)


def start_draft(choice: WorkspaceChoice) -> None:
    """Make a choice the draft that the Data page shows when it opens next."""
    for key in [key for key in st.session_state if str(key).startswith(DRAFT)]:
        del st.session_state[key]
    st.session_state["draft"] = choice


def apply_choice(choice: WorkspaceChoice) -> None:
    """Apply a choice to all pages of this visitor. Call it in a callback, because it resets the draft's widgets."""
    start_draft(choice)
    if choice != active_choice():
        forget_params()
    st.session_state["choice"] = choice
    _write_url(choice)


def active_choice() -> WorkspaceChoice:
    """Return the choice that this visitor's pages use."""
    choice: WorkspaceChoice = st.session_state.get("choice", WorkspaceChoice())
    return choice


def default_variant() -> Variant:
    """Return the variant for pages that have no control for it."""
    return active_choice().variant


def display_name(path: Path, roots: Sequence[Root]) -> str:
    """Return the name of a path for display: below its root or, outside the roots, in full.

    In public mode, only the last part of the path is returned.

    Args:
        path: Path to display.
        roots: Allowed folders.
    """
    if is_public():
        return escape_name(path.name)
    try:
        return escape_name(name_of(path, roots))
    except OutsideRootsError:
        return escape_name(str(path))


def _stored_choice(key: str, default: WorkspaceChoice) -> tuple[WorkspaceChoice, tuple[str, ...]]:
    problems: tuple[str, ...] = ()
    if _choice_from_url():
        st.session_state[key], problems = read_choice(st.query_params, public=is_public())
    choice = st.session_state.setdefault(key, default)
    _write_url(choice)
    return choice, problems


def _choice_from_url() -> bool:
    return any(name in st.query_params for name in CHOICE_PARAMS.values())


def _write_url(choice: WorkspaceChoice) -> None:
    params = choice.to_params()
    for name in CHOICE_PARAMS.values():
        if name in params and st.query_params.get(name) != params[name]:
            st.query_params[name] = params[name]
        elif name not in params and name in st.query_params:
            del st.query_params[name]
