"""Find the shortlist (Eq. 4) with plain torch, faiss or a Qdrant server, all with the same interface."""

from fpc_core.matching.shortlist.base import MARGIN, IndexKind, ShortlistError, ShortlistIndex, nearest
from fpc_core.matching.shortlist.open_index import open_index
from fpc_core.matching.shortlist.torch_index import TorchIndex

__all__ = ["MARGIN", "IndexKind", "ShortlistError", "ShortlistIndex", "TorchIndex", "nearest", "open_index"]
