"""A headless Chromium, and a report of data whose every pixel is known."""

import os
import shutil

import pytest
import torch
from playwright.sync_api import sync_playwright

from molrecon import Axes
from molrecon.reports.content import Overlay, Panel, Report, Section
from molrecon.reports.report import write_report
from molrecon.reports.verdict import UNKNOWN, Verdict

HEIGHT, WIDTH, FRAMES = 40, 32, 6
PIXEL = 2.5
"""Size of a pixel of the series, in mm."""
HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"


@pytest.fixture(scope="session")
def chromium():
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert found, "there is no chromium; install Debian's package, or name one in CHROMIUM"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def frames():
    """Values between 0 and 1 that tell frame, row and column apart."""
    t, y, x = torch.meshgrid(*map(torch.arange, (FRAMES, HEIGHT, WIDTH)), indexing="ij")
    return ((t / FRAMES + y / HEIGHT + x / WIDTH) / 3)[None, None]


def cine():
    truth = frames()
    share = torch.full_like(truth, 0.5)
    share[..., :10, :] = torch.nan
    panels = (
        Panel("near", 0.9 * truth, Verdict("proved", "Within 1 %."), caption="PSNR 30.00 dB",
              overlays=(Overlay("share", share, "of 1", "Half.", (0.0, 1.0)),)),
        Panel(HOSTILE, 1 - truth, Verdict("conditional", "Within 1 % if it holds.", ("Why.",))),
        Panel("failed", None, Verdict("none", "There is no image."), failure="it diverged"),
    )  # fmt: skip
    return Section(
        HOSTILE, panels, Panel("reference", truth), axes=Axes("tyx"), spacing=(PIXEL, PIXEL)
    )


def slice_alone():
    image = frames()[:, :, 0]
    return Section("slice", (Panel("one", image, UNKNOWN), Panel("two", image**2, UNKNOWN)))


@pytest.fixture(scope="session")
def reports(tmp_path_factory):
    """The paths of two reports: a series of frames with a reference, and one slice without."""
    folder = tmp_path_factory.mktemp("reports")
    made = {"cine": cine(), "slice": slice_alone()}
    return {
        name: write_report(Report(section.title, (section,)), folder / f"{name}.html")
        for name, section in made.items()
    }


@pytest.fixture
def opened(chromium, reports):
    """Open a report in a new page; at the end there must be no message and no dialog."""
    pages, heard = [], []

    def opening(name="cine", **options):
        settings = {"viewport": {"width": 1300, "height": 900}} | options
        page = chromium.new_page(**settings)
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
        page.goto(reports[name].as_uri())
        pages.append(page)
        settle(page)
        return page

    yield opening
    for page in pages:
        page.close()
    assert heard == []


def settle(page):
    """Wait until what is shown is drawn: pictures are decoded, and then two frames pass."""
    page.evaluate(
        """async () => {
          const frame = () => new Promise((done) => requestAnimationFrame(done));
          const viewer = document.querySelector(".viewer").viewer;
          const waiting = () => viewer.panels.some((panel) =>
            panel.shown && !panel.planes.known.get(viewer.state.plane));
          do await frame(); while (waiting());
          await frame();
          await frame();
        }"""
    )
