import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

import sat_config
from sat_train import fit
from sat_train.cli import main
from sat_train.page.curves import MOST_POINTS, Curve, draw, read_curves
from sat_train.page.html import table

VOID = {"meta", "img"}
CHROMIUM = shutil.which("chromium")


class Page(HTMLParser):
    """Checks that tags match, and collects text, sources and what was asked for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.sources, self.words, self.tags = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


@pytest.fixture
def finished(autoencoder_document):
    """A run that was continued, with demos, a bad file and a sentence that has to be escaped."""
    autoencoder_document["experiment"] = {"description": "<script>alert(1)</script> & more"}
    fit(sat_config.decode({**autoencoder_document, "max_steps": 2}))
    experiment = sat_config.decode({**autoencoder_document, "max_steps": 12, "recover": True})
    return fit(experiment, origins={"seed": "file.toml:1", "max_steps": "max_steps=12"})


def test_page_has_all_of_the_run_and_needs_no_network(finished):
    text = (finished.run_folder / "report.html").read_text()
    found = Page(text)
    assert all(source.startswith("data:") for source in found.sources)
    assert "http" not in text.replace("data:", "")
    assert {"svg", "audio", "img", "details"} <= set(found.tags)
    assert "script" not in found.tags
    for words in (
        "finished",
        "12 of 12",
        "train/loss",
        "val/mrstft",
        "00_kept.reconstruction",
        "max_steps: 2 -> 12  (harmless)",
        "file.toml:1",
        "<script>alert(1)</script> & more",
        "dataset.summary",
        "python",
    ):
        assert words in found.text, words
    size = sum(len(source) for source in found.sources)
    assert len(text) < size + 200_000


def test_failed_run_says_why(line_document):
    line_document["model"]["poisoned"] = [1, 2, 3]
    with pytest.raises(sat_config.UserError):
        fit(sat_config.decode({**line_document, "max_bad_steps": 2}))
    (path,) = Path(line_document["save_dir"]).rglob("report.html")
    found = Page(path.read_text())
    assert "not finite for 2 steps in a row" in found.text
    assert "2 skipped steps" in found.text


def test_runs_are_compared_on_one_page(line_document, tmp_path, capsys):
    first = fit(sat_config.decode(line_document))
    line_document["training"] = {"rate": 0.01}
    second = fit(sat_config.decode({**line_document, "max_steps": 6}))
    out = tmp_path / "both.html"
    folders = [str(first.run_folder), str(second.run_folder)]
    assert main(["report", *folders, "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    found = Page(out.read_text())
    assert "training.rate: 0.1 -> 0.01" in found.text
    assert out.read_text().count("<polyline") >= 4


def test_a_phone_names_the_cells_of_wide_tables_alone():
    wide = table([("a", "<b>", "c", "d")], head=("run", "status", "step", "time"))
    assert '<td data-head="status: ">&lt;b&gt;</td>' in wide
    assert "data-head" not in table([("a", "b")], head=("key", "value"))


def test_page_of_one_run_is_written_anew(line_document, capsys):
    result = fit(sat_config.decode(line_document))
    path = result.run_folder / "report.html"
    path.unlink()
    assert main(["report", str(result.run_folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(path)
    assert path.exists()


def test_report_of_something_else_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert f"{tmp_path} is no run folder" in capsys.readouterr().err


def test_long_curves_are_thinned_out_by_averaging():
    curve = Curve()
    for step in range(100_000):
        curve.add(step, float(step))
    points = curve.finished().points
    assert MOST_POINTS / 2 <= len(points) <= MOST_POINTS
    assert points[0][0] == points[0][1]
    assert points[-1][0] > 99_000


def test_curves_leave_out_what_is_not_finite(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,a,b\n1,1.0,\n2,nan,3.0\n3,inf,4.0\n")
    curves = read_curves(path)
    assert curves["a"].points == [(1.0, 1.0)]
    assert curves["b"].points == [(2.0, 3.0), (3.0, 4.0)]


def test_curve_lies_within_its_picture():
    curve = Curve([(0, 1000.0), (5, 1.0), (10, 0.001)])
    text = draw({"a": curve}, title="<a>")
    assert "&lt;a&gt;" in text
    (points,) = re.findall(r'points="([^"]+)"', text)
    places = [tuple(map(float, pair.split(","))) for pair in points.split()]
    assert places[0] == (56.0, 10.0)
    assert places[-1] == (470.0, 176.0)
    assert math.isclose(places[1][1], 93.0)  # half-way: the scale is logarithmic


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize("width", [360, 1280])
def test_page_fits_phone_and_desktop(finished, tmp_path, width):
    shutil.copy(finished.run_folder / "report.html", tmp_path / "page.html")
    (tmp_path / "outer.html").write_text(
        f"<iframe id=p src=page.html width={width} height=900></iframe><script>"
        "p.onload = () => { const d = p.contentDocument; document.body.innerHTML = JSON.stringify("
        "{wide: d.documentElement.scrollWidth, audio: d.querySelectorAll('audio').length,"
        "pictures: [...d.images].filter(i => i.naturalWidth > 0).length}) }</script>"
    )
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
            "--virtual-time-budget=5000",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=1400,1000",
            "--dump-dom",
            (tmp_path / "outer.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )
    found = json.loads(re.search(r"<body>(\{.*\})", done.stdout)[1])
    assert found["wide"] <= width
    assert (found["audio"], found["pictures"]) == (2, 1)
