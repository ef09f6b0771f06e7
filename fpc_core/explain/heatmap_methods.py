"""Names of the heat-map methods, and what each shows in one line."""

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
    MapMethod.GRAD_CAM: "Projects each patch on the mean gradient of the target; ignores its own attention.",
    MapMethod.GRAD_CAM_PLUS_PLUS: "Grad-CAM with positive gradients only.",
    MapMethod.HIRES_CAM: "Gradient times value per patch: exact contributions if the rest of the network were linear.",
    MapMethod.LAYER_CAM: "HiResCAM without the channels that lower the target.",
    MapMethod.EIGEN_CAM: "Main direction in which the normalised tokens differ; independent of target and attention.",
    MapMethod.ATTENTION: "Attention of [cls] to each patch, averaged over heads; ignores the values it reads.",
    MapMethod.VALUE_NORM: "Length of what a patch adds to [cls] (attention times value); has no sign.",
    MapMethod.LEFT_OUT: "Drop of the target when this patch is left out, computed exactly for every patch.",
}


def map_target(how: MapSettings, identities: int) -> str:
    """Return the target of a decoder map in words; `identities` is the number of training identities."""
    if how.target is MapTarget.SIMILARITY:
        return "the cosine to the image ranked first"
    if how.index is None:
        return f"the logit of the likeliest of the {identities} training identities"
    return f"the logit of training identity {how.index} of {identities}"


def colorbar_label(how: MapSettings, target: str) -> str:
    """Return the label of a map's colour bar; `target` is in words, such as "the image ranked first"."""
    name = NAMES[how.method] if how.method in TARGETED else f"{NAMES[how.method]} of [cls]"
    if how.method is MapMethod.LEFT_OUT:
        name = "lost without the patch"
    aimed = f"{name}, for {target}" if how.method in TARGETED else name
    return f"{aimed}, from the mean patch" if how.relative else aimed


TARGETED = frozenset({*MapMethod} - {MapMethod.EIGEN_CAM, MapMethod.ATTENTION, MapMethod.VALUE_NORM})
"""Methods that explain a target; the others' maps are the same for every target."""

DECODER_METHODS = tuple(method for method in MapMethod if method is not MapMethod.EIGEN_CAM)
"""EigenCAM sees only the normalised input of the decoder's block. A decoder with random weights after its first norm
would give the same map, which fails the sanity check of Adebayo et al. (2018)."""
