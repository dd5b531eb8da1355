"""A real browser before the balancer's page."""

import contextlib
import shutil

from running import PATIENCE, wait_until
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

__all__ = ["By", "Keys", "Select", "Browser"]

OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--lang=en",
]


class Browser:
    """Headless Chromium with a profile of its own."""

    def __init__(self, directory):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for word in [*OPTIONS, f"--user-data-dir={directory}"]:
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_page_load_timeout(PATIENCE)
        self.look()

    def stop(self):
        self.driver.quit()

    # Where and how.

    def look(self, width=1280, height=900, scheme="light"):
        """The size of the window, and what the viewer prefers."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, shop, host="127.0.0.1"):
        self.driver.get(f"http://{host}:{shop.admin_port}/")
        return self

    def log_in(self, shop, token):
        self.open(shop)
        self.field("Admin token").send_keys(token)
        self.button("Log in").click()
        self.wait_for(lambda: self.section("shop"), "the service is shown")
        return self

    def forget(self):
        """As in a browser that was never here."""
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        with contextlib.suppress(Exception):
            self.driver.execute_script("localStorage.clear()")

    # What is there, by what a person or a screen reader would call it.

    def wait_for(self, is_so, what):
        def so():
            with contextlib.suppress(Exception):
                return is_so()
            return None

        return wait_until(so, what)

    def shown(self, selector):
        return [one for one in self.driver.find_elements(By.CSS_SELECTOR, selector) if one.is_displayed()]

    def button(self, name):
        """The button with this accessible name."""
        return self.wait_for(
            lambda: next(one for one in self.shown("button") if one.accessible_name == name), f"button {name}"
        )

    def field(self, name):
        return self.wait_for(
            lambda: next(one for one in self.shown("input") if one.accessible_name == name), f"field {name}"
        )

    def section(self, service):
        return next(one for one in self.shown("section") if one.accessible_name == service)

    def text(self):
        """All that is shown."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def wait_for_text(self, text):
        self.wait_for(lambda: text in self.text(), f"the page says {text!r}")

    def focused(self):
        return self.driver.switch_to.active_element

    def press(self, *keys):
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, name, most=60):
        """Go on with the tab key until the focus is on what has this name."""
        for _ in range(most):
            self.press(Keys.TAB)
            if self.focused().accessible_name == name:
                return self.focused()
        raise AssertionError(f"the tab key does not reach {name}")

    def complaints(self):
        """What the browser wrote to its console: errors of scripts, and what the policy forbade."""
        return [one["message"] for one in self.driver.get_log("browser") if one["level"] == "SEVERE"]

    def picture(self, path):
        self.driver.get_screenshot_as_file(str(path))
