"""Train once, and return what a test compares: in one process, or in two processes that torchrun starts.

python -m torch.distributed.run --nproc-per-node 2 -m tests.support.two_processes DATASET FOLDER
"""

import sys
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

from fpc_core.config import ModelConfig
from fpc_core.data.datasets import Dataset, open_dataset
from fpc_core.data.images import normalise
from fpc_core.model.fpc import FPC
from fpc_core.runtime import distributed
from fpc_core.training.batches import load_training_images, training_config
from fpc_core.training.loop import train
from fpc_core.training.settings import TrainSettings
from fpc_core.training.stages import StageLoss, encode_memory


def one_run(dataset: Dataset, config: ModelConfig, settings: TrainSettings, out: Path) -> dict:
    """Return the gradients of one step of the second stage, the gallery memory, and the results of a whole training.

    Args:
        dataset: Dataset to train on.
        config: Configuration of the model.
        settings: Settings of the training.
        out: Folder for the files of the training.
    """
    with distributed.process_group(torch.device("cpu")):
        images = load_training_images(dataset, config)
        torch.manual_seed(0)
        model = FPC(training_config(dataset, config)).train()
        memory = encode_memory(model, images, settings)
        loss = StageLoss(model, settings, images)
        if distributed.world_size() > 1:
            loss = DistributedDataParallel(loss, find_unused_parameters=True, forward_sync_buffers=False)
        rows = torch.arange(12)  # A number of rows that two processes can share equally.
        loss(normalise(images.pixels[distributed.local_shard(rows)], config), rows, 1, memory).backward()
        gradients = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
        losses: list[float] = []
        trained = train(dataset, config, settings, out, report=lambda epoch: losses.append(epoch.loss))
        return {
            "gradients": gradients,
            "memory": memory.cls,
            "weights": trained.state_dict(),
            "losses": losses,
            "rank": distributed.rank(),
        }


if __name__ == "__main__":
    data, folder = Path(sys.argv[1]), Path(sys.argv[2])
    job = torch.load(folder / "job.pt", weights_only=True)
    result = one_run(
        open_dataset(data), ModelConfig(**job["config"]), TrainSettings(**job["settings"]), folder / "pair"
    )
    torch.save(result, folder / f"rank{result['rank']}.pt")
