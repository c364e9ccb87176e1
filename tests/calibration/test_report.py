"""The report as a reader finds it: complete, self-contained, and safe to open."""

import html.parser
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from hpedit.calibration.agreement import agreement
from hpedit.calibration.gallery import largest_disagreements
from hpedit.calibration.judges import stored_judges, stored_scores
from hpedit.calibration.plots import scatter_png
from hpedit.calibration.ratings import rated_edits
from hpedit.calibration.report import markdown_table, write_report
from hpedit.calibration.tables import Table, comparison
from hpedit.pictures import Picture
from hpedit.scorers.base import Score
from tests.support.rated_cases import rated_cases


def report_of(cases, name="stub | 1"):
    edits = rated_edits(cases)
    return agreement(edits, stored_scores(edits, stored_judges(edits)[0]), name, resamples=50)


class Reader(html.parser.HTMLParser):
    """Collects what a page refers to and shows."""

    def __init__(self):
        super().__init__()
        self.sources, self.tags, self.shown = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.shown.append(data)


def read(file):
    reader = Reader()
    reader.feed(file.read_text(encoding="utf-8"))
    return reader


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    cases = rated_cases(24, 2)
    hostile = '<script>alert(1)</script> & make it "blue"'
    cases[0] = replace(cases[0], instruction=hostile)
    report = report_of(cases)
    folder = tmp_path_factory.mktemp("report")
    write_report([report], folder, "48 edits", gallery=48)
    return report, folder, hostile


def test_the_page_needs_nothing_beside_it(written):
    _, folder, _ = written
    page = read(folder / "agreement.html")
    assert page.sources
    assert all(source.startswith("data:image/") for source in page.sources)
    assert "link" not in page.tags


def test_an_instruction_is_shown_and_not_run(written):
    _, folder, hostile = written
    page = read(folder / "agreement.html")
    assert "script" not in page.tags
    assert hostile in "".join(page.shown)


def test_the_figures_of_the_report_are_on_the_page_and_in_the_markdown(written):
    report, folder, _ = written
    text = (folder / "agreement.md").read_text()
    for group in report.tasks.values():
        assert f"{group.figures['plcc'].value:.3f}" in text
        assert f"{group.figures['plcc'].value:.3f}" in "".join(read(folder / "agreement.html").shown)
    for picture in re.findall(r"\]\((\S+?\.png)\)", text):
        assert (folder / picture).is_file()


def test_json_has_every_figure_with_its_interval(written):
    report, folder, _ = written
    (found,) = json.loads((folder / "agreement.json").read_text())
    bokeh = found["tasks"]["bokeh"]["figures"]["srcc"]
    assert bokeh == pytest.approx(vars(report.tasks["bokeh"].figures["srcc"]))
    assert found["pooled"]["ceiling"]["raters"] == 3


def test_the_gallery_starts_with_the_largest_disagreement(written):
    report, _, _ = written
    gaps = [abs(score.value - edit.mean) for edit, score in largest_disagreements(report, 5)]
    every = [abs(s.value - e.mean) for e, s in zip(report.edits, report.scores, strict=True)]
    assert gaps == sorted(every, reverse=True)[:5]


def test_a_damaged_picture_costs_its_place_in_the_gallery_only(tmp_path):
    cases = rated_cases(6, 2)
    cases[1] = replace(cases[1], source=Picture(Path("gone.png")))
    write_report([report_of(cases)], tmp_path, "12 edits", gallery=12)
    assert "missing image: gone.png" in "".join(read(tmp_path / "agreement.html").shown)


@pytest.mark.parametrize(
    "tasks", [("bokeh",), ("bokeh", "relighting", "color_change", "style_transfer", "object_removal")]
)
def test_the_scatter_plot_has_a_panel_for_every_task(tasks):
    image = Image.open(io.BytesIO(scatter_png(report_of(rated_cases(10, 2, tasks=tasks)))))
    columns = min(4, len(tasks))
    assert image.width == pytest.approx(150 * (2.9 * columns + 0.5), abs=2)
    assert image.height == pytest.approx(150 * (2.95 * -(-len(tasks) // 4) + 0.5), abs=2)


def test_a_bare_number_without_raters_or_spread_is_reported_as_it_is(tmp_path):
    edits = rated_edits(rated_cases(6, 1, 1))
    report = agreement(edits, [Score(3.0)] * 6, "constant", resamples=20)
    write_report([report], tmp_path, "6 edits")
    text = (tmp_path / "agreement.md").read_text()
    assert "n/a" in text
    assert "### People among themselves" not in text
    assert json.loads((tmp_path / "agreement.json").read_text())[0]["macro"]["plcc"]["value"] is None


def test_judges_are_compared_in_one_table():
    reports = [report_of(rated_cases(12, 2, noise=n), f"judge {n}") for n in (0.2, 0.9)]
    good, poor = comparison(reports).rows
    assert (good[0], poor[0]) == ("judge 0.2", "judge 0.9")
    assert reports[0].macro["plcc"].value > reports[1].macro["plcc"].value


def test_a_bar_in_a_name_breaks_no_table():
    text = markdown_table(Table("T", ("a", "b"), [("x|y", 3)]))
    assert "x\\|y" in text.splitlines()[-1]
