"""The miniature's data sets are ordinary records."""

import numpy as np

from hpedit.miniature.data import write_data, write_mixture
from hpedit.miniature.drawing import to_uint8
from hpedit.miniature.examples import HELD_OUT, example
from hpedit.records import read_cases
from hpedit.tasks import TASKS


def pixels(picture) -> np.ndarray:
    return np.asarray(picture.decode()).transpose(2, 0, 1)


def test_cases_carry_the_exact_edit_and_balance_the_tasks(tmp_path):
    train, held_out = (read_cases(str(path)) for path in write_data(tmp_path, train=16, held_out=8))
    assert len(train) == 16
    assert [case.task for case in held_out] == list(TASKS)
    for n, case in enumerate(held_out):
        drawn = example(HELD_OUT + n)
        assert case.instruction == drawn.instruction
        assert np.array_equal(pixels(case.source), to_uint8(drawn.source))
        assert np.array_equal(pixels(case.target), to_uint8(drawn.target))


def test_train_and_held_out_share_no_case(tmp_path):
    train, held_out = (read_cases(str(path)) for path in write_data(tmp_path, train=64, held_out=64))
    seen = {(c.instruction, c.source.read()) for c in train}
    assert not seen & {(c.instruction, c.source.read()) for c in held_out}


def test_about_half_of_the_mixture_is_exact(tmp_path):
    cases = read_cases(str(write_mixture(tmp_path / "mixture.parquet", 160)))
    exact = [np.array_equal(pixels(c.target), to_uint8(example(n).target)) for n, c in enumerate(cases)]
    assert 0.4 < np.mean(exact) < 0.72


def test_the_same_call_writes_the_same_file(tmp_path):
    one, two = (write_mixture(tmp_path / name, 16) for name in ("a.parquet", "b.parquet"))
    assert one.read_bytes() == two.read_bytes()
