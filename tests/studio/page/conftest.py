"""One server and one browser for the tests of a file; a new window for each.

Not for the whole session: while Playwright runs, its event loop is the thread's, and other tests need one of their own.
"""

import os
from urllib.parse import urlsplit

import pytest

from studio_page import chromium, handed, install, served


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, driven by Playwright; tests are skipped where either is missing, unless they are required."""
    missing = pytest.fail if os.environ.get("FEATLAB_REQUIRE_BROWSER") == "1" else pytest.skip
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        missing("playwright is not installed")
    path = chromium()
    if path is None:
        missing("there is no Chromium to open the page in")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(browser, tmp_path_factory):
    """Where the studio is served, with a task of somebody else's installed."""
    folder = tmp_path_factory.mktemp("site")
    install(folder)
    with served(path=folder) as found:
        yield found


@pytest.fixture
def hand(browser, address, request):
    """A hand at the page, opened; afterwards nothing was asked for elsewhere, and nothing failed."""
    with handed(browser, address, **getattr(request, "param", {})) as found:
        found.page.set_default_timeout(40_000)  # Of a machine that does a lot besides.
        found.open()
        yield found
        assert {urlsplit(url).hostname for url in found.asked_for if not url.startswith(("blob:", "data:"))} == {
            "127.0.0.1"
        }
        assert found.faults == []
