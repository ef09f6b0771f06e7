"""Keyboard shortcuts of the pages."""

from __future__ import annotations

from collections.abc import Callable

from app.components.shortcuts import Shortcut, shortcuts

_QUERIES = (Shortcut(("n",), "Next query", action="next"), Shortcut(("p",), "Previous query", action="previous"))
_SLIDERS = tuple(
    Shortcut((key,), f"Move {name} with the arrow keys", f".st-key-sliders >>> #slider-{slider}", "focus")
    for key, name, slider in (("g", "the keep rate γ", "gamma"), ("a", "α", "alpha"), ("k", "K", "k"))
)


def explore_shortcuts(tabs: tuple[str, ...], on_step: Callable[[int], None]) -> None:
    """Mount the shortcuts of Explore, which select queries, focus sliders and open the numbered tabs.

    Args:
        tabs: Names of the tabs in order.
        on_step: Callback that receives -1 for the previous query and 1 for the next one.
    """
    numbered = tuple(
        Shortcut((str(number),), f"Open {name}", f".st-key-tab [role=tab]:nth-of-type({number})")
        for number, name in enumerate(tabs, start=1)
    )
    shortcuts((*_QUERIES, *_SLIDERS, *numbered), on_step)


def lesson_shortcuts(on_step: Callable[[int], None], presenting: bool) -> None:
    """Mount the shortcuts of the lesson.

    Args:
        on_step: Callback that receives -1 for the previous query and 1 for the next one.
        presenting: Whether the keys of presentation remotes change the step too.
    """
    remote = (
        Shortcut(("PageDown", " "), "Next step", ".st-key-next button"),
        Shortcut(("PageUp",), "Previous step", ".st-key-back button"),
        Shortcut(("f",), "Fill the screen", action="fullscreen"),
    )
    shortcuts((*(remote if presenting else ()), *_QUERIES, *_SLIDERS), on_step)
