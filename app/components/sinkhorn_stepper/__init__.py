"""Step-by-step view of the Sinkhorn algorithm. The exported lesson uses the same script."""

from __future__ import annotations

from typing import Any

import streamlit as st

from fpc_core.lessons.stepper import SCRIPT, STYLE

_mount = st.components.v2.component(
    "fpc_sinkhorn_stepper",
    html="<div data-stepper></div>",
    css=STYLE,
    js=SCRIPT
    + """
export default function ({ data, parentElement }) {
  const host = parentElement.querySelector("[data-stepper]");
  host.view ??= new SinkhornStepper(host);
  const sent = JSON.stringify(data);
  if (host.sent === sent) return;
  host.sent = sent;
  host.view.show(data);
}
""",
)


def sinkhorn_stepper(data: dict[str, Any], *, key: str) -> None:
    """Draw the steps of the Sinkhorn algorithm.

    Args:
        data: Result of `fpc_core.lessons.stepper.stepper_data`.
        key: Key of the component.
    """
    _mount(key=key, data=data)
