"""A local VLM gives the same scores however its requests are batched."""

import math
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from hpedit.miniature.random_checkpoints import make_qwen2_5_vl, make_qwen3_vl
from hpedit.scorers.base import ScoreRequest
from hpedit.scorers.hp_scorer import HPScorer
from hpedit.scorers.transformers_backend import TransformersBackend

MakeRequests = Callable[[int], list[ScoreRequest]]


def scorer(folder: Path, batch_size: int = 8, max_pixels: int | None = None) -> HPScorer:
    backend = TransformersBackend(str(folder), "float32", batch_size=batch_size, max_pixels=max_pixels)
    return HPScorer(backend, min_mass=0.0)


@pytest.mark.parametrize("make", [make_qwen2_5_vl, make_qwen3_vl])
def test_batched_equals_one_by_one(
    make: Callable[[Path], Path], tmp_path: Path, make_requests: MakeRequests
) -> None:
    """Texts and pictures differ in size from row to row, so that padding would show."""
    folder = make(tmp_path)
    together, alone = (scorer(folder, size).score(make_requests(8)) for size in (8, 1))
    assert [a.value for a in together] == pytest.approx([b.value for b in alone], abs=2e-6)
    assert [a.mass for a in together] == pytest.approx([b.mass for b in alone], rel=1e-5)
    assert len({round(a.value, 6) for a in together}) == 8


def test_threads_take_turns(judge: Path, make_requests: MakeRequests) -> None:
    shared, requests = scorer(judge), make_requests(6)
    with ThreadPoolExecutor(3) as threads:
        values = list(threads.map(lambda request: shared.score([request])[0].value, requests))
    assert values == [shared.score([request])[0].value for request in requests]


def test_one_impossible_picture_costs_one_score(judge: Path, make_requests: MakeRequests) -> None:
    requests = make_requests(4)
    requests[2] = replace(
        requests[2], edit=torch.zeros(3, 2, 600, dtype=torch.uint8)
    )  # Qwen-VL takes 200 : 1 at most
    scores = scorer(judge).score(requests)
    assert [math.isnan(score.value) for score in scores] == [False, False, True, False]
    assert "aspect ratio" in str(scores[2].failure)


def test_text_is_generated_where_it_is_asked_for(judge: Path, make_requests: MakeRequests) -> None:
    answers = HPScorer(TransformersBackend(str(judge), "float32"), read="generated").score(make_requests(2))
    assert all("not an answer" in str(answer.failure) for answer in answers)  # random weights know no digits


def test_generated_text_is_the_models_likeliest(
    judge: Path, make_requests: MakeRequests, tmp_path: Path
) -> None:
    """A model whose every token is "4" says 4."""
    model = AutoModelForImageTextToText.from_pretrained(judge, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(judge)
    four = processor.tokenizer.encode("4", add_special_tokens=False)[0]
    model.config.tie_word_embeddings = model.config.text_config.tie_word_embeddings = False
    head = torch.nn.Parameter(torch.zeros_like(model.lm_head.weight))
    model.lm_head.weight = head
    backend = TransformersBackend(str(judge), "float32", max_tokens=1)
    vlm = backend._loaded()
    model.register_forward_hook(lambda *args: args[2].logits[..., four].add_(9.0) and None)
    vlm.model = model.eval()
    assert HPScorer(backend, read="generated").score(make_requests(1))[0].value == 4.0
    likely = HPScorer(backend).score(make_requests(1))[0]
    assert likely.argmax == 4
    assert likely.mass is not None
    assert likely.mass > 0.8


def test_large_pictures_are_shrunk_on_request(judge: Path, make_requests: MakeRequests) -> None:
    large = [replace(r, edit=r.edit.repeat(1, 2, 2)) for r in make_requests(2)]
    free, bounded = (scorer(judge, max_pixels=limit).score(large) for limit in (None, 56 * 56))
    assert [a.value for a in free] != [b.value for b in bounded]
    assert not any(math.isnan(score.value) for score in bounded)


def test_weights_are_read_when_checked_and_not_before(tmp_path: Path) -> None:
    backend = TransformersBackend(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"model: cannot load a VLM from .*nowhere"):
        backend.check()


def test_a_checkpoint_without_a_chat_template_is_refused(judge: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(judge, tmp_path / "mute"))
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match="no chat template"):
        TransformersBackend(str(folder), "float32").check()


def test_a_vocabulary_without_single_digits_is_refused(judge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = AutoProcessor.from_pretrained(judge).tokenizer
    tokenizer.add_tokens(["never"])
    encode = type(tokenizer).encode
    monkeypatch.setattr(
        type(tokenizer), "encode", lambda self, text, **k: encode(self, "35" if text == "3" else text, **k)
    )
    with pytest.raises(ValueError, match="six distinct single tokens"):
        TransformersBackend(str(judge), "float32").check()


def test_it_can_be_sent_to_another_process_before_its_first_use(
    judge: Path, make_requests: MakeRequests
) -> None:
    copy = pickle.loads(pickle.dumps(scorer(judge)))
    assert not math.isnan(copy.score(make_requests(1))[0].value)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [({"dtype": "float31"}, "dtype: .*'float31'"), ({"batch_size": 0}, "batch_size")],
)
def test_settings_out_of_range_are_named(settings: dict[str, str | int], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        TransformersBackend("m", **settings)  # type: ignore[arg-type]


def test_the_name_tells_precision_and_picture_size(judge: Path) -> None:
    names = {
        TransformersBackend(str(judge), d, max_pixels=m).identity()
        for d in ("float32", "float16")
        for m in (None, 4096)
    }
    assert len(names) == 4
