"""Every control of a report is used as a person would, and its effect is looked at."""

import pytest
from axe_core_python.sync_playwright import Axe

from .conftest import FRAMES, HEIGHT, PIXEL, WIDTH, frames, settle

IMAGES = ".grid canvas.image"
ERRORS = ".grid canvas.error"


def grey(page, place, across=0.5, down=0.5, kind=IMAGES):
    """The colour at a place of a canvas, relative to its size."""
    return page.evaluate(
        """([kind, place, across, down]) => {
          const canvas = document.querySelectorAll(kind)[place];
          const at = [across * canvas.width, down * canvas.height].map(Math.floor);
          const copy = new OffscreenCanvas(1, 1).getContext("2d");
          copy.drawImage(canvas, ...at, 1, 1, 0, 0, 1, 1);
          return [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3);
        }""",
        [kind, place, across, down],
    )


def picture(page, place, kind=IMAGES):
    """The whole of a canvas."""
    return page.evaluate(
        "([kind, place]) => document.querySelectorAll(kind)[place].toDataURL()", [kind, place]
    )


def slide(page, name, value):
    """Move a slider, as the mouse does."""
    page.locator(f"[name={name}]").evaluate(
        """(slider, value) => {
          slider.value = value;
          slider.dispatchEvent(new Event("input", { bubbles: true }));
        }""",
        str(value),
    )
    settle(page)


def click(page, name):
    page.locator(f"[name={name}]").click()
    settle(page)


def press(page, *keys):
    page.locator(".stage").focus()
    for key in keys:
        page.keyboard.press(key)
    settle(page)


def text(page, name):
    return page.locator(f"output[name={name}]").inner_text()


def state(page):
    return page.evaluate("({ ...document.querySelector('.viewer').viewer.state })")


def value(frame, row, column):
    return float(frames()[0, 0, frame, row, column])


def test_what_is_shown(opened):
    page = opened()
    assert page.locator(".grid figure").count() == 4
    assert page.locator(IMAGES).count() == 3
    assert page.locator(ERRORS).count() == 2
    assert page.locator(".failure").inner_text() == "No image: it diverged"
    assert page.locator("article.proved h3").inner_text() == "near Proved"
    assert page.locator(".keys, .controls, .stage").count() == 3
    labels = page.locator(IMAGES).evaluate_all("all => all.map((one) => one.ariaLabel)")
    assert labels[1] == "near, frame 0"


def test_pixels_are_the_values(opened):
    page = opened()
    white = state(page)["white"]
    for row, column in ((5, 3), (20, 16), (35, 30)):
        across, down = (column + 0.5) / WIDTH, (row + 0.5) / HEIGHT
        expected = 255 * min(1, value(0, row, column) / white)
        shown = grey(page, 0, across, down)
        assert max(shown) == min(shown)
        assert abs(shown[0] - expected) <= 6  # drawn larger, with smoothing


def test_slices_by_slider_buttons_wheel_and_keys(opened):
    page = opened()
    assert text(page, "place") == f"frame 0 (1 of {FRAMES})"
    first = [picture(page, n) for n in range(3)]
    slide(page, "plane", 3)
    assert text(page, "place") == f"frame 3 (4 of {FRAMES})"
    assert all(picture(page, n) != one for n, one in enumerate(first))
    click(page, "after")
    assert state(page)["plane"] == 4
    click(page, "before")
    assert state(page)["plane"] == 3
    page.locator(IMAGES).first.hover()
    page.mouse.wheel(0, 100)
    settle(page)
    assert state(page)["plane"] == 4
    page.mouse.wheel(0, -100)
    settle(page)
    assert state(page)["plane"] == 3
    for key, plane in [
        ("ArrowDown", 4), ("ArrowUp", 3), ("End", FRAMES - 1), ("ArrowDown", 0), ("PageDown", 5),
        ("PageUp", 0), ("End", 5), ("Home", 0),
    ]:  # fmt: skip
        press(page, key)
        assert state(page)["plane"] == plane, key
    page.mouse.move(0, 0)
    settle(page)
    assert [picture(page, n) for n in range(3)] == first


def test_cine_plays_and_stops(opened):
    page = opened()
    page.locator("[name=rate]").fill("50")
    page.locator("[name=rate]").press("Enter")
    click(page, "play")
    assert page.locator("[name=play]").get_attribute("aria-pressed") == "true"
    seen = {state(page)["plane"] for _ in range(40) if page.wait_for_timeout(15) is None}
    assert len(seen) >= FRAMES - 1
    click(page, "play")
    still = state(page)["plane"]
    page.wait_for_timeout(150)
    assert state(page)["plane"] == still
    assert page.locator("[name=play]").inner_text() == "Play"
    press(page, " ")
    assert page.locator("[name=play]").inner_text() == "Pause"
    press(page, " ")
    assert page.locator("[name=play]").inner_text() == "Play"


def test_the_grey_window(opened):
    page = opened()
    before = grey(page, 0)[0]
    slide(page, "white", 300)
    assert grey(page, 0)[0] > before
    top = page.evaluate("document.querySelector('.viewer').viewer.data.top")
    assert state(page)["white"] == pytest.approx(0.3 * top)
    assert text(page, "window").startswith("0 to ")
    slide(page, "black", 290)
    assert grey(page, 0, 0.1, 0.1) == [0, 0, 0]
    click(page, "auto")
    assert grey(page, 0)[0] == before
    press(page, "]")
    assert grey(page, 0)[0] > before
    press(page, "[", "[")
    assert grey(page, 0)[0] < before
    press(page, "r")
    assert grey(page, 0)[0] == before
    for button, keys in (("left", ["Shift"]), ("right", [])):
        drag(page, 0.25, 0.0, button=button, keys=keys)
        assert state(page)["white"] > page.evaluate(
            "document.querySelector('.viewer').viewer.data.white"
        ) or (grey(page, 0)[0] != before)
        click(page, "auto")


def drag(page, across, down, *, button="left", keys=(), kind=IMAGES):
    """Drag by a share of the canvas."""
    box = page.locator(kind).first.bounding_box()
    start = box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"]
    for key in keys:
        page.keyboard.down(key)
    page.mouse.move(*start)
    page.mouse.down(button=button)
    end = start[0] + across * box["width"], start[1] + down * box["height"]
    page.mouse.move(*end, steps=4)
    page.mouse.up(button=button)
    for key in keys:
        page.keyboard.up(key)
    page.mouse.move(0, 0)
    settle(page)


def test_zoom_and_pan_in_step(opened):
    page = opened()
    first = [picture(page, n) for n in range(3)]
    errors = picture(page, 0, ERRORS)
    click(page, "in")
    assert text(page, "zoom") == "150 %"
    zoomed = [picture(page, n) for n in range(3)]
    assert all(one != other for one, other in zip(first, zoomed, strict=True))
    assert picture(page, 0, ERRORS) != errors
    corner = grey(page, 0, 0.1, 0.1)[0]
    drag(page, 0.3, 0.3)
    # What was further up and to the left, darker, comes into view.
    assert grey(page, 0, 0.1, 0.1)[0] < corner
    assert all(picture(page, n) != one for n, one in enumerate(zoomed))
    click(page, "out")
    assert [picture(page, n) for n in range(3)] == first
    press(page, "+", "Shift+ArrowRight", "Shift+ArrowDown")
    assert state(page)["x"] > 0.5
    assert state(page)["y"] > 0.5
    press(page, "Shift+ArrowLeft", "Shift+ArrowUp", "-")
    assert [picture(page, n) for n in range(3)] == first
    press(page, "=", "0")
    assert text(page, "zoom") == "100 %"
    click(page, "in")
    click(page, "fit")
    page.locator(IMAGES).first.hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    settle(page)
    assert text(page, "zoom") == "125 %"
    page.locator(IMAGES).first.dblclick()
    settle(page)
    assert text(page, "zoom") == "100 %"


def bar(page, place=0):
    """The length that the scale bar states, and its length in pixels of the image."""
    stated, long, wide = page.evaluate(
        """([kind, place]) => {
          const canvas = document.querySelectorAll(kind)[place];
          const context = canvas.getContext("2d");
          const row = context.getImageData(0, canvas.height - 9, canvas.width, 1).data;
          const white = (x) => [0, 1, 2].every((c) => row[4 * x + c] === 255);
          let end = 8;
          while (white(end)) end += 1;
          return [canvas.dataset.bar, end - 8, canvas.width];
        }""",
        [IMAGES, place],
    )
    length, unit = stated.split()
    return float(length), unit, long / wide * WIDTH / state(page)["zoom"]


def test_a_scale_bar_of_round_length_follows_the_zoom(opened):
    page = opened()
    for _ in range(4):
        length, unit, pixels = bar(page)
        assert unit == "mm"
        assert length in (20, 10, 5, 2)
        assert pixels == pytest.approx(length / PIXEL, rel=0.03)
        assert 0.1 < pixels * state(page)["zoom"] / WIDTH <= 0.301
        click(page, "in")
    page.close()
    page = opened("slice")
    length, unit, pixels = bar(page)
    assert (length, unit) == (5, "pixels")
    assert pixels == pytest.approx(5, rel=0.03)


def test_maps_lie_over_their_images(opened):
    page = opened()
    plain = [picture(page, n) for n in range(3)]
    page.locator("[name=overlay]").select_option("share")
    settle(page)
    assert [picture(page, n) == one for n, one in enumerate(plain)] == [True, False, True]
    shown = grey(page, 1, 0.5, 0.7)
    assert max(shown) > min(shown)  # in colour
    clear = grey(page, 1, 0.5, 0.1)
    assert max(clear) == min(clear)  # where it is not known
    assert "share: 0 to 1 of 1. Half." in page.locator(".scale.overlay").inner_text()
    slide(page, "opacity", 0)
    assert picture(page, 1) == plain[1]
    slide(page, "opacity", 100)
    assert grey(page, 1, 0.5, 0.7) != shown
    press(page, "o")
    assert page.locator("[name=overlay]").input_value() == ""
    assert page.locator(".scale.overlay").is_hidden()
    press(page, "o")
    assert page.locator("[name=overlay]").input_value() == "0"


def test_errors_have_one_stated_scale(opened):
    page = opened()
    stated = page.locator(".scale.error").inner_text()
    assert "% of the reference's maximum, the same for all" in stated
    # The error of the first is a tenth of the truth, that of the second 1 − 2 truth.
    near, far = (sum(grey(page, n, 0.9, 0.9, ERRORS)) for n in (0, 1))
    assert sum(grey(page, 0, 0.05, 0.05, ERRORS)) < near < far
    slide(page, "limit", -10)
    assert page.locator(".scale.error").inner_text() != stated
    assert sum(grey(page, 0, 0.9, 0.9, ERRORS)) > near
    page.locator("[name=errors]").uncheck()
    settle(page)
    assert page.locator(ERRORS).first.is_hidden()
    assert page.locator(".scale.error").is_hidden()
    press(page, "e")
    assert page.locator(ERRORS).first.is_visible()


def test_the_slider_between_two(opened):
    page = opened()
    page.locator("[value=two]").check()
    settle(page)
    pair = ".two canvas"
    assert page.locator(".grid").is_hidden()
    names = page.locator("[name=left] option").all_inner_texts()
    assert [names[0], names[1], len(names)] == ["reference", "near", 3]
    slide(page, "split", 100)
    left = picture(page, 0, pair)
    slide(page, "split", 0)
    right = picture(page, 0, pair)
    assert left != right
    assert grey(page, 0, 0.8, 0.8, pair)[0] == pytest.approx(
        0.9 * 255 * value(0, int(0.8 * HEIGHT), int(0.8 * WIDTH)) / state(page)["white"], abs=9
    )
    page.locator("[name=right]").select_option("0")
    settle(page)
    slide(page, "split", 100)
    assert picture(page, 0, pair) == left
    page.locator("[name=left]").select_option("2")
    settle(page)
    assert picture(page, 0, pair) != left
    before = state(page)["split"]
    press(page, "ArrowLeft")
    assert state(page)["split"] < before
    press(page, "ArrowRight")
    assert state(page)["split"] == pytest.approx(before)
    drag(page, -0.25, 0.0, kind=pair)
    assert state(page)["split"] == pytest.approx(0.25, abs=0.02)
    press(page, "c")
    assert page.locator(".grid").is_visible()


def test_the_values_below_the_cursor(opened):
    page = opened()
    box = page.locator(IMAGES).nth(1).bounding_box()
    row, column = 25, 9
    page.mouse.move(
        box["x"] + (column + 0.5) / WIDTH * box["width"],
        box["y"] + (row + 0.5) / HEIGHT * box["height"],
    )
    settle(page)
    said = page.locator(".readout").inner_text()
    assert said.startswith(f"row {row}, column {column}: reference ")
    numbers = [float(part.split()[-1]) for part in said.split(": ")[1].split(", ")]
    truth = value(0, row, column)
    assert numbers == pytest.approx([truth, 0.9 * truth, 1 - truth], rel=6e-3)
    page.mouse.move(0, 0)
    settle(page)
    assert page.locator(".readout").inner_text() == ""


def test_themes(opened):
    background = "getComputedStyle(document.body).backgroundColor"
    page = opened(color_scheme="light")
    light = page.evaluate(background)
    page.locator("[name=theme]").select_option("dark")
    dark = page.evaluate(background)
    assert light != dark
    page.locator("[name=theme]").select_option("light")
    assert page.evaluate(background) == light
    page = opened(color_scheme="dark")
    assert page.evaluate(background) == dark


def test_one_slice_without_a_reference_has_fewer_controls(opened):
    page = opened("slice", viewport={"width": 1300, "height": 300})
    for hidden in (".planes", ".overlays", ".errors"):
        assert page.locator(hidden).is_hidden()
    assert page.locator(ERRORS).count() == 0
    page.locator(IMAGES).first.hover()
    page.mouse.wheel(0, 120)  # The page scrolls, as there is nothing to turn.
    page.wait_for_function("scrollY > 0")


@pytest.mark.parametrize("width", [360, 390, 768, 1300])
def test_nothing_is_wider_than_the_screen(opened, width):
    page = opened(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_is_used_by_keyboard_alone(opened):
    """The images can be reached, and every control before them has a focus that is seen."""
    page = opened()
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(
            "document.activeElement.name || document.activeElement.className"
        ))  # fmt: skip
        if seen[-1] == "stage":
            break
    assert {"theme", "plane", "play", "black", "white", "overlay", "errors", "stage"} <= set(seen)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["all", "two"])
def test_an_accessibility_checker_finds_nothing(opened, scheme, view):
    page = opened(color_scheme=scheme)
    page.locator(f"[value={view}]").check()
    page.locator("[name=overlay]").select_option("share")
    for one in page.locator("summary").all():
        one.click()
    settle(page)
    found = Axe().run(page)["violations"]
    told = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
    assert told == []


def test_all_frames_are_decoded_ahead_of_turning(opened):
    page = opened()
    page.wait_for_function(
        """(frames) => document.querySelector(".viewer").viewer.panels
             .filter((one) => one.shown).every((one) => one.planes.known.size === frames)""",
        arg=FRAMES,
    )
    turned = "(plane) => document.querySelector('.viewer').viewer.direction(plane)"
    # From frame 0: to the next, to the one before the first, and nowhere.
    assert [page.evaluate(turned, plane) for plane in (1, FRAMES - 1, 0)] == [1, -1, 1]
    press(page, "ArrowUp")
    assert state(page)["plane"] == FRAMES - 1
    assert page.evaluate(turned, FRAMES - 1) == -1  # as it went last
