"""How well predicted scores agree with human ones. Pure: arrays in, numbers out.

Figures by name, all over edits whose prediction could be had:

plcc, srcc, krcc   Pearson, Spearman (mean ranks), Kendall tau-b
qwk                quadratic-weighted kappa of the scores rounded to the six classes 0-5
mae, bias          mean of |predicted - human| and of predicted - human
exact, within_1    share of edits whose rounded scores are equal, differ by at most 1
pairwise           share of pairs of one case that both rank alike, of all pairs that people tell apart; a pair that
                   the prediction ties counts 1/2
pairwise_1         the same, of pairs that people tell apart by at least 1
within_case        mean over cases of Spearman between a case's candidates: what GRPO consumes

A figure that the data do not define (no spread, no pairs) is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torchmetrics.functional import (
    cohen_kappa,
    kendall_rank_corrcoef,
    mean_absolute_error,
    pearson_corrcoef,
    spearman_corrcoef,
)

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
CLASSES = 6
FIGURES = (
    *("plcc", "srcc", "krcc", "qwk", "mae", "bias"),
    *("exact", "within_1", "pairwise", "pairwise_1", "within_case"),
)


def figures(predicted: ArrayLike, human: ArrayLike, case: Sequence[str]) -> dict[str, float]:
    """Return the module's figures, and the counts behind them.

    Args:
        predicted: (n,) scores in [0, 5], NaN where one could not be had.
        human: (n,) human mean scores in [0, 5].
        case: n case ids; pairs and ranks within a case are those of equal ids.

    Besides FIGURES: n (edits with a prediction), missing (those without), cases, and pairs (that people tell apart).
    Raises ValueError where the lengths differ or a human score is not finite.
    """
    x, y, names = _checked(predicted, human, case)
    had = np.isfinite(x)
    x, y, rows = x[had], y[had], case_rows([name for name, keep in zip(names, had, strict=True) if keep])
    correct, pairs = ordered_pairs(x, y, rows)
    correct_1, pairs_1 = ordered_pairs(x, y, rows, least_gap=1.0)
    rho = case_correlations(x, y, rows)
    return {
        **_correlations(x, y),
        "qwk": _kappa(x, y),
        **_errors(x, y),
        "pairwise": _ratio(correct.sum(), pairs.sum()),
        "pairwise_1": _ratio(correct_1.sum(), pairs_1.sum()),
        "within_case": _mean(rho[np.isfinite(rho)]),
        "n": float(len(x)),
        "missing": float(len(had) - len(x)),
        "cases": float(len(set(rows.tolist()))),
        "pairs": float(pairs.sum()),
    }


def figures_by_task(
    predicted: ArrayLike, human: ArrayLike, case: Sequence[str], task: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return ``figures`` of each task (its name), of all edits at once ("pooled"), and the tasks' mean ("macro")."""
    x, y, names = _checked(predicted, human, case)
    if len(task) != len(names):
        raise ValueError(f"task: expected {len(names)} names, got {len(task)}")
    by_task = {}
    for name in sorted(set(task)):
        rows = [i for i, other in enumerate(task) if other == name]
        by_task[name] = figures(x[rows], y[rows], [names[i] for i in rows])
    return {**by_task, "macro": macro(list(by_task.values())), "pooled": figures(x, y, names)}


def macro(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return each figure's mean over the parts that define it; tasks weigh the same, as in the paper's Table 1."""
    return {name: _mean(np.array([p[name] for p in parts if np.isfinite(p[name])])) for name in FIGURES}


def rounded(scores: Floats) -> Rows:
    """Round scores to the classes 0-5, halves up."""
    return np.clip(np.floor(scores + 0.5), 0, CLASSES - 1).astype(np.int64)


def case_rows(case: Sequence[str]) -> Rows:
    """Number the cases from 0 in order of first appearance; return the (n,) numbers."""
    number: dict[str, int] = {}
    return np.array([number.setdefault(name, len(number)) for name in case], dtype=np.int64)


def ordered_pairs(x: Floats, y: Floats, rows: Rows, least_gap: float = 0.0) -> tuple[Floats, Floats]:
    """Return, per case, how many pairs ``x`` orders as ``y`` does (a tie of x: 1/2), and how many there are.

    A pair is two edits of one case whose ``y`` differ, and by at least ``least_gap``.
    """
    count = int(rows.max(initial=-1)) + 1
    correct, pairs = np.zeros(count), np.zeros(count)
    for case, members in enumerate(_members(rows, count)):
        i, j = np.triu_indices(len(members), k=1)
        gap = y[members][i] - y[members][j]
        told = (gap != 0) & (np.abs(gap) >= least_gap - 1e-9)  # means of thirds are not exact
        alike = np.sign(x[members][i] - x[members][j])[told] * np.sign(gap[told])
        correct[case], pairs[case] = (1 + alike).sum() / 2, told.sum()
    return correct, pairs


def case_correlations(x: Floats, y: Floats, rows: Rows) -> Floats:
    """Return Spearman between x and y per case.

    NaN where a case has fewer than two edits or people tell none apart; 0 where only x ties them all, since a judge
    that sees no difference where people do has ordered nothing.
    """
    count = int(rows.max(initial=-1)) + 1
    rho = np.full(count, np.nan)
    for case, members in enumerate(_members(rows, count)):
        if len(members) > 1 and np.ptp(y[members]) > 0:
            rho[case] = _spearman(x[members], y[members]) if np.ptp(x[members]) > 0 else 0.0
    return rho


def _checked(
    predicted: ArrayLike, human: ArrayLike, case: Sequence[str]
) -> tuple[Floats, Floats, Sequence[str]]:
    x, y = np.asarray(predicted, np.float64), np.asarray(human, np.float64)
    if x.ndim != 1 or x.shape != y.shape or len(case) != len(x):
        raise ValueError(
            f"figures: expected predicted, human and case of one length, got {x.shape}, {y.shape} and {len(case)}"
        )
    if not np.isfinite(y).all():
        raise ValueError("human: expected finite scores, got NaN or infinity")
    return x, y, case


def _members(rows: Rows, count: int) -> list[Rows]:
    order = np.argsort(rows, kind="stable")
    return np.split(order, np.searchsorted(rows[order], np.arange(1, count))) if count else []


def _correlations(x: Floats, y: Floats) -> dict[str, float]:
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return {"plcc": np.nan, "srcc": np.nan, "krcc": np.nan}
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    return {
        "plcc": float(pearson_corrcoef(a, b)),
        "srcc": float(spearman_corrcoef(a, b)),
        "krcc": float(kendall_rank_corrcoef(a, b, variant="b")),  # type: ignore[arg-type]  # no p-value is asked for
    }


def _spearman(x: Floats, y: Floats) -> float:
    return float(spearman_corrcoef(torch.from_numpy(x), torch.from_numpy(y)))


def _kappa(x: Floats, y: Floats) -> float:
    a, b = rounded(x), rounded(y)
    if not len(a) or np.ptp(np.concatenate([a, b])) == 0:
        return np.nan
    kappa = cohen_kappa(
        torch.from_numpy(a), torch.from_numpy(b), "multiclass", num_classes=CLASSES, weights="quadratic"
    )
    return float(kappa)


def _errors(x: Floats, y: Floats) -> dict[str, float]:
    if not len(x):
        return dict.fromkeys(("mae", "bias", "exact", "within_1"), np.nan)
    apart = np.abs(rounded(x) - rounded(y))
    return {
        "mae": float(mean_absolute_error(torch.from_numpy(x), torch.from_numpy(y))),
        "bias": _mean(x - y),
        "exact": _mean(apart == 0),
        "within_1": _mean(apart <= 1),
    }


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else np.nan


def _mean(values: NDArray) -> float:
    return float(values.mean()) if len(values) else np.nan
