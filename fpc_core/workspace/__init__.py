"""Open a dataset, its weights and its gallery memory together, and check that they belong to each other."""

from fpc_core.workspace.workspace import (
    DEMO_ROOT,
    Places,
    Workspace,
    build_options,
    cache_folder,
    check_cameras,
    choose_device,
    data_stamp,
    default_memory_folder,
    demo_memory_folder,
    devices,
    file_stamp,
    load_model,
    open_workspace,
    roots_in_use,
    stamp,
)

__all__ = [
    "DEMO_ROOT",
    "Places",
    "Workspace",
    "build_options",
    "cache_folder",
    "check_cameras",
    "choose_device",
    "data_stamp",
    "default_memory_folder",
    "demo_memory_folder",
    "devices",
    "file_stamp",
    "load_model",
    "open_workspace",
    "roots_in_use",
    "stamp",
]
