"""How large reports are, how fast they open and how many frames a second they show.

In a headless Chromium: a series of 30 frames with a reference and three methods, and a volume of
160 slices with two. Frames are turned one a screen refresh; the rate is that of frames that were
drawn anew: right after the page has opened, and when all its pictures are decoded. Needs
`pip install playwright` and a chromium: ``python benchmarks/report_page.py``.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from playwright.sync_api import Browser, sync_playwright
from torch import Tensor

from molrecon import Axes
from molrecon.data.sample_image import sample_image
from molrecon.reports.content import Panel, Report, Section
from molrecon.reports.report import write_report
from molrecon.reports.verdict import UNKNOWN

TURN = """async (frames) => {
  const viewer = document.querySelector(".viewer").viewer;
  const next = () => new Promise((done) => requestAnimationFrame(done));
  let drawn = 0;
  const present = viewer.present.bind(viewer);
  viewer.present = () => {
    if (viewer.panels.every((one) => one.key.startsWith(`${viewer.state.plane},`))) drawn += 1;
    present();
  };
  const started = performance.now();
  for (let k = 0; k < frames; k++) {
    viewer.turn(1);
    await next();
  }
  return drawn / ((performance.now() - started) / 1000);
}"""
DECODED = """() => {
  const viewer = document.querySelector(".viewer").viewer;
  return viewer.panels.every((one) => one.planes.known.size === viewer.data.names.length);
}"""
READY = """() => {
  const viewer = document.querySelector(".viewer")?.viewer;
  return viewer && viewer.panels.every((one) => one.key !== undefined);
}"""


def moving(count: int) -> Tensor:
    """Return the sample image, turned and scaled a little from plane to plane."""
    image = sample_image().abs()
    phase = 2 * torch.pi * torch.arange(count) / count
    angle, scale = 0.1 * phase.sin(), 1 + 0.05 * phase.cos()
    rows = torch.stack(
        [
            torch.stack([scale * angle.cos(), -angle.sin(), 0 * angle], -1),
            torch.stack([angle.sin(), scale * angle.cos(), 0 * angle], -1),
        ],
        dim=1,
    )
    shape = [count, 1, *image.shape[-2:]]
    grid = torch.nn.functional.affine_grid(rows, shape, align_corners=False)
    planes = torch.nn.functional.grid_sample(image.expand(shape), grid, align_corners=False)
    return planes[:, 0][None, None]


def report(name: str, count: int, methods: int, axes: str, folder: Path) -> Path:
    """Write a report of noisy copies of a truth."""
    generator = torch.Generator().manual_seed(0)
    truth = moving(count)
    panels = []
    for number in range(methods):
        noise = torch.randn(truth.shape, generator=generator)
        panels.append(Panel(f"method {number}", (truth + 0.01 * noise).abs(), UNKNOWN))
    section = Section(name, tuple(panels), Panel("reference", truth), axes=Axes(axes))
    return write_report(Report(name, (section,)), folder / f"{name}.html")


def measure(browser: Browser, path: Path) -> dict[str, float]:
    """Open a report three times and turn its planes."""
    opened, first, rates, heard = [], [], [], []
    for _ in range(3):
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        started = time.perf_counter()
        page.goto(path.as_uri())
        page.wait_for_function(READY)
        opened.append(time.perf_counter() - started)
        first.append(page.evaluate(TURN, 60))
        page.wait_for_function(DECODED)
        rates.append(page.evaluate(TURN, 60))
        page.close()
    return {
        "opened": statistics.median(opened),
        "first": statistics.median(first),
        "rate": statistics.median(rates),
        "messages": len(heard),
    }


def main() -> None:
    """Print one line for each report."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if found is None:
        sys.exit("there is no chromium; install it, or name it in CHROMIUM")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        paths = [
            report("cine of 30 frames", 30, 3, "tyx", folder),
            report("volume of 160 slices", 160, 2, "zyx", folder),
        ]
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for path in paths:
            figures = measure(browser, path)
            print(
                f"{path.stem}: {path.stat().st_size / 1e6:.1f} MB, opens in "
                f"{figures['opened']:.2f} s, {figures['first']:.0f} frames/s at once, "
                f"{figures['rate']:.0f} when decoded, "
                f"{figures['messages']} console messages"
            )
        browser.close()


if __name__ == "__main__":
    main()
