"""Data sets of the hub, without a network: from the cache that ``datasets`` keeps of one it has had."""

from __future__ import annotations

from pathlib import Path

import datasets
import datasets.config
import huggingface_hub.constants
import pytest

from datamodules import RealPrefDataModule
from hpedit.records import write_cases
from hpedit.shards import open_shards
from tests.support.cases import grey_case


@pytest.fixture
def on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a data set of 5 cases that was downloaded once and is asked for offline."""
    cache = tmp_path / "datasets"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    write_cases(tmp_path / "train.parquet", [grey_case(i) for i in range(5)])
    builder = datasets.load_dataset_builder("parquet", data_files=str(tmp_path / "train.parquet"))
    builder.download_and_prepare()
    made = Path(builder.cache_dir)
    kept = cache / "somebody___edits" / "default" / "0.0.0" / made.name
    kept.parent.mkdir(parents=True)
    made.rename(kept)
    (kept / "parquet-train.arrow").rename(kept / "edits-train.arrow")
    info = kept / "dataset_info.json"
    info.write_text(info.read_text().replace('"parquet"', '"edits"'))
    return "somebody/edits"


def test_a_data_set_is_trained_on_by_its_name_on_the_hub(on_the_hub: str):
    seen = []
    for streaming in (False, True):
        data = RealPrefDataModule(
            on_the_hub, batch_size=5, resolution=32, num_workers=0, streaming=streaming, epoch_batches=1
        )
        data.setup("fit")
        (batch,) = data.train_dataloader()
        greys = (batch.sources[0] * 255).round().mean(dim=(1, 2, 3)).int().tolist()
        seen.append(sorted(zip(batch.case_id, greys, strict=True)))
    assert seen == [[(f"case-{i}", i) for i in range(5)]] * 2


def test_a_stream_from_the_hub_goes_on_in_the_middle(on_the_hub: str):
    shards = open_shards(on_the_hub)
    assert [row["case_id"] for row in shards.rows(0, 3)] == ["case-3", "case-4"]


def test_a_split_that_is_not_there_names_the_flag(on_the_hub: str):
    with pytest.raises(ValueError, match=r"^--data\.data=somebody/edits:nowhere: cannot be streamed"):
        open_shards(f"{on_the_hub}:nowhere", "--data.data")
