"""The edits that judge and people disagree about most, as HTML: there a rubric shows what it lacks."""

from __future__ import annotations

import base64
import io
import math
from html import escape

from hpedit.calibration.agreement import AgreementReport
from hpedit.calibration.ratings import RatedEdit
from hpedit.calibration.tables import task_title
from hpedit.cases import Picture
from hpedit.scorers.base import Score

_SIDE = 420  # pixels of the longer side


def largest_disagreements(report: AgreementReport, count: int) -> list[tuple[RatedEdit, Score]]:
    """Return the ``count`` scored edits with the largest |judge - human mean|, largest first."""
    scored = [(e, s) for e, s in zip(report.edits, report.scores, strict=True) if math.isfinite(s.value)]
    return sorted(scored, key=lambda pair: -abs(pair[1].value - pair[0].mean))[:count]


def gallery_html(report: AgreementReport, count: int) -> str:
    """Return a card for each of the largest disagreements, pictures embedded."""
    return "\n".join(_card(edit, score) for edit, score in largest_disagreements(report, count))


def _card(edit: RatedEdit, score: Score) -> str:
    gap = score.value - edit.mean
    raters = " ".join(
        f'<span class="chip" title="{escape(name)}">{value:g}</span>'
        for name, value in zip(edit.raters, edit.ratings, strict=True)
    )
    editor = f" by {escape(edit.editor)}" if edit.editor else ""
    return f"""<article class="card">
<div class="pair"><figure>{_image(edit.case.source, "before")}<figcaption>before</figcaption></figure>
<figure>{_image(edit.candidate.image, "after")}<figcaption>after</figcaption></figure></div>
<p class="instruction">{escape(edit.case.instruction)}</p>
<div class="verdict"><div><b>{edit.mean:.2f}</b> people {raters}</div>
<div><b>{score.value:.2f}</b> judge <span class="gap {"high" if gap > 0 else "low"}">{gap:+.2f}</span></div>
{_digits(score)}</div>
<p class="source">{escape(task_title(edit.task))}{editor} &middot; {escape(edit.name)}</p>
</article>"""


def _digits(score: Score) -> str:
    """Return the judge's distribution over 0-5 as six bars."""
    if score.probabilities is None:
        return ""
    bars = "".join(
        f'<span title="{p:.3f}"><s><i style="height:{100 * p:.0f}%"></i></s><em>{digit}</em></span>'
        for digit, p in enumerate(score.probabilities)
    )
    return f'<div class="digits" aria-label="probability of each score">{bars}</div>'


def _image(picture: Picture, label: str) -> str:
    try:
        image = picture.decode()
    except ValueError as error:
        return f'<div class="broken">{escape(str(error))}</div>'
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return f'<img alt="{label}" loading="lazy" src="{data_url(buffer.getvalue(), "jpeg")}">'


def data_url(data: bytes, kind: str) -> str:
    """Return an encoded picture as a URL that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
