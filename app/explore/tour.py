"""Steps of the tour of Explore."""

from __future__ import annotations

from app.components.tour import TourStep

TOUR = (
    TourStep(
        "1. Pick a partly hidden person",
        "Click a query, press N and P, or upload your own image in the sidebar.",
        ".st-key-queries",
    ),
    TourStep(
        "2. Move the sliders",
        "The masks show which patches the model drops. Masks and rankings update while you drag.",
        ".st-key-instrument",
    ),
    TourStep(
        "3. Select a hit",
        "The panel on the right shows how its patches match those of the query. It also explains the rank and what "
        "the decoder used.",
        ".st-key-details-panel",
    ),
)
