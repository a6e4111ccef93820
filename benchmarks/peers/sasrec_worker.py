"""SASRec of the library `rectools`, in an environment of its own (`make peers-env`): it wants numpy 1 and pandas 2.

A child process: no module of ours is imported here. Each line of the input names a file to read and a file to write;
the first holds the settings and the training events, and has no answer but itself, every other a batch of histories.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


def main() -> None:
    """Fits once, then answers until the input ends."""
    warnings.simplefilter("ignore")  # the library advises on devices and loaders; nothing of it applies to a CPU
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    model: SASRecModel | None = None
    for line in sys.stdin:
        source, answer = line.rstrip("\n").split("\t")
        with np.load(source) as given:
            part = dict(given)
        if model is None:
            model = _fit(part)
        else:
            np.save(answer, _scores(model, part))
        print("done", flush=True)


def _fit(part: dict[str, Any]) -> SASRecModel:
    settings = json.loads(str(part["settings"]))
    seed_everything(0, verbose=False)

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=settings["epochs"], accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, deterministic=True,
        )  # fmt: skip

    model = SASRecModel(**settings, get_trainer_func=trainer, deterministic=True, recommend_torch_device="cpu")
    return model.fit(_dataset(part))


def _scores(model: SASRecModel, part: dict[str, Any]) -> Any:
    """float32 [B, N]: 0 for users of whose items the model knows none; items that it does not know come last."""
    scores = np.zeros((int(part["users"]), int(part["items"])), np.float32)
    known = model.data_preparator.get_known_item_ids()
    informed = np.unique(part["user"][np.isin(part["item"], known)])
    if len(informed):
        shown = model.recommend(informed, _dataset(part), k=len(known), filter_viewed=False)
        scores[informed] = shown[Columns.Score].min() - 1.0
        scores[shown[Columns.User], shown[Columns.Item]] = shown[Columns.Score]
    return scores


def _dataset(part: dict[str, Any]) -> Dataset:
    frame = pd.DataFrame({Columns.User: part["user"], Columns.Item: part["item"], Columns.Weight: 1.0})
    frame[Columns.Datetime] = pd.to_datetime(part["order"], unit="s")
    return Dataset.construct(frame)


if __name__ == "__main__":
    main()
