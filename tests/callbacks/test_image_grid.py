from __future__ import annotations

import io
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.image_grid import ImageGrid, Panel, draw_grid, labelled
from hpedit.types import EditBatch, EditedBatch

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def flat(color: tuple[int, int, int], size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.new("RGB", size, color)


def area(sheet: Image.Image | np.ndarray, color: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return (pixels of this color, their width, their height)."""
    rows, columns = np.nonzero((np.asarray(sheet) == np.array(color)).all(-1))
    if not len(rows):
        return 0, 0, 0
    return len(rows), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def test_every_picture_is_drawn_whole():
    sheet = draw_grid(
        [Panel([flat(RED), flat(GREEN)], "first"), Panel([flat(BLUE)], "second")], columns=2, side=32
    )
    assert [area(sheet, color) for color in (RED, GREEN, BLUE)] == [(1024, 32, 32)] * 3


def test_pictures_keep_their_aspect_ratio():
    wide = draw_grid([Panel([flat(RED, (64, 16))], "")], columns=1, side=32)
    assert area(wide, RED) == (256, 32, 8)
    tall = draw_grid([Panel([flat(RED, (1, 400))], "")], columns=1, side=32)
    assert area(tall, RED) == (32, 1, 32)


def test_text_is_drawn_beside_the_pictures_and_never_on_them():
    words = "Replace the small red cube on the left with a large green ball " * 5
    bare = draw_grid([Panel([flat(RED)], "", ["before"])], columns=1, side=64)
    sheet = draw_grid([Panel([flat(RED)], words, ["before"])], columns=1, side=64)
    assert area(sheet, RED) == area(bare, RED) == (4096, 64, 64)
    assert (np.asarray(sheet) < 128).all(-1).sum() > 50
    assert sheet.height > bare.height


def test_more_panels_make_more_rows():
    heights = [draw_grid([Panel([flat(RED)], "x")] * n, columns=2, side=16).height for n in (1, 2, 3, 4, 5)]
    assert heights[0] == heights[1] < heights[2] == heights[3] < heights[4]


def test_a_score_that_could_not_be_had_is_said():
    assert [labelled("edit", s) for s in (None, 4.256, math.nan)] == ["edit", "edit  4.26", "edit  no score"]


def edits(first: int, count: int, per_case: int = 1) -> EditedBatch:
    """Blue edits of red sources."""
    cases = EditBatch(
        case_id=[f"case-{first + i}" for i in range(count)],
        task=["bokeh"] * count,
        instruction=["Blur it"] * count,
        requirement=[""] * count,
        sources=[torch.tensor([1.0, 0, 0])[:, None, None].expand(count, 3, 8, 8)],
        size=(8, 8),
    )
    images = torch.tensor([0, 0, 1.0])[:, None, None].expand(count * per_case, 3, 8, 8)
    return EditedBatch(cases, [i // per_case for i in range(count * per_case)], images)


def trainer(folder: Path, round: int = 0, scores: dict[tuple[str, int], float] | None = None) -> Any:
    scorer = SimpleNamespace(scores_by_case=scores or {})
    logger = TensorBoardLogger(str(folder), "run", 0)
    return SimpleNamespace(
        is_global_zero=True, current_epoch=round, global_step=2 * round, logger=logger, callbacks=[scorer]
    )


def written(run: Any, tag: str) -> list[tuple[int, Image.Image]]:
    """Return (step, picture) of what TensorBoard has under ``tag``."""
    run.logger.experiment.flush()
    events = EventAccumulator(run.logger.log_dir)
    events.Reload()
    if tag not in events.Tags()["images"]:
        return []
    return [(e.step, Image.open(io.BytesIO(e.encoded_image_string))) for e in events.Images(tag)]


def one_round(grid: ImageGrid, run: Any, *chunks: EditedBatch) -> None:
    module: Any = None
    grid.on_rollout_start(run, module, 0)
    for chunk in chunks:
        grid.on_rollout_chunk(run, module, chunk, 0)
    grid.on_train_epoch_end(run, module)


def test_a_round_is_shown_as_source_and_first_edit_of_each_case(tmp_path: Path):
    run = trainer(tmp_path, round=3)
    one_round(ImageGrid(every_n_rounds=1, side=8), run, edits(0, 2, per_case=3), edits(2, 1))
    [(step, sheet)] = written(run, "edits/train")
    assert step == 6
    assert area(sheet, RED)[0] == area(sheet, BLUE)[0] == 3 * 64


def test_a_case_cut_into_two_chunks_is_shown_once(tmp_path: Path):
    run = trainer(tmp_path)
    one_round(ImageGrid(every_n_rounds=1, side=8), run, edits(0, 1, per_case=2), edits(0, 1, per_case=2))
    [(_, sheet)] = written(run, "edits/train")
    assert area(sheet, BLUE)[0] == 64


def test_no_more_cases_than_asked_for(tmp_path: Path):
    run = trainer(tmp_path)
    one_round(ImageGrid(every_n_rounds=1, num_cases=2, side=8), run, edits(0, 5))
    [(_, sheet)] = written(run, "edits/train")
    assert area(sheet, BLUE)[0] == 2 * 64


@pytest.mark.parametrize(("every", "rounds"), [(0, []), (1, [0, 1, 2, 3]), (2, [0, 2])])
def test_only_every_nth_round_is_shown(tmp_path: Path, every: int, rounds: list[int]):
    grid = ImageGrid(every_n_rounds=every, side=8)
    run = trainer(tmp_path)
    for round in range(4):
        run.current_epoch, run.global_step = round, 2 * round
        one_round(grid, run, edits(0, 1))
    assert [step // 2 for step, _ in written(run, "edits/train")] == rounds


def test_a_validation_between_does_not_mix_with_the_round(tmp_path: Path):
    """Lightning validates before the end of the epoch in which the round was sampled."""
    run, module = trainer(tmp_path), SimpleNamespace()
    grid: Any = ImageGrid(every_n_rounds=1, side=8)
    grid.on_rollout_chunk(run, module, edits(0, 1), 0)
    grid.on_validation_epoch_start(run, module)
    grid.on_validation_batch_end(run, module, edits(10, 2), None, 0)
    grid.on_validation_epoch_end(run, module)
    grid.on_train_epoch_end(run, module)
    [(_, validated)], [(_, sampled)] = written(run, "edits/validation"), written(run, "edits/train")
    assert (area(validated, BLUE)[0], area(sampled, BLUE)[0]) == (128, 64)


def test_the_score_is_written_above_its_edit(tmp_path: Path):
    sheets = []
    for scores in ({}, {("case-0", 0): 4.25}):
        run = trainer(tmp_path / str(len(scores)), scores=scores)
        one_round(ImageGrid(every_n_rounds=1, side=64), run, edits(0, 1))
        sheets.append(np.asarray(written(run, "edits/train")[0][1]))
    first_row = np.nonzero((sheets[0] == np.array(BLUE)).all(-1))[0].min()
    changed = np.nonzero((sheets[0] != sheets[1]).any(-1))[0]
    assert len(changed) > 0
    assert changed.max() < first_row


def test_without_tensorboard_nothing_is_written(tmp_path: Path):
    run = trainer(tmp_path)
    run.logger = None
    one_round(ImageGrid(every_n_rounds=1), run, edits(0, 1))
    assert list(tmp_path.iterdir()) == []
