"""Users who keep their track, over real connections and several workers."""

import http.client
from collections import Counter

import pytest
from browser import Browser, By
from misbehaving import Backend
from running import Balancer, wait_until

SECRET = "an affinity secret that only the tests know"


@pytest.fixture(scope="module")
def running(loop, tmp_path_factory):
    """A stable and a canary backend behind a balancer with affinity."""
    stable, canary = Backend(loop, "stable-1").start(), Backend(loop, "canary-1").start()
    directory = tmp_path_factory.mktemp("sticky")
    made = Balancer(directory, {"stable": [stable], "canary": [canary]})
    made.stable, made.canary, made.secret = stable, canary, directory / "affinity.secret"
    made.secret.write_text(SECRET + "\n")
    made.shop["affinity"] = {"kind": "cookie", "secret_file": str(made.secret), "release": "0"}
    made.write()
    yield made.start().wait_for_backends()
    made.stop()
    stable.stop()
    canary.stop()


@pytest.fixture
def shop(running):
    """70 to 30, and a release of its own for each test."""
    shares = {"stable": 70, "canary": 30}
    affinity = running.shop["affinity"]
    change(running, weights=shares, affinity={**affinity, "release": str(int(affinity["release"]) + 1)})
    return running


def change(shop, **service):
    """Write the service's settings anew; returns when they are in force."""
    for key, value in service.items():
        shop.shop[key] = value
    shop.write()
    assert shop.admin("POST", "/reload").status == 200


def weigh(shop, canary):
    change(shop, weights={"stable": 100 - canary, "canary": canary})


class User:
    """A browser: it sends the cookie it got, each time on a connection of its own."""

    def __init__(self, shop):
        self.shop, self.cookie = shop, None

    def ask(self, path="/"):
        """The name of the backend that answered."""
        answer = self.shop.get(path, **({"Cookie": self.cookie} if self.cookie else {}))
        assert answer.status == 200
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        self.answer = answer
        return answer.body.decode()


def tracks_of(users):
    return [user.ask() for user in users]


def test_a_user_keeps_his_track_and_gets_his_cookie_once(shop):
    users = [User(shop) for _ in range(20)]
    first = tracks_of(users)
    assert abs(Counter(first)["canary-1"] - 6) <= 2
    for _ in range(5):
        assert tracks_of(users) == first
        assert all("set-cookie" not in user.answer.headers for user in users)


def test_of_a_thousand_new_users_the_canary_gets_its_share(shop):
    served = shop.served_by(1000)
    assert abs(served["canary-1"] - 300) <= 10, served


def test_a_larger_share_moves_users_from_stable_only_and_as_many_as_it_says(shop):
    users = [User(shop) for _ in range(200)]
    before = tracks_of(users)
    for canary in (50, 80, 100):
        weigh(shop, canary)
        now = tracks_of(users)
        assert all(new == "canary-1" for old, new in zip(before, now, strict=True) if old == "canary-1")
        assert abs(now.count("canary-1") - 2 * canary) <= 6
        before = now
    weigh(shop, 0)
    assert set(tracks_of(users)) == {"stable-1"}


def test_an_alert_moves_everyone_back_and_its_end_each_to_his_track(shop):
    users = [User(shop) for _ in range(20)]
    before = tracks_of(users)
    assert shop.admin("POST", "/alert", {"service": "shop", "reason": "bad"}).status == 200
    assert set(tracks_of(users)) == {"stable-1"}
    assert shop.admin("DELETE", "/alert/shop").status == 200
    assert tracks_of(users) == before
    assert all("set-cookie" not in user.answer.headers for user in users)


def test_users_of_a_track_that_is_down_are_served_by_the_other_and_come_back(shop):
    users = [User(shop) for _ in range(20)]
    before = tracks_of(users)
    for gone, left in ((shop.canary, "stable-1"), (shop.stable, "canary-1")):
        gone.healthy = False
        shop.wait_for_backends("down", [gone.name])
        assert set(tracks_of(users)) == {left}
        gone.healthy = True
        shop.wait_for_backends()
    assert tracks_of(users) == before


def is_new(user):
    user.ask()
    return "set-cookie" in user.answer.headers


def test_another_release_or_secret_makes_every_user_new(shop):
    user = User(shop)
    assert is_new(user)
    assert not is_new(user)
    change(shop, affinity={**shop.shop["affinity"], "release": "another"})
    assert is_new(user)
    assert not is_new(user)
    shop.secret.write_text("another secret that is long enough for all this")
    wait_until(lambda: is_new(user), "the other secret is in force")
    assert not is_new(user)
    change(shop, affinity={**shop.shop["affinity"], "release": "1000"})


def test_a_cookie_holds_over_a_restart_and_at_another_balancer(shop, balancer):
    user = User(shop)
    user.ask()
    shop.stop()
    shop.start().wait_for_backends()
    assert not is_new(user)
    other = balancer(start=False, tracks={"stable": [shop.stable], "canary": [shop.canary]})
    other.shop["affinity"] = shop.shop["affinity"]
    other.write()
    user.shop = other.start().wait_for_backends()
    assert not is_new(user)


def test_the_backend_sees_all_cookies_but_the_balancers(shop):
    user = User(shop)
    assert user.ask() in ("stable-1", "canary-1")
    sent = f'a=1;{user.cookie};  b="2'
    shop.get("/with", Cookie=sent)
    shop.get("/alone", Cookie=user.cookie)
    shop.get("/forged", Cookie="a=1; sluice_shop=forged; b=2")
    odd = f"cookie:{user.cookie}\r\nCOOKIE:  \t c=3 \r\nCookie: {user.cookie}\r\nCookie: {user.cookie}; d=4"
    shop.send(f"GET /odd HTTP/1.1\r\nHost: x\r\n{odd}\r\nConnection: close\r\n\r\n".encode())
    seen = {one.path: one for one in shop.stable.requests() + shop.canary.requests()}
    assert seen["/with"].all("cookie") == ['a=1;  b="2']
    assert seen["/alone"].all("cookie") == []
    assert seen["/forged"].all("cookie") == ["a=1; b=2"]
    assert seen["/odd"].all("cookie") == ["c=3 ", "d=4"]


def test_a_forged_or_doubled_cookie_counts_as_none(shop):
    user = User(shop)
    user.ask()
    for cookie in ("sluice_shop=" + "A" * 24, f"{user.cookie}; {user.cookie}", user.cookie + "A"):
        assert "set-cookie" in shop.get("/", Cookie=cookie).headers


def test_an_answer_that_sets_the_cookie_is_private_and_one_for_all_sets_none(shop):
    answer = shop.get("/")
    assert answer.headers["cache-control"] == "private"
    assert answer.headers["set-cookie"].endswith("; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax")
    public = shop.get("/cached?control=public,max-age=60")
    assert "set-cookie" not in public.headers
    assert public.headers["cache-control"] == "public,max-age=60"


def test_each_request_of_a_connection_is_its_own_users(shop):
    """Behind a proxy several users share a connection."""
    first, second = User(shop), User(shop)
    while first.ask() != "canary-1":
        first = User(shop)
    while second.ask() != "stable-1":
        second = User(shop)
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=20)
    for user, name in [(first, b"canary-1"), (second, b"stable-1")] * 3:
        connection.request("GET", "/", headers={"Cookie": user.cookie})
        assert connection.getresponse().read() == name
    connection.close()


def test_a_secret_that_is_too_short_is_refused_and_the_last_one_stays(shop):
    user = User(shop)
    user.ask()
    good = shop.secret.read_text()
    shop.secret.write_text("short")
    said = wait_until(lambda: shop.status()["config"]["error"], "the short secret is refused")
    assert said == f"{shop.secret}: holds 5 bytes, want a secret of 32 or more"
    assert not is_new(user)
    shop.secret.write_text(good)
    wait_until(lambda: shop.status()["config"]["error"] is None, "the good secret is taken")
    assert not is_new(user)


def test_without_a_readable_secret_it_starts_says_so_and_users_keep_their_track(shop):
    shop.stop()
    shop.secret.unlink()
    shop.start().wait_for_backends()
    assert "No such file or directory; affinity needs a secret" in shop.status()["config"]["error"]
    users = [User(shop) for _ in range(10)]
    assert tracks_of(users) == tracks_of(users)
    shop.secret.write_text(SECRET)
    wait_until(lambda: shop.status()["config"]["error"] is None, "the secret is taken")


def test_no_secret_and_no_key_is_in_what_the_balancer_says(shop):
    User(shop).ask()
    told = shop.said() + shop.access_log.read_text() + shop.admin("GET", "/status").body.decode()
    assert SECRET not in told
    assert "sluice_shop" not in told
    assert shop.status()["services"]["shop"]["affinity"] == {"release": shop.shop["affinity"]["release"]}


def test_the_cookie_is_secure_for_who_came_by_tls(shop):
    https = {"X-Forwarded-Proto": "https"}
    assert "Secure" not in shop.get("/", **https).headers["set-cookie"]
    change(shop, trust_forwarded_from=["127.0.0.1"])
    assert shop.get("/", **https).headers["set-cookie"].endswith("; SameSite=Lax; Secure")
    assert "Secure" not in shop.get("/").headers["set-cookie"]
    change(shop, trust_forwarded_from=[])


def test_a_real_browser_stays_and_its_scripts_do_not_see_the_cookie(shop, tmp_path):
    browser = Browser(tmp_path)

    def said():
        browser.driver.get(f"http://127.0.0.1:{shop.port}/")
        return browser.driver.find_element(By.TAG_NAME, "body").text

    try:
        name = said()
        assert {said() for _ in range(8)} == {name}
        assert browser.driver.execute_script("return document.cookie") == ""
        weigh(shop, 100)
        assert said() == "canary-1"
        weigh(shop, 0)
        assert said() == "stable-1"
        weigh(shop, 30)
        assert said() == name
    finally:
        browser.stop()
