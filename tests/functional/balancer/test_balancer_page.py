"""The page in a real browser, before a real balancer with real backends. One browser for all tests."""

import json
import re

import pytest
from browser import Browser, By, Keys
from misbehaving import Backend
from running import ADMIN_TOKEN, Balancer, Load, wait_until

HOSTILE = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1> & \"quoted\" 'too'"
NAMES = ("stable-1", "stable-2", "canary-1")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(tmp_path_factory.mktemp("chromium"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def running(loop, tmp_path_factory):
    """A balancer with two stable backends and a canary; it outlives the tests that need it."""
    backends = {name: Backend(loop, name).start() for name in NAMES}
    tracks = {"stable": [backends["stable-1"], backends["stable-2"]], "canary": [backends["canary-1"]]}
    made = Balancer(tmp_path_factory.mktemp("page"), tracks, {"stable": 70, "canary": 30}).start()
    made.wait_for_backends().by_name = backends
    yield made
    made.stop()
    for one in backends.values():
        one.stop()


@pytest.fixture
def shop(running):
    """The balancer, as it was before any test."""
    running.admin("DELETE", "/alert/shop")
    running.admin("DELETE", "/weights/shop")
    for name in NAMES:
        running.admin("POST", "/restore", {"service": "shop", "backend": name})
    running.wait_for_backends()
    return running


@pytest.fixture
def page(browser, shop):
    """A browser that has just logged in."""
    browser.look()
    browser.open(shop).forget()
    browser.complaints()
    return browser.log_in(shop, ADMIN_TOKEN)


# Logging in.


def test_without_login_there_is_the_login_page_and_a_wrong_token_does_not_open_it(browser, shop):
    browser.look()
    browser.open(shop).forget()
    browser.open(shop)
    field = browser.field("Admin token")
    assert browser.focused() == field
    assert "shop" not in browser.text()
    field.send_keys("wrong-token", Keys.ENTER)
    browser.wait_for_text("this is not the admin token.")
    assert browser.shown("section") == []
    # The wrong one is selected: what is typed now replaces it.
    browser.wait_for(lambda: browser.button("Log in").is_enabled(), "it may be tried again")
    field.send_keys(ADMIN_TOKEN, Keys.ENTER)
    browser.wait_for(lambda: browser.section("shop"), "the service is shown")
    (cookie,) = browser.driver.get_cookies()
    assert cookie["name"] == f"sluice_session_{shop.admin_port}"
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    kept = browser.driver.execute_script("return document.cookie + JSON.stringify(localStorage)")
    assert ADMIN_TOKEN not in kept
    assert cookie["value"] not in kept


def test_another_tab_is_logged_in_too_and_logging_out_ends_both(page, shop):
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    page.open(shop)
    page.wait_for(lambda: page.section("shop"), "the other tab shows the service")
    page.button("Log out").click()
    page.wait_for_text("You are logged out.")
    page.driver.close()
    page.driver.switch_to.window(first)
    page.wait_for(lambda: page.field("Admin token"), "the first tab asks for the token")
    assert page.driver.get_cookies() == []
    assert page.shown("section") == []


# What it shows.


def test_it_shows_weights_backends_and_charts_of_what_goes_through(page, shop):
    with Load(shop.port, clients=2) as load:
        load.wait_for(50)
        shop.get("/status?code=500")
        page.wait_for(lambda: len(drawn(page, "Requests per second")) > 1, "two samples are drawn")
        page.wait_for(
            lambda: rate(page, "stable") > 1 and rate(page, "canary") > 1, "both tracks have a rate"
        )
        page.wait_for(lambda: drawn(page, "Time, p99") and drawn(page, "Errors (5xx)"), "all is drawn")
    text = page.text()
    assert shop.status()["balancer"]["host"] in text
    assert re.search(r"stable\s+70 %\s+declared 70 %", text)
    assert re.search(r"canary\s+30 %\s+declared 30 %", text)
    for name, one in shop.by_name.items():
        (row,) = [row.text for row in page.shown("tbody tr") if name in row.text]
        assert one.address in row
        assert "up" in row.split()
    assert "2 workers · no Redis" in text
    assert page.complaints() == []


def chart(page, title):
    return next(one for one in page.shown("figure") if title in one.text)


def drawn(page, title):
    """The points of stable's line."""
    path = chart(page, title).find_element(By.CSS_SELECTOR, "path.is-stable").get_attribute("d")
    return re.findall(r"[ML][\d.]+ [\d.]+", path or "")


def rate(page, track):
    return float(re.search(rf"{track} ([\d.]+)", chart(page, "Requests per second").text).group(1))


def test_a_chart_is_read_with_the_arrow_keys(page):
    page.wait_for(lambda: drawn(page, "Requests per second"), "something is drawn")
    plot = chart(page, "Requests per second").find_element(By.TAG_NAME, "svg")
    page.driver.execute_script("arguments[0].focus()", plot)
    page.press(Keys.ARROW_LEFT)
    page.wait_for(
        lambda: re.match(r"2 s ago: stable [\d.]+, canary [\d.]+", plot.accessible_name), "it is told"
    )


def test_a_refused_file_is_told_and_gone_when_it_is_good_again(page, shop):
    shop.shop["weights"] = {"stable": 70, "canary": 40}
    shop.write()
    page.wait_for_text("$.services.shop.weights: sum to 110, want 100")
    shop.shop["weights"] = {"stable": 70, "canary": 30}
    shop.write()
    page.wait_for(lambda: "sum to 110" not in page.text(), "the banner is gone")


# What it does.


def test_the_alert_is_raised_with_its_reason_and_cleared(page, shop):
    page.button("Raise alert for shop").click()
    page.field("Reason").send_keys("too many errors")
    page.button("Raise the alert").click()
    page.wait_for_text("by admin · door http ·")
    assert shop.alert()["reason"] == "too many errors"
    assert shop.served_by(20).keys() == {"stable-1", "stable-2"}
    assert re.search(r"canary\s+0 %\s+declared 30 %", page.text())
    assert page.driver.title.startswith("(1 alert)")
    page.button("Clear alert for shop").click()
    page.button("Clear the alert").click()
    page.wait_for(lambda: page.button("Raise alert for shop"), "it may be raised again")
    assert shop.alert() is None
    assert page.complaints() == []


def test_a_lease_is_shown_and_ended(page, shop):
    told = {"service": "shop", "weights": {"stable": 90, "canary": 10}, "lease_seconds": 600}
    assert shop.admin("POST", "/weights", told).status == 200
    page.wait_for_text("Leased weights: stable 90 %, canary 10 %")
    assert re.search(r"canary\s+10 %\s+declared 30 %, leased 10 %", page.text())
    page.button("End lease of shop").click()
    page.button("End the lease").click()
    page.wait_for_text("The declared weights of shop hold again.")
    assert shop.weights() == {"stable": 70, "canary": 30}


def test_a_hostile_reason_is_a_text(page, shop):
    shop.admin("POST", "/alert", {"service": "shop", "reason": HOSTILE})
    page.wait_for_text(HOSTILE)
    assert page.driver.execute_script("return window.hacked") is None
    assert page.shown("img") == []


def test_a_backend_is_drained_and_restored(page, shop):
    page.button("Drain stable-1").click()
    assert page.field("Deadline in seconds").get_attribute("value") == "30"
    page.button("Drain").click()
    page.wait_for_text("stable-1 is drained, and no request was cut off.")
    assert shop.backends()["stable-1"] == "drained"
    page.button("Restore stable-1").click()
    page.wait_for_text("stable-1 is back in service.")
    shop.wait_for_backends("up", ["stable-1"])


def test_requests_cut_off_at_the_deadline_are_told(page, shop):
    backend = shop.by_name["canary-1"]
    shop.admin("POST", "/drain", {"service": "shop", "backend": "stable-1", "force": True})
    shop.admin("POST", "/drain", {"service": "shop", "backend": "stable-2", "force": True})
    with shop.connect() as line:
        line.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: backend.requests("/wait"), "a request is in flight")
        page.button("Drain canary-1").click()
        deadline = page.field("Deadline in seconds")
        deadline.clear()
        deadline.send_keys("0.1")
        page.button("Drain").click()
        page.wait_for_text("canary-1 is drained; 1 request was cut off at the deadline.")


def test_a_drain_that_is_refused_says_why_and_offers_force(page, shop):
    shop.admin("POST", "/drain", {"service": "shop", "backend": "stable-1"})
    page.wait_for(lambda: page.button("Restore stable-1"), "the drain is shown")
    page.button("Drain stable-2").click()
    page.button("Drain").click()
    page.wait_for_text("stable-2 is not drained: 0 of stable would be left up, min_available wants 1")
    assert shop.backends()["stable-2"] == "up"
    page.button("Drain by force").click()
    page.wait_for_text("stable-2 is drained")
    assert shop.backends()["stable-2"] == "drained"


def test_a_deadline_that_is_none_is_refused_in_the_dialog(page, shop):
    page.button("Drain stable-1").click()
    deadline = page.field("Deadline in seconds")
    deadline.clear()
    page.button("Drain").click()
    page.wait_for_text("The deadline is 0 to 3600 seconds.")
    page.button("Cancel").click()
    assert shop.backends()["stable-1"] == "up"


# For everybody.


def test_all_is_done_with_the_keyboard_alone(browser, shop):
    browser.look()
    browser.open(shop).forget()
    browser.open(shop)
    browser.press(ADMIN_TOKEN, Keys.ENTER)
    browser.wait_for(lambda: browser.section("shop"), "the service is shown")
    browser.tab_to("Raise alert for shop")
    outline = browser.focused().value_of_css_property("outline-style")
    assert outline == "solid", "the focus is seen"
    browser.press(Keys.ENTER)
    browser.wait_for(lambda: browser.focused().accessible_name == "Reason", "the reason is asked for")
    browser.press(Keys.ESCAPE)
    browser.wait_for(lambda: not browser.shown("dialog"), "Escape closes the dialog")
    assert browser.focused().accessible_name == "Raise alert for shop"
    assert shop.alert() is None
    browser.press(Keys.ENTER)
    browser.wait_for(lambda: browser.focused().accessible_name == "Reason", "the reason is asked for")
    browser.press("by hand", Keys.ENTER)
    browser.wait_for_text("by admin · door http ·")
    assert shop.alert()["reason"] == "by hand"
    browser.tab_to("Drain stable-1")
    browser.press(Keys.SPACE)
    browser.wait_for(lambda: browser.focused().accessible_name == "Deadline in seconds", "it is asked for")
    browser.press(Keys.ENTER)
    shop.wait_for_backends("drained", ["stable-1"])


def test_what_is_shown_anew_each_second_does_not_take_the_focus(page, shop):
    page.tab_to("Drain stable-2")
    shop.admin("POST", "/alert", {"service": "shop", "reason": "meanwhile"})
    page.wait_for_text("meanwhile")
    assert page.focused().accessible_name == "Drain stable-2"


def test_everything_one_can_use_has_a_name(page):
    usable = page.shown("button, input, a, [tabindex='0']")
    assert len(usable) > 6
    assert [one.tag_name for one in usable if not one.accessible_name.strip()] == []


def test_it_is_light_or_dark_as_the_viewer_prefers(page):
    def ground():
        said = page.driver.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
        return sum(map(int, re.findall(r"\d+", said)[:3]))

    assert ground() > 600
    page.look(scheme="dark")
    assert ground() < 120


def test_on_a_phone_nothing_is_cut_off_and_buttons_can_be_hit(page, shop):
    shop.admin("POST", "/alert", {"service": "shop", "reason": "x" * 200})
    page.look(360, 740)
    page.wait_for_text("xxxxx")
    wide = page.driver.execute_script("return document.documentElement.scrollWidth")
    assert wide <= 360
    sizes = {one.accessible_name: one.size["height"] for one in page.shown("button")}
    assert min(sizes.values()) >= 40, sizes


# When the balancer is gone.


def test_a_lost_connection_is_told_with_the_age_of_what_is_shown(page, shop):
    shop.stop()
    try:
        age = page.wait_for(lambda: re.search(r"What you see is (\d+) s old", page.text()), "the age is told")
        assert int(age.group(1)) >= 3
        assert "No connection to the balancer." in page.text()
        assert "stable-1" in page.text()
        page.button("Raise alert for shop").click()
        page.button("Raise the alert").click()
        page.wait_for_text("The balancer does not answer.")
    finally:
        shop.start().wait_for_backends()
    # Sessions are in the memory of the balancer that is gone.
    page.wait_for_text("Your session is over. Log in again.")
    page.field("Admin token").send_keys(ADMIN_TOKEN, Keys.ENTER)
    page.wait_for(lambda: page.section("shop"), "the service is shown again")
    page.wait_for(lambda: "No connection" not in page.text(), "what is shown is of now again")


def test_another_admin_token_ends_the_session(page, shop):
    path = shop.directory / "admin.token"
    try:
        path.write_text("another-admin-token\n")
        page.wait_for_text("Your session is over. Log in again.")
    finally:
        path.write_text(ADMIN_TOKEN + "\n")
    wait_until(lambda: shop.admin("GET", "/status").status == 200, "the old token is good again")


def test_the_page_needs_nothing_from_elsewhere(page):
    loaded = page.driver.execute_script("return performance.getEntries().map(one => one.name)")
    urls = [name for name in loaded if "://" in name]
    assert len(urls) > 5
    assert {json.dumps(url.split("/")[2]) for url in urls} == {
        json.dumps(page.driver.current_url.split("/")[2])
    }
