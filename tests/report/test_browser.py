"""The page in a real browser: nothing fails, everything is drawn, and the event display answers to hand and key."""

import contextlib
import shutil
import warnings

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
keys = pytest.importorskip("selenium.webdriver.common.keys").Keys

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1300,1000",
)  # fmt: skip
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="chromium and chromedriver are not installed")

INK = """
const c = arguments[0], d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
let n = 0, hash = 0;
for (let i = 3; i < d.length; i += 4) if (d[i]) { n += 1; hash = (hash * 31 + i + d[i - 1]) % 2147483647; }
return [n, hash];
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("page")
    (folder / "report.html").write_text(text, encoding="utf-8")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.get((folder / "report.html").as_uri())
    yield driver
    # Closing the pipes of a browser that has gone is no fault of the page.
    with warnings.catch_warnings(), contextlib.suppress(OSError):
        warnings.simplefilter("ignore", ResourceWarning)
        driver.quit()


@pytest.fixture
def canvas(browser):
    found = browser.find_element("css selector", '[data-series="truth"] canvas')
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", found)
    found.send_keys("0")
    settle(browser)
    return found


def settle(browser):
    """Wait for two frames: a drawing that was asked for has then been made."""
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def ink(browser, canvas):
    """Painted pixels of a canvas and a hash of them."""
    settle(browser)
    return browser.execute_script(INK, canvas)


def test_console_is_silent_and_the_network_untouched(browser):
    faults = [e for e in browser.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]
    assert faults == []
    asked = [e["message"] for e in browser.get_log("performance") if '"Network.requestWillBeSent"' in e["message"]]
    assert asked
    assert not [m for m in asked if '"url":"http' in m]


def test_every_picture_has_a_size(browser):
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('figure svg, img, canvas')]"
        ".map(e => { const b = e.getBoundingClientRect(); return [b.width, b.height, e.naturalWidth ?? 1]; })"
    )
    assert len(sizes) == 7
    assert all(w > 200 and h > 150 and natural > 0 for w, h, natural in sizes)


def test_plots_take_the_colours_of_the_theme(browser):
    line = "return getComputedStyle(document.querySelector('figure svg text')).fill"
    before = browser.execute_script(line)
    browser.find_element("id", "theme").click()
    after = browser.execute_script(line)
    browser.find_element("id", "theme").click()
    assert before != after
    assert browser.execute_script(line) == before
    browser.execute_script("delete document.documentElement.dataset.theme")


def test_paper_is_white_whatever_the_theme(browser):
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    colour = "return getComputedStyle(document.body).backgroundColor"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": dark})
    on_screen = browser.execute_script(colour)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    on_paper = browser.execute_script(colour)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert on_screen != "rgb(255, 255, 255)"
    assert on_paper == "rgb(255, 255, 255)"


def test_canvas_is_drawn(browser, canvas):
    painted, _ = ink(browser, canvas)
    assert painted > 5000


@pytest.mark.parametrize("key", ["ARROW_LEFT", "ARROW_UP", "+", "-", "]"])
def test_keys_change_the_picture_and_zero_restores_it(browser, canvas, key):
    before = ink(browser, canvas)
    canvas.send_keys(getattr(keys, key, key))
    assert ink(browser, canvas) != before
    canvas.send_keys("[" if key == "]" else "0")
    assert ink(browser, canvas) == before


def test_drag_rotates_both_panels(browser, canvas):
    other = browser.find_element("css selector", '[data-series="generated"] canvas')
    before = ink(browser, canvas), ink(browser, other)
    webdriver.ActionChains(browser).click_and_hold(canvas).move_by_offset(60, 25).release().perform()
    after = ink(browser, canvas), ink(browser, other)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_wheel_zooms_and_does_not_scroll_the_page(browser, canvas):
    before, top = ink(browser, canvas), browser.execute_script("return scrollY")
    origin = webdriver.common.actions.wheel_input.ScrollOrigin.from_element(canvas)
    webdriver.ActionChains(browser).scroll_from_origin(origin, 0, -300).perform()
    assert ink(browser, canvas) != before
    assert browser.execute_script("return scrollY") == top


def test_picker_shows_another_jet_and_says_which(browser, canvas):
    panel = browser.find_element("css selector", '[data-series="truth"]')
    before, text = ink(browser, canvas), panel.find_element("class name", "read").text
    panel.find_element("css selector", '[data-step="1"]').click()
    assert ink(browser, canvas) != before
    assert panel.find_element("class name", "read").text != text
    assert "jet 2" in canvas.get_attribute("aria-label")
    panel.find_element("css selector", '[data-step="-1"]').click()


def test_pointing_at_a_particle_reads_it_out(browser, canvas):
    """Sweep over the canvas until a particle is hit: the tip then names its momentum."""
    tip = browser.find_element("css selector", '[data-series="truth"] .tip')
    shown = browser.execute_script(
        """const c = arguments[0], b = c.getBoundingClientRect(), tip = arguments[1];
        for (let y = 10; y < b.height; y += 6) for (let x = 10; x < b.width; x += 6) {
          c.dispatchEvent(new PointerEvent('pointermove', {clientX: b.left + x, clientY: b.top + y, pointerId: 9}));
          if (!tip.hidden) return tip.textContent;
        }""",
        canvas,
        tip,
    )
    assert "pT" in shown
    assert "GeV" in shown


def test_page_fits_a_telephone(browser):
    browser.set_window_size(500, 900)
    width = browser.execute_script("return document.documentElement.scrollWidth - innerWidth")
    browser.set_window_size(1300, 1000)
    assert width <= 0
