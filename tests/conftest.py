"""What every test module needs."""

import fpc_core  # noqa: F401  declares torchvision's operators before torchmetrics or timm import it
