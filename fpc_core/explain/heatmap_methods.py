"""The methods behind the heat maps in words: their names, and in one line what each shows."""

from __future__ import annotations

from collections.abc import Mapping

from fpc_core.config import MapMethod, MapSettings, MapTarget

NAMES: Mapping[MapMethod, str] = {
    MapMethod.GRAD_CAM: "Grad-CAM",
    MapMethod.GRAD_CAM_PLUS_PLUS: "Grad-CAM++",
    MapMethod.HIRES_CAM: "HiResCAM",
    MapMethod.LAYER_CAM: "LayerCAM",
    MapMethod.EIGEN_CAM: "EigenCAM",
    MapMethod.ATTENTION: "attention",
    MapMethod.VALUE_NORM: "attention × value norm",
    MapMethod.LEFT_OUT: "left out",
}
DESCRIPTIONS: Mapping[MapMethod, str] = {
    MapMethod.GRAD_CAM: "How far a patch points where patches on average raise the target; blind to its attention.",
    MapMethod.GRAD_CAM_PLUS_PLUS: "As Grad-CAM, but a channel counts by its positive gradients alone.",
    MapMethod.HIRES_CAM: "Gradient times value, patch by patch: the patch's own part, exact where the rest is linear.",
    MapMethod.LAYER_CAM: "As HiResCAM, but only channels that raise the target count.",
    MapMethod.EIGEN_CAM: "Where the tokens differ most; asks neither the target nor this block's weights.",
    MapMethod.ATTENTION: "How much [cls] looks at a patch, mean of the heads; not what it takes, nor for whom.",
    MapMethod.VALUE_NORM: "The length of what a patch adds to [cls], attention times value; not in whose favour.",
    MapMethod.LEFT_OUT: "What the target loses when this one patch is left out: computed for every patch, no estimate.",
}


def map_target(how: MapSettings, identities: int) -> str:
    """The target of the decoder's maps in words; a training identity is nobody of the gallery by itself."""
    if how.target is MapTarget.SIMILARITY:
        return "the cosine to the image ranked first"
    if how.index is None:
        return f"the logit of the likeliest of the {identities} training identities"
    return f"the logit of training identity {how.index} of {identities}"


def colorbar_label(how: MapSettings, target: str) -> str:
    """What a map shows, as its colour bar says it. target: in words, such as "the image ranked first"."""
    name = NAMES[how.method] if how.method in TARGETED else f"{NAMES[how.method]} of [cls]"
    if how.method is MapMethod.LEFT_OUT:
        name = "lost without the patch"
    aimed = f"{name}, for {target}" if how.method in TARGETED else name
    return f"{aimed}, from the mean patch" if how.relative else aimed


TARGETED = frozenset({*MapMethod} - {MapMethod.EIGEN_CAM, MapMethod.ATTENTION, MapMethod.VALUE_NORM})
"""Methods that explain a target; the others' maps are the same for every target."""

DECODER_METHODS = tuple(method for method in MapMethod if method is not MapMethod.EIGEN_CAM)
"""What enters the decoder does not depend on its weights, and it is all that EigenCAM sees: with every weight of the
decoder random its map would stay as it is, which fails the sanity check of Adebayo et al. (2018)."""
