"""The report as a file, as an HTML parser sees it and as a browser shows it."""

from __future__ import annotations

import base64
import itertools
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import numpy.typing as npt
import pytest

from predis_core.plugin import Distribution, Metric, Sample, Snapshot
from predis_lab import demo, peers
from predis_lab.contenders import Setting
from predis_lab.curves import Curve
from predis_lab.demo import Performance, Plan, PluginStatus, Result
from predis_lab.expected import Excess
from predis_lab.html import Page, Prose, Section, theme
from predis_lab.html.demo_page import COLUMNS, demo_page
from predis_lab.html.measured import duration
from predis_lab.html.replay_page import replay_page
from predis_lab.replaying import Point, replay
from predis_lab.runs import Report
from predis_lab.sizes import Size
from tests.support.counterparts import counterpart

PLAN = Plan(("lru", "<b>"), 20.0, 4, 0.001, Setting("<my>.toml", {}))
MACHINE = {
    "processor": "A <processor>",
    "cores": 2,
    "system": "Linux",
    "python": "3.11",
    "versions": {"predis-core": "0.1.0"},
}
WHEN = datetime(2030, 1, 2, 3, 4, tzinfo=UTC)
# The last is what a hostile name looks like in HTML, in SVG, and to a plotting library.
CACHES = ("predis lru", "predis <b>", 'peer $x_1$ & "LRU"')


def result(workload: str, cache: str, number: int) -> Result:
    return Result(
        workload=workload,
        cache=cache,
        requests=100_000 + number,
        hits=50_000 + 1_000 * number,
        loaded=40_000 + number,
        loads_saved=None if cache.startswith("peer") else 7_000 + number,
        ahead=800 if cache == "predis <b>" else None,
        used=200 if cache == "predis <b>" else None,
        seconds=1.0 if cache.startswith("peer") else 0.5,
        latencies=(0.001, 0.01 + number / 1e3, 0.1),
        wrong=0,
        cut_short=False,
        course=((50_000, 20_000), (100_000 + number, 50_000 + 1_000 * number)),
    )


RESULTS = [
    result(workload, cache, 10 * at + index)
    for index, cache in enumerate(CACHES)
    for at, workload in enumerate(("training", "market", "game"))
]


HITS = Metric("predis.cache.hits", "counter", "keys", "Keys <found>.")
MEMORY = Metric("predis.cache.memory", "gauge", "bytes", "Memory.")
TOOK = Metric("predis.took", "histogram", "seconds", "Time.", ("cache", "operation"))
SIZES = Metric("predis.sizes", "histogram", "keys", "Sizes.")
RATIO = Metric("predis.ratio", "gauge", "1", "Share.", ("cache", "of"))
LATE = Metric("predis.late", "gauge", "seconds", "Delay.")
INFO = Metric("predis.cache.info", "gauge", "1", "How it is built.", ("cache", "policy"))


def snapshot(cache: str, hits: int) -> Snapshot:
    return Snapshot(
        cache,
        0,
        (
            Sample(HITS, (cache,), hits),
            Sample(MEMORY, (cache,), 3 << 19),
            Sample(TOOK, (cache, "get"), Distribution((1.0,), (3, 1), 0.01)),
            Sample(TOOK, (cache, "set"), Distribution((1.0,), (0, 0), 0.0)),
            Sample(SIZES, (cache,), Distribution((1.0,), (1, 1), 5.0)),
            Sample(RATIO, (cache, "<b>"), 0.123456),
            Sample(INFO, (cache, "<lru>"), 1),
        ),
    )


SNAPSHOTS = (
    snapshot("demo-lru", 12_345),
    Snapshot("demo-<b>", 0, (Sample(HITS, ("demo-<b>",), 7), Sample(LATE, ("demo-<b>",), 0.25))),
)
PERFORMANCE = Performance(
    tuple(RESULTS), (PluginStatus("alerts", "healthy", "<i>2</i> rules"),), SNAPSHOTS
)


def make_page() -> Page:
    return demo_page(PLAN, PERFORMANCE, MACHINE, WHEN)


PAGE = make_page()


class Seen(HTMLParser):
    """What a parser finds in a page."""

    VOID = frozenset({"meta", "br", "hr", "link", "img", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))
        if self.open and self.open[-1] in ("th", "td"):
            self.rows[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text_of(self, tag: str) -> str:
        return "".join(text for inside, text in self.texts if inside == tag)

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


def words(page: Page | str) -> str:
    seen = Seen(page if isinstance(page, str) else page.render())
    return " ".join(" ".join(text for _, text in seen.texts).split())


@pytest.fixture(scope="module")
def html() -> str:
    return PAGE.render()


@pytest.fixture(scope="module")
def seen(html: str) -> Seen:
    return Seen(html)


# ---- one file ------------------------------------------------------------------------------------


def test_every_element_is_closed(seen: Seen) -> None:
    assert seen.open == []
    assert {"html", "head", "body", "main", "svg", "table"} <= {tag for tag, _ in seen.elements}


def test_nothing_refers_outside_of_the_file(html: str, seen: Seen) -> None:
    assert "://" not in html
    assert "@import" not in html
    tags = {tag for tag, _ in seen.elements}
    assert not tags & {"link", "img", "image", "iframe", "object", "embed", "base", "form"}
    for _, attributes in seen.elements:
        assert not attributes.keys() & {"src", "srcset", "action", "xlink:href"}
        if "href" in attributes:
            assert attributes["href"].removeprefix("#") in seen.ids
            assert attributes["href"].startswith("#")
    references = re.findall(r"url\(([^)]*)\)", html)
    assert references
    assert {reference.removeprefix("#") for reference in references} <= set(seen.ids)
    assert all(reference.startswith("#") for reference in references)


def test_the_policy_forbids_what_the_page_does_not_hold(seen: Seen) -> None:
    (policy,) = (
        meta["content"]
        for meta in seen.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    digest = base64.b64encode(sha256(seen.text_of("script").encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert len(seen.all("script")) == 1


def test_ids_are_unique(seen: Seen) -> None:
    assert len(seen.ids) == len(set(seen.ids))
    assert len(seen.all("svg")) == 5


def test_equal_runs_make_equal_pages_of_a_modest_size(html: str) -> None:
    assert make_page().render() == html
    assert len(html.encode()) < 500_000


# ---- what it says --------------------------------------------------------------------------------


def test_each_result_is_in_the_table(html: str, seen: Seen) -> None:
    head = seen.rows.index([column.name for column in COLUMNS])
    wanted = [
        [
            r.workload,
            r.cache,
            f"{r.requests:,}",
            f"{r.hits / r.requests:.1%}",
            f"{r.requests / r.seconds:,.0f}",
            f"{r.loaded:,}",
            "–" if r.loads_saved is None else f"{r.loads_saved:,}",
            "–" if r.ahead is None else "800 (25%)",
            "1.00",
            f"{1e3 * r.latencies[1]:.2f}",
            "100.00",
            "0",
        ]
        for workload in ("training", "market", "game")
        for r in RESULTS
        if r.workload == workload
    ]
    assert seen.rows[head + 1 : head + 1 + len(wanted)] == wanted
    best = [
        f"{max(r.hit_ratio for r in RESULTS if r.workload == workload):.1%}"
        for workload in ("training", "market", "game")
    ]
    assert re.findall(r'class="number marked">([^<]*)<', html) == best


def test_names_are_text_wherever_they_are(seen: Seen) -> None:
    assert not {tag for tag, _ in seen.elements} & {"b", "i", "processor"}
    for cache in CACHES:
        assert cache in [text for tag, text in seen.texts if tag == "text"]
        assert cache in [text for tag, text in seen.texts if tag == "th"]
        assert any(cache in svg["aria-label"] for svg in seen.all("svg"))
    assert "A <processor>, 2 cores" in seen.text_of("dd")
    assert "<my>.toml" in seen.text_of("dd")
    assert ["alerts", "healthy", "<i>2</i> rules"] in seen.rows
    assert "Keys <found>." in seen.text_of("dd")


def test_headline_numbers(seen: Seen) -> None:
    shown = seen.text_of("strong")
    assert f"{sum(r.requests for r in RESULTS):,}" in shown
    saved, wanted = demo.single_flight(RESULTS)
    assert f"{saved / wanted:.1%}" in shown
    best = max(r.hit_ratio for r in RESULTS if r.workload == "game" and r.loads_saved is not None)
    assert f"{best:.1%}" in shown
    assert "2.00 to 2.00×" in shown


def test_the_run_and_its_checks_are_told(html: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = words(html)
    for said in (
        "13,333 rows of 32 float32",
        "1 ms per fetch",
        "2030-01-02 03:04 UTC",
        "none was wrong",
    ):
        assert said in text
    assert f"All {sum(r.requests for r in RESULTS):,} rows were checked" in text
    assert 'class="bad"' not in html
    monkeypatch.setattr(peers, "absent", lambda: ["cachebox"])
    bad = [replace(RESULTS[0], wrong=3, cut_short=True), *RESULTS[1:]]
    page = demo_page(PLAN, Performance(tuple(bad)), MACHINE, WHEN).render()
    assert 'class="bad"' in page
    assert "3 were not what the store holds" in words(page)
    assert "Time ran out for training through predis lru" in words(page)
    assert "predis lru (cut short)" in words(page)
    assert "Not installed, so not compared: cachebox" in words(page)


def test_plugins_and_metrics_have_sections_only_if_there_are_any() -> None:
    titles = [section.title for section in PAGE.sections]
    assert titles[-3:] == ["Plugins", "Metrics", "Verification"]
    page = demo_page(PLAN, Performance(tuple(RESULTS)), MACHINE, WHEN)
    bare = [section.title for section in page.sections]
    assert bare == [title for title in titles if title not in ("Plugins", "Metrics")]


def test_metrics_have_a_row_each_and_a_column_per_cache(seen: Seen) -> None:
    head = seen.rows.index(["metric", "of", "demo-lru", "demo-<b>"])
    assert seen.rows[head + 1 :] == [
        ["predis.cache.hits", "", "12,345", "7"],
        ["predis.cache.memory", "", "1.5 MiB", "–"],
        ["predis.late", "", "–", "250 ms"],
        ["predis.ratio", "of <b>", "0.1235", "–"],
        ["predis.sizes", "", "2 × 2.5", "–"],
        ["predis.took", "operation get", "4 × 2.5 ms", "–"],
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ns"),
        (4.2e-8, "42 ns"),
        (1.5e-6, "1.5 µs"),
        (9.996e-4, "1,000 µs"),
        (0.00125, "1.25 ms"),
        (0.1234, "123 ms"),
        (59.96, "60 s"),
        (4_000.0, "4,000 s"),
    ],
)
def test_durations_have_a_unit_that_suits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_run_without_peers() -> None:
    ours = tuple(r for r in RESULTS if r.loads_saved is not None)
    text = words(demo_page(PLAN, Performance(ours), MACHINE, WHEN))
    assert "best peer" not in text
    assert "over the fastest peer" not in text


# ---- for everyone --------------------------------------------------------------------------------


def test_figures_and_tables_are_described(seen: Seen) -> None:
    assert all(svg["role"] == "img" for svg in seen.all("svg"))
    ratios = next(svg["aria-label"] for svg in seen.all("svg") if "hit ratio" in svg["aria-label"])
    assert all(f"{r.hit_ratio:.1%}" in ratios for r in RESULTS)
    assert len(seen.all("figcaption")) == len(seen.all("figure")) == len(seen.all("svg"))
    assert {header["scope"] for header in seen.all("th")} == {"col", "row"}
    assert len(seen.all("caption")) == len(seen.all("table")) == 3
    assert seen.all("html")[0]["lang"] == "en"
    labels = [a["aria-labelledby"] for _, a in seen.elements if "aria-labelledby" in a]
    assert set(labels) <= set(seen.ids)


def linear(color: str) -> npt.NDArray[np.float64]:
    channels = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""
    dark, light = sorted(float(linear(color) @ (0.2126, 0.7152, 0.0722)) for color in (one, other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colors", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
def test_contrast_in_both_themes(colors: dict[str, str]) -> None:
    for ground in ("page", "panel"):
        for text in ("ink", "muted", "accent", "bad"):
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    for number in range(theme.SERIES):
        assert contrast(colors[f"series-{number}"], colors["panel"]) >= 3.0, number


# Machado, Oliveira and Fernandes, 2009: what is left of linear RGB without one kind of cone.
DEFICIENCIES = {
    "none": np.eye(3),
    "protan": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deutan": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritan": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(rgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """CIE L*a*b* of linear RGB, white point D65."""
    relative = XYZ @ np.clip(rgb, 0, 1) / (0.9505, 1.0, 1.089)
    x, y, z = np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("colors", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
def test_series_can_be_told_apart(colors: dict[str, str], deficiency: str) -> None:
    seen_as = [
        lab(DEFICIENCIES[deficiency] @ linear(colors[f"series-{number}"]))
        for number in range(theme.SERIES)
    ]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen_as, 2)) > 18


def test_a_cache_has_one_look_and_no_plot_a_colour_of_its_own(html: str) -> None:
    plots = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    for plot in plots:
        used = set(re.findall(r"var\(--(series-\d)\)", plot))
        assert used == {f"series-{number}" for number in range(len(CACHES))}
        assert not re.search(r"#[0-9a-f]{6}\b", plot)
        assert "DejaVu" not in plot
    looks = [theme.style(number) for number in range(3 * theme.SERIES)]
    assert len({(look.color, look.line, look.hatch) for look in looks}) == len(looks)


def test_both_themes_define_what_the_page_uses(html: str) -> None:
    assert theme.LIGHT.keys() == theme.DARK.keys()
    assert set(re.findall(r"var\(--([\w-]+)\)", html)) <= theme.LIGHT.keys()
    for colors in (theme.LIGHT, theme.DARK):
        assert "".join(f"--{name}: {value}; " for name, value in colors.items()) in html


# ---- other pages ---------------------------------------------------------------------------------


def test_sections_of_one_title_have_ids_of_their_own() -> None:
    sections = (Section("A & B", (Prose(("<x>",)),)),) * 2
    seen = Seen(Page("T", "L", sections).render())
    assert [name for name in seen.ids if name.startswith("section")] == [
        "section-1-a-b",
        "section-2-a-b",
    ]
    assert seen.text_of("p").count("<x>") == 2


POINTS = [
    Point(trace, policy, Size.parse(size), (Report(policy, size, 0, 1_000, hits, 0, 0.1),))
    for trace in ("first", "<b>")
    for size, hits in ((100, 400), (600, 700))
    for policy, hits in (("lru", hits), ("sieve", hits + 50))
]


def test_the_page_of_a_replay() -> None:
    excesses = [Excess("first", "600", 600, "lru", 0.29, 0.3)]
    seen = Seen(replay_page(POINTS, excesses).render())
    assert ["first", "100", "100", "1,000", "0.6000", "0.5500"] in seen.rows
    assert ["<b>", "600", "600", "1,000", "0.3000", "0.2500"] in seen.rows
    assert ["lru", "+1.00", "+1.00"] in seen.rows
    assert ["first", "lru", "600", "600", "0.2900", "0.3000", "+1.00"] in seen.rows
    assert seen.text_of("td").count("0.2500") == 2
    assert [cell["class"] for cell in seen.all("td")].count("number marked") == 4
    assert len(seen.all("svg")) == 1
    assert "None of these traces" in words(replay_page(POINTS, []))
    assert "expected" not in words(replay_page(POINTS))


def test_the_page_of_a_replay_has_the_curves_of_every_size() -> None:
    keys = np.arange(900) % 70
    curves = []
    for trace in ("first", "<b>"):
        curve = replay(keys, 40, "lru", curve=True).curve
        assert curve is not None
        assert curve.live is not None
        curves.append(Curve(trace, curve, curve.live))
    seen = Seen(replay_page(POINTS, curves=curves).render())
    assert len(seen.all("svg")) == 2
    assert ["70", "0.0778", "0.0000"] in [row[:3] for row in seen.rows]
    assert ["1", "1.0000", "0.0000", "–"] in seen.rows
    assert "Estimated" not in words(replay_page(POINTS, curves=curves))


# ---- as it is shipped and shown ------------------------------------------------------------------


def test_the_wheel_holds_what_is_no_python(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=Path(__file__).parents[1], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("page.html.j2", "page.css", "page.js"):
        assert f"predis_lab/html/templates/{name}" in names
    assert "predis_lab/demo.toml" in names


class Browser:
    """Chromium without a window."""

    def __init__(self, folder: Path) -> None:
        self._program = counterpart("chromium")
        self._folder = folder

    def run(self, page: Path, *options: str, dark: bool) -> Any:
        settings = ["--blink-settings=preferredColorScheme=0"] if dark else []
        command = [
            self._program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            f"--user-data-dir={self._folder / 'profile'}",
            *settings,
            *options,
            page.as_uri(),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_shows_it(tmp_path: Path, dark: bool) -> None:
    browser = Browser(tmp_path)
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    PAGE.write(page)
    told = browser.run(page, "--dump-dom", dark=dark)
    assert "Content Security Policy" not in told.stderr
    # The script ran: the button is there and offers the other theme.
    assert f'<button id="theme" type="button">{"Light" if dark else "Dark"} theme<' in told.stdout
    browser.run(page, f"--screenshot={picture}", "--window-size=900,2000", dark=dark)
    pixels = np.rint(255 * matplotlib.image.imread(picture)[..., :3]).astype(int)
    colors = theme.DARK if dark else theme.LIGHT
    shown = {"#" + "".join(f"{channel:02x}" for channel in pixel) for pixel in
             np.unique(pixels.reshape(-1, 3), axis=0)}  # fmt: skip
    assert "#" + "".join(f"{channel:02x}" for channel in pixels[0, 0]) == colors["page"]
    assert {colors["series-0"], colors["series-1"], colors["series-2"]} <= shown
