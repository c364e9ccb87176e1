"""Reasons go out with the data set: they may say what went wrong, not where a server is or how one gets in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpedit.build.chain import Build
from hpedit.build.masking import masked
from tests.support.build_stages import Twice, numbered_items


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ("http://10.0.0.7:8000/v1/chat/completions: 500 busy", "http://***: 500 busy"),
        ("no score: https://me:pw@vlm.lab.example/v1?key=abc: no answer within 120 s", None),
        ("http://[fe80::1]:8000/v1: Connection refused", None),
        ("HTTPConnectionPool(host='gpu7.lab', port=8000): Max retries", None),
        ("cannot connect to gpu7:8000", "cannot connect to ***"),
        ("lost vlm.lab.example:443 twice", "lost *** twice"),
        ("localhost is down", "*** is down"),
        ("Incorrect API key provided: sk-proj-12ab********34cd.", "Incorrect API key provided: ***."),
        ("sent Authorization: Bearer abcdef", "sent Authorization: Bearer ***"),
    ],
)
def test_addresses_and_keys_are_starred_out(told: str, left: str | None):
    text = masked(told)
    for secret in (
        "10.0.0.7",
        "8000/v1",
        "lab",
        "gpu7",
        "fe80",
        "key=abc",
        "pw@",
        "proj-12ab",
        "34cd",
        "abcdef",
    ):
        assert secret not in text
    assert left in (None, text)
    assert masked(text) == text


@pytest.mark.parametrize(
    "reason",
    [
        "damaged picture: image file is truncated (12 bytes not processed)",
        "the edit holds NaN or infinity",
        "not an answer: expected a digit 0-5, got 'The score is 4: fine'",
        "KeyError: 'no 21'",
        'buckets: expected "4:3", got 16:10 in torch 2.15.0',
    ],
)
def test_other_reasons_stay_as_they_are(reason: str):
    assert masked(reason) == reason


@given(st.from_regex(r"[A-Za-z0-9_.-]{6,40}", fullmatch=True))
def test_the_environments_own_secrets_are_starred_out_whatever_their_shape(secret: str):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MY_JUDGE_KEY", secret)
        assert secret not in masked(f"401: {secret} is not known").replace("***", "")


@dataclass(frozen=True)
class Gossip(Twice):
    """Fails on some items with all it knows."""

    def _one(self, item):
        if int(item.key) % 5 == 0:
            raise RuntimeError("http://10.0.0.7:8000/v1: 401 Unauthorized: hush-hush-1234")
        return [item]


def test_nothing_that_a_build_leaves_behind_tells_a_server_or_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("JUDGE_API_KEY", "hush-hush-1234")
    recipe = Build(tmp_path, (Gossip(),)).run(numbered_items(20)).recipe
    assert recipe.stages[0].reasons == {"RuntimeError: http://***: 401 Unauthorized: ***": 4}
    for file in filter(Path.is_file, tmp_path.rglob("*")):
        assert b"hush-hush" not in file.read_bytes()
        assert b"10.0.0.7" not in file.read_bytes()
