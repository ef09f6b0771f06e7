"""Names and one-line descriptions of the heat-map methods."""

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
    MapMethod.GRAD_CAM: "Highlights patches whose features push the target score up. It ignores their attention.",
    MapMethod.GRAD_CAM_PLUS_PLUS: "Like Grad-CAM, but weights each channel by its positive gradients only.",
    MapMethod.HIRES_CAM: "Gradient × activation for each patch; exact if the layers above are linear.",
    MapMethod.LAYER_CAM: "Like HiResCAM, but counts only channels that raise the target.",
    MapMethod.EIGEN_CAM: "Where the tokens differ most after the first norm, independent of target and later weights.",
    MapMethod.ATTENTION: "Attention from [cls] to each patch, averaged over heads; not the patch's effect.",
    MapMethod.VALUE_NORM: "Size of each patch's contribution (attention × value norm), regardless of its direction.",
    MapMethod.LEFT_OUT: "Drop in the target score when a patch is removed (computed exactly).",
}


def map_target(how: MapSettings, identities: int) -> str:
    """Describe the target of a decoder map in words.

    Args:
        how: Settings of the heat map.
        identities: Number of training identities.
    """
    if how.target is MapTarget.SIMILARITY:
        return "the cosine to the top-ranked image"
    if how.index is None:
        return f"the logit of the most likely of the {identities} training identities"
    return f"the logit of training identity {how.index} of {identities}"


def colorbar_label(how: MapSettings, target: str) -> str:
    """Return the label of a map's colour bar.

    Args:
        how: Settings of the heat map.
        target: Description of the target, such as "the image ranked first".
    """
    name = NAMES[how.method] if how.method in TARGETED else f"{NAMES[how.method]} of [cls]"
    if how.method is MapMethod.LEFT_OUT:
        name = "drop without the patch"
    aimed = f"{name}, for {target}" if how.method in TARGETED else name
    return f"{aimed}, difference from the average patch" if how.relative else aimed


TARGETED = frozenset({*MapMethod} - {MapMethod.EIGEN_CAM, MapMethod.ATTENTION, MapMethod.VALUE_NORM})
"""Methods whose maps depend on the target."""

DECODER_METHODS = tuple(method for method in MapMethod if method is not MapMethod.EIGEN_CAM)
"""Methods that can explain the decoder. EigenCAM cannot, because of all the decoder's weights, its map depends only on
those of the block's first norm. With random weights after that norm, the map is the same, which fails the sanity check
of Adebayo et al. (2018)."""
