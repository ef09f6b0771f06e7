"""Write docs/checkpoints.md from the registries of `fpc_core.model`: `python -m docs.make_checkpoints`."""

from pathlib import Path

from fpc_core.model.families import FAMILIES, UNSUPPORTED
from fpc_core.model.pickle_scan import PASSED_OVER
from fpc_core.model.positions import IMAGE_SIZES, PUBLISHED, format_size
from fpc_core.model.weight_files import CONTAINERS

PAGE = Path(__file__).parent / "checkpoints.md"


def checkpoints_page() -> str:
    """Return the page as Markdown, one row per family of checkpoints."""
    rows = "\n".join(
        f"| {each.title} | {each.recognised_by} | {each.size} | {each.copied} | {each.untrained} |"
        for each in FAMILIES.values()
    )
    strides = ", ".join(map(str, PUBLISHED[1]))
    return f"""# Checkpoints

Made from the registries in `fpc_core/model/families` and `fpc_core/model` by `python -m docs.make_checkpoints`.

| family | recognised by | image size and stride | copied from the last block | untrained |
|---|---|---|---|---|
{rows}

`python -m fpc_core doctor`, `python -m fpc_core memory build` and the Data page print what a file contains, what was
assumed, copied, left untrained or ignored. Copied and untrained parts are also named under every ranking and score.

**Size, stride and heads.** Position embeddings are stored as a list, without the shape of their grid. If their number
fits {format_size(PUBLISHED[0])} at stride {strides}, as in the published code, this size is assumed. Otherwise these
sizes are tried: {", ".join(map(format_size, IMAGE_SIZES))}.
If none or several fit, the file is refused until `--image-size` and `--stride` are set. The number of heads follows
from the widths 192, 384, 768 and 1024. Other widths need `--heads`, and so does a model with an unusual number of
heads, such as 6 at width 192, because no tensor shows it. The Data page has the same fields.

**Activation, epsilon and pixels.** No tensor shows these either, so they are set by family: exact GELU and norms
with epsilon 1e-6 as in ViT, or the family's own. Weights that were trained with other settings load, but give wrong
results. Pixels are normalised with mean and standard deviation 0.5, or with those of ImageNet for most families trained
on it. The report on the file states all of this.

**Resized positions.** Position embeddings are resized by bicubic interpolation with antialiasing, as in timm and in
DINOv2 with registers. TransReID resizes bilinearly, and DINOv2 without registers has no antialiasing.

**Extra tokens.** Tokens beside `[cls]`, such as a distillation token or registers, take part in the attention of every
block and are never dropped. Patches are ranked by the attention of `[cls]` to patches alone, and only patches are
matched and stored in the gallery memory.

**Cameras.** `--mean-camera` gives every image the mean camera embedding. Use it for data with cameras for which the
weights have no embedding.

**Wrappers.** The prefixes of DataParallel, torch.compile, FSDP and Lightning are removed in any order. Tensors are
read from these containers: {", ".join(f"`{name}`" for name in CONTAINERS)}, or from the only one that has tensors.

**Other layers.** Layer scale is multiplied into the layers before it, and a missing bias of queries, keys and values is
set to 0. Neither changes the result. Losses and centres that are stored with the model are ignored and listed. Other
convolutional stems and normalised queries are refused, with a message that names them.

**Other networks.** FPC drops patches by the attention of one `[cls]` token, and needs the same patches in every block.
These are refused, with a message that names the network:
{"; ".join(each.title for each in UNSUPPORTED)}.

**Other objects.** No class is imported and no code is run. Objects of these kinds that are stored with the tensors are
skipped:
{", ".join(PASSED_OVER)}. A file with any other object is refused, with a message that names it.
"""


if __name__ == "__main__":
    PAGE.write_text(checkpoints_page(), encoding="utf-8")
