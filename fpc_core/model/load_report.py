"""Report on a loaded checkpoint: which tensors were used, and what was assumed, copied or left untrained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fpc_core.config import ModelConfig
from fpc_core.model.families import FAMILIES, Source

_RANKED = ("encoder", "head", "decoder", "bottleneck", "rec_bottleneck")  # Parts on which rankings depend.


@dataclass(frozen=True)
class LoadReport:
    """Report on a loaded checkpoint.

    Attributes:
        path: Path of the file.
        source: Format of the file.
        config: Architecture of the model.
        loaded: Number of tensors in the file that are used.
        resized: Grids of the position embeddings in the file and in the model; None if they are equal.
        copied: Tensors of the model that are copies of other tensors, by group: the decoder, which is copied from the
            last block and norm, as at the start of training in the released code.
        fresh: Tensors of the model that are randomly initialised and must be trained, by group.
        ignored: Tensors of the file that are not used, by group.
        stored: Number of tensors in the file.
        assumed: Sentences on settings that the file does not state.
        adapted: Sentences on tensors that were converted without changing the model's results.
        aside: Entries and tensors that do not belong to the model, and classes of objects that were passed over.
    """

    path: Path
    source: Source
    config: ModelConfig
    loaded: int
    resized: tuple[tuple[int, int], tuple[int, int]] | None
    copied: str
    fresh: str
    ignored: str
    stored: int = 0
    assumed: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()
    aside: str = ""

    @property
    def knows_identities(self) -> bool:
        """Whether `rec_classifier` was loaded, so that its logits belong to training identities."""
        return "rec_classifier" not in self.fresh

    @property
    def has_classifier(self) -> bool:
        """Whether `classifier` was loaded, so that the number of training identities is known."""
        return "classifier" not in (group.partition(":")[0] for group in self.fresh.split(", "))

    @property
    def family(self) -> str:
        """Name of the format for users."""
        return FAMILIES[self.source].title

    @property
    def architecture(self) -> dict[str, str]:
        """Values that describe the architecture to users, by name."""
        config, (rows, columns) = self.config, self.config.grid
        return {
            "family": self.family,
            "image size": f"{config.image_size[0]} x {config.image_size[1]} pixels",
            "patch size": f"{config.patch_size} pixels",
            "stride": f"{config.stride} pixels, {rows} x {columns} = {config.patches} patches",
            "width": f"{config.width} channels",
            "blocks": f"{config.depth}",
            "heads": f"{config.heads}",
            "cameras": f"{config.cameras or 'none'}",
            "identities": f"{config.identities:,}" if self.has_classifier else "unknown (no classifier)",
        }

    @property
    def exceptions(self) -> tuple[str, ...]:
        """Sentences on everything that was assumed, converted, copied, initialised or not used."""
        lines = [*(f"assumed: {text}" for text in self.assumed), *self.adapted]
        if self.resized:
            (rows, columns), (new_rows, new_columns) = self.resized
            lines.append(f"position embedding resized from {rows} x {columns} to {new_rows} x {new_columns}")
        if self.copied:
            lines.append(f"copied: {self.copied} (from the last block and norm)")
        if self.fresh:
            lines.append(f"fresh: {self.fresh} (randomly initialised, so untrained)")
        for what in ("ignored", "aside"):
            if groups := getattr(self, what):
                lines.append(f"{'left aside' if what == 'aside' else what}: {groups}")
        return tuple(lines)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences to show under every ranking and score, on copied or untrained parts that affect them."""
        fresh, copied = _ranked_parts(self.fresh), _ranked_parts(self.copied)
        parts = []
        if fresh:
            parts.append(f"{_listed(fresh)} {'is' if len(fresh) == 1 else 'are'} untrained")
        if copied:
            parts.append(f"{_listed(copied)} {'is a copy' if len(copied) == 1 else 'are copies'} of the last block")
        if not parts:
            return ()
        affected = "all rankings" if {"encoder", "head"} & {*fresh} else "the consolidated ranking"
        return (
            f"{self.path.name} ({self.family}): {' and '.join(parts)}; {affected} and the scores depend on "
            "this, so train before relying on them",
        )

    def __str__(self) -> str:
        stored = f" of {self.stored}" if self.stored else ""
        lines = [f"{self.path.name}: {self.loaded}{stored} tensors of a checkpoint of kind {self.source.value}"]
        lines.append(", ".join(f"{name} {value}" for name, value in self.architecture.items()))
        return "\n  ".join((*lines, *self.exceptions))


def _ranked_parts(groups: str) -> list[str]:
    """Return the parts on which rankings depend, from a list of groups such as "decoder.block: 12 keys"."""
    names = (group.partition(":")[0].partition(".")[0] for group in groups.split(", ") if group)
    return list(dict.fromkeys(name for name in names if name in _RANKED))


def _listed(parts: list[str]) -> str:
    return " and ".join(f"the {part}" if part in ("encoder", "head", "decoder") else part for part in parts)
