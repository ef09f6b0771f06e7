"""What a visitor works on: data, weights, memory, device, stride and usual variant.

A choice belongs to one visitor. It is kept in the session and, by names below the roots, in the URL of every page, so
that a link opens the same; what is left out is as the app was started. The Data page composes the next one as a draft,
which touches no other page until it is taken into use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import streamlit as st

from app.public_mode import is_public
from fpc_core.config import QuerySettings, Variant
from fpc_core.io.bounded_files import escape_name
from fpc_core.workspace import Places, default_memory_folder, devices
from fpc_core.workspace.allowed_roots import OutsideRootsError, Root, confine_memory, name_of, resolve

DRAFT = "draft-"  # what keys of the Data page's widgets begin with
STRIDES = (11, 12, 16)  # that TransReID and FPC are trained at


@dataclass(frozen=True)
class WorkspaceChoice:
    """Names as in `roots.resolve`; empty: as the app was started, a memory: the one that belongs to data and weights.

    variant: whose way is followed where a page does not say it.
    """

    data: str = ""
    weights: str = ""
    memory: str = ""
    device: str = "auto"
    stride: int | None = None
    variant: Variant = QuerySettings().variant

    def to_params(self) -> dict[str, str]:
        """Query parameters of this choice, without what is as usual."""
        usual = WorkspaceChoice()
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {PARAMS[name]: str(value) for name, value in values.items() if value != getattr(usual, name)}

    def places(self, roots: Sequence[Root], started: Places) -> Places:
        """Where all of it lies. started: without any choice. Raises OutsideRootsError for a name outside the roots."""
        places = replace(
            started,
            data=resolve(self.data, roots) if self.data else started.data,
            weights=resolve(self.weights, roots) if self.weights else started.weights,
            stride=self.stride,
        )
        if self.memory:
            memory = resolve(self.memory, roots)
            confine_memory(memory, roots)
            return replace(places, memory=memory)
        if places == started:
            return started
        return replace(places, memory=default_memory_folder(places))


PARAMS = {
    "data": "data",
    "weights": "weights",
    "memory": "memory",
    "device": "device",
    "stride": "stride",
    "variant": "usual",
}
"""Query parameter of every field; `variant` is that of the Explore page."""


def read_choice(params: Mapping[str, str], *, public: bool = False) -> tuple[WorkspaceChoice, tuple[str, ...]]:
    """The choice of these query parameters, and one sentence for each that could not be used.

    public: nothing but the usual variant can be chosen.
    """
    problems = []
    if public:
        barred = [name for field, name in PARAMS.items() if field != "variant" and name in params]
        if barred:
            problems.append(
                f"The link would change the {' and the '.join(barred)}. This public app uses fixed data. "
                "Install the app to use your own."
            )
        params = {name: value for name, value in params.items() if name == PARAMS["variant"]}
    device, stride, variant = (params.get(PARAMS[name], "") for name in ("device", "stride", "variant"))
    if device and device not in devices():
        problems.append(f"The link sets the device to {device[:40]}, but this machine has {', '.join(devices())}.")
        device = ""
    if stride and stride not in map(str, STRIDES):
        problems.append(
            f"The link sets the stride to {stride[:40]}, but it must be one of {', '.join(map(str, STRIDES))}."
        )
        stride = ""
    if variant and variant not in list(Variant):
        problems.append(f"The link sets usual to {variant[:40]}, but it must be one of {', '.join(Variant)}.")
        variant = ""
    found = WorkspaceChoice(
        data=params.get(PARAMS["data"], ""),
        weights=params.get(PARAMS["weights"], ""),
        memory=params.get(PARAMS["memory"], ""),
        device=device or WorkspaceChoice().device,
        stride=int(stride) if stride else None,
        variant=Variant(variant) if variant else WorkspaceChoice().variant,
    )
    return found, tuple(problems)


def current() -> tuple[WorkspaceChoice, tuple[str, ...]]:
    """What this visitor works on, and what to say of a link. The URL has it afterwards."""
    return _stored_choice("choice", WorkspaceChoice())


def draft() -> tuple[WorkspaceChoice, tuple[str, ...]]:
    """What the Data page is composing: at first what is in use, or what its link says."""
    if "draft" not in st.session_state and _choice_from_url():
        return _stored_choice("draft", WorkspaceChoice())
    return st.session_state.setdefault("draft", active_choice()), ()


def compose(choice: WorkspaceChoice) -> None:
    """Keep this draft; the URL of the Data page has it afterwards."""
    st.session_state["draft"] = choice
    _write(choice)


def apply_choice(choice: WorkspaceChoice) -> None:
    """All pages of this visitor show it from now on. Call it in a callback: the widgets of the draft begin anew."""
    for key in [key for key in st.session_state if str(key).startswith(DRAFT)]:
        del st.session_state[key]
    st.session_state["choice"] = st.session_state["draft"] = choice
    _write(choice)


def active_choice() -> WorkspaceChoice:
    """What this visitor's pages show."""
    found: WorkspaceChoice = st.session_state.get("choice", WorkspaceChoice())
    return found


def default_variant() -> Variant:
    """Whose way this visitor's pages follow where nothing else is said."""
    return active_choice().variant


def display_name(path: Path, roots: Sequence[Root]) -> str:
    """A place as it is shown: by its name below the roots, else as the machine calls it; in public by its last part."""
    if is_public():
        return escape_name(path.name)
    try:
        return escape_name(name_of(path, roots))
    except OutsideRootsError:
        return escape_name(str(path))


def _stored_choice(key: str, usual: WorkspaceChoice) -> tuple[WorkspaceChoice, tuple[str, ...]]:
    problems: tuple[str, ...] = ()
    if _choice_from_url():
        st.session_state[key], problems = read_choice(st.query_params, public=is_public())
    choice = st.session_state.setdefault(key, usual)
    _write(choice)
    return choice, problems


def _choice_from_url() -> bool:
    return any(name in st.query_params for name in PARAMS.values())


def _write(choice: WorkspaceChoice) -> None:
    wanted = choice.to_params()
    for name in PARAMS.values():
        if name in wanted and st.query_params.get(name) != wanted[name]:
            st.query_params[name] = wanted[name]
        elif name not in wanted and name in st.query_params:
            del st.query_params[name]
