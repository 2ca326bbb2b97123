"""The page in a real browser: no error, all figures there, tables sort, dark is dark, and it fits a phone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.experiments.sample import some_results
from tinygrad_mlp.experiments.report import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIGURES = 7
pytestmark = pytest.mark.xdist_group("browser")  # all in one process, with one folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        words = f"THE REPORT'S PAGE IS NOT TESTED: none of {', '.join(NAMES)} is there; apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(words)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # The sandbox cannot be had as root; nothing but our own file is opened.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("page")
    return write_report(some_results(), folder)[0].as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page on a desktop; whatever it complains about fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on(
        "request",
        lambda request: complaints.append(request.url) if not request.url.startswith(("file:", "data:")) else None,
    )
    page.goto(address)
    yield page
    context.close()
    assert complaints == []


def values(page: Page, table: str, column: int) -> list[str]:
    return page.locator(f"#{table} tbody tr > :nth-child({column})").all_inner_texts()


def head(page: Page, table: str, column: int) -> str:
    return f"#{table} thead th:nth-child({column})"


def test_all_figures_can_be_seen(page: Page):
    figures = page.locator(".picture svg")
    assert figures.count() == FIGURES
    for place in range(FIGURES):
        figure = figures.nth(place)
        assert figure.get_attribute("aria-label")
        box = figure.bounding_box()
        assert box is not None
        assert box["width"] > 300
        assert box["height"] > 100
        shapes = figure.locator("path, use").evaluate_all(
            "shapes => shapes.filter(shape => shape.getBoundingClientRect().width > 0).length"
        )
        assert shapes > 20
    assert page.title() == "Activations and penalties on garments"


def test_a_click_on_a_head_sorts_by_number(page: Page):
    table, column = "table-runs", 7  # validation loss: four decimals
    before = values(page, table, column)
    page.click(head(page, table, column))
    ascending = [float(words) for words in values(page, table, column)]
    assert ascending == sorted(map(float, before)) != [float(words) for words in before]
    assert page.get_attribute(head(page, table, column), "aria-sort") == "ascending"
    page.click(head(page, table, column))
    assert [float(words) for words in values(page, table, column)] == ascending[::-1]
    assert page.get_attribute(head(page, table, column), "aria-sort") == "descending"
    page.click(head(page, table, 2))
    assert page.get_attribute(head(page, table, column), "aria-sort") == "none"
    assert values(page, table, 2) == sorted(values(page, table, 2), key=str.lower)


def test_numbers_of_words_sort_as_numbers_and_dashes_stay_last(page: Page):
    table, column = "table-parts", 6  # 0.0933 ± 0.0011
    page.click(head(page, table, column))
    first = [float(words.split()[0]) for words in values(page, table, column)]
    assert first == sorted(first)
    dead = "table-further", 2
    for expected in ("8.90 ± 0.88 %", "8.90 ± 0.88 %"):
        page.click(head(page, *dead))
        assert values(page, *dead) == [expected, *["–"] * 4]


def test_verdicts_sort_from_good_to_bad_by_keyboard(page: Page):
    page.focus(head(page, "table-claims", 6) + " button")
    page.keyboard.press("Enter")
    verdicts = values(page, "table-claims", 6)
    assert verdicts[0] == "reproduced"
    assert verdicts[-1] == "not reproduced"


def test_a_number_lights_the_rows_of_its_runs(page: Page):
    link = page.locator("#table-arms tbody tr:nth-child(4) td:nth-child(4) a")
    assert link.get_attribute("title") == "from 10 runs"
    link.click()
    lit = page.locator("#table-runs tr.lit")
    assert lit.count() == 10
    assert set(lit.locator("td:nth-child(2)").all_inner_texts()) == {"ReLU"}
    assert lit.first.evaluate("row => row.matches(':target')")
    page.locator("#table-seeds tbody tr:nth-child(1) td:nth-child(3) a").click()
    assert lit.count() == 1


def test_dark_is_dark(page: Page):
    def ground() -> int:
        rgb = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in rgb[4:-1].split(","))

    def ink() -> str:
        return page.locator(".picture svg").first.evaluate("figure => getComputedStyle(figure).color")

    light, light_ink = ground(), ink()
    page.emulate_media(color_scheme="dark")
    assert light > 700
    assert ground() < 120
    assert ink() != light_ink
    blue = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--plot-1').trim()")
    drawn = page.locator(".picture svg [style*='var(--plot-1)']").first
    assert blue == "#4aa8e8"
    assert "74, 168, 232" in drawn.evaluate("shape => getComputedStyle(shape).stroke + getComputedStyle(shape).fill")


def test_a_phone_scrolls_wide_tables_and_not_the_page(page: Page):
    page.set_viewport_size({"width": 390, "height": 844})
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths[0] <= widths[1] <= 390
    box = page.locator("#table-arms .scroll")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    assert page.locator("#table-arms tbody th").first.evaluate("cell => getComputedStyle(cell).position") == "sticky"
    sizes = page.evaluate(
        "[...document.querySelectorAll('p, td, dd')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 12
