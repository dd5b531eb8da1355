"""What a running balancer tells backends and its log of who asked."""

from running import wait_until

from tests.support.ports import free_port

CHAIN = {"X-Forwarded-For": "1.1.1.1, 203.0.113.7", "X-Forwarded-Proto": "https"}


def seen(backend, path):
    (request,) = backend.requests(path)
    return request


def test_a_proxy_is_believed_once_it_is_trusted_and_no_longer_than_that(backend, balancer):
    stable = backend("stable-1")
    shop = balancer(tracks={"stable": [stable]}, workers=1)
    for step, networks in enumerate(([], ["127.0.0.0/8"], [])):
        shop.shop["trust_forwarded_from"] = networks
        shop.write()
        assert shop.admin("POST", "/reload").status == 200
        shop.get(f"/{step}", **CHAIN, **{"X-Request-Id": f"id-{step}"})
    for step in (0, 2):
        assert seen(stable, f"/{step}").one("x-forwarded-for") == "127.0.0.1"
        assert seen(stable, f"/{step}").one("x-forwarded-proto") == "http"
        assert shop.log_line(f"id-{step}")["client"] == "127.0.0.1"
    assert seen(stable, "/1").one("x-forwarded-for") == "203.0.113.7, 127.0.0.1"
    assert seen(stable, "/1").one("x-real-ip") == "203.0.113.7"
    host = f"127.0.0.1:{shop.port}"
    forwarded = f'for=203.0.113.7;proto=https;host="{host}", for=127.0.0.1'
    assert seen(stable, "/1").one("forwarded") == forwarded
    assert shop.log_line("id-1")["client"] == "203.0.113.7"


def test_a_request_that_goes_in_circles_ends_with_508(backend, balancer):
    real, port = backend("real"), free_port()
    shop = balancer(start=False, tracks={"stable": []}, workers=1)
    shop.shop["health"]["fall"] = 100
    back = {"real": real.address, "round": f"127.0.0.1:{shop.port}"}
    shop.config["services"]["back"] = {
        **shop.shop,
        "listen": f"127.0.0.1:{port}",
        "tracks": {"stable": back, "canary": {}},
    }
    shop.shop["tracks"]["stable"] = {"back": f"127.0.0.1:{port}"}
    shop.write()
    shop.start().wait_for_backends()
    wait_until(lambda: is_up(shop, "round"), "the circle is closed")
    assert shop.admin("POST", "/drain", {"service": "back", "backend": "real"}).status == 200
    answer = shop.get("/round")
    assert answer.status == 508
    assert answer.body == b"508 Loop Detected: the request came by here too often\n"


def is_up(balancer, name):
    return balancer.status()["services"]["back"]["tracks"]["stable"]["backends"][name]["state"] == "up"
