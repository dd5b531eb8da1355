"""What a machine takes over from the computer it runs on, and what it does not."""

import configparser

import pytest

from lab import host
from lab.errors import LabError

TARGETS = """\
http://deb.example/debian|bookworm|main|Debian
http://deb.example/debian|bookworm|contrib|Debian
http://deb.example/debian|bookworm|main|Debian
http://deb.example/security|bookworm-security|main|Debian
http://deb.example/debian|bookworm-updates|main|Debian
http://other.example/tools|stable|main|Other
http://deb.example/debian|trixie|main|Debian
"""


def test_sources_are_debians_suites_with_the_main_one_first():
    assert host.sources_of(TARGETS) == [
        "deb http://deb.example/debian bookworm main contrib",
        "deb http://deb.example/security bookworm-security main",
        "deb http://deb.example/debian bookworm-updates main",
    ]


@pytest.mark.parametrize(
    "targets", ["", "junk\n", "http://d/|trixie|main|Debian\n", "http://d/|bookworm-security|main|Debian\n",
                "http://d/|bookworm|main|Ubuntu\n"],
)
def test_computer_without_debian_12_is_told_what_to_run(targets):
    with pytest.raises(LabError, match="no Debian 12.*apt-get update"):
        host.sources_of(targets)


def test_settings_of_package_tools_are_inherited_and_nothing_else():
    env = {
        "PIP_INDEX_URL": "https://pypi.example/simple", "https_proxy": "http://proxy:3128",
        "npm_config_registry": "https://npm.example", "NODE_EXTRA_CA_CERTS": "/ca.pem",
        "REQUESTS_CA_BUNDLE": "/ca.pem", "AWS_SECRET_ACCESS_KEY": "s", "PATH": "/bin", "HOME": "/root",
    }
    found = host.environment(env)
    assert set(found) - {"no_proxy", "NO_PROXY"} == {
        "PIP_INDEX_URL", "https_proxy", "npm_config_registry", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE",
    }


@pytest.mark.parametrize(
    "name", ["PIP_FIND_LINKS", "PIP_CACHE_DIR", "PIP_CONFIG_FILE", "PIP_TARGET", "npm_config_cache",
             "npm_config_prefix", "NPM_CONFIG_USERCONFIG"],
)
def test_places_of_this_computer_are_not_inherited(name):
    assert host.environment({name: "/somewhere"}) == {}


def test_value_with_a_newline_cannot_add_a_line():
    assert host.environment({"PIP_INDEX_URL": "x\nPATH=/evil"}) == {}


def test_lab_goes_past_the_proxy():
    found = host.environment({"http_proxy": "http://p", "no_proxy": "corp.example"}, ("10.1.0.1", "master"))
    assert found["no_proxy"] == "corp.example,localhost,127.0.0.1,10.1.0.1,master"
    assert found["NO_PROXY"] == "localhost,127.0.0.1,10.1.0.1,master"


def test_without_a_proxy_nothing_is_said_of_it():
    assert host.environment({"PIP_INDEX_URL": "x"}, ("10.1.0.1",)) == {"PIP_INDEX_URL": "x"}


def test_services_get_values_in_systemds_quoting():
    text = host.manager_settings({"A": 'a b"c', "B": "100%\\"})
    assert text == '[Manager]\nDefaultEnvironment="A=a b\\"c" "B=100%%\\\\"\n'


def pip(tmp_path, *texts):
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"pip{number}.conf")
        paths[-1].write_text(text)
    parsed = configparser.RawConfigParser()
    parsed.read_string(host.pip_settings([*paths, tmp_path / "absent"]))
    return parsed


def test_pip_settings_merge_with_the_later_file_winning(tmp_path):
    found = pip(tmp_path, "[global]\nindex-url = a\ncert = /c\n", "[global]\nindex-url = b%20\n")
    assert dict(found["global"]) == {"index-url": "b%20", "cert": "/c", "find-links": "/opt/wheelhouse"}


def test_pip_gets_the_images_wheels_in_place_of_its_own(tmp_path):
    found = pip(tmp_path, "[global]\nfind-links = /home/x\n[install]\nfind-links = /y\nno-binary = z\n")
    assert found["global"]["find-links"] == "/opt/wheelhouse"
    assert dict(found["install"]) == {"no-binary": "z"}


def test_without_pip_settings_there_are_still_the_wheels(tmp_path):
    assert dict(pip(tmp_path)["global"]) == {"find-links": "/opt/wheelhouse"}


@pytest.mark.parametrize("text", ["no section\n", "[global\n"])
def test_broken_pip_settings_are_told_by_name(tmp_path, text):
    with pytest.raises(LabError, match="pip0.conf"):
        pip(tmp_path, text)


def test_pip_settings_that_are_no_text_are_told_by_name(tmp_path):
    (tmp_path / "pip.conf").write_bytes(b"[global]\nindex-url = \xff\n")
    with pytest.raises(LabError, match="pip.conf"):
        host.pip_settings([tmp_path / "pip.conf"])


def test_npm_settings_keep_registry_and_credentials_and_drop_places(tmp_path):
    path = tmp_path / "npmrc"
    path.write_text(
        "; comment\n# another\nregistry=https://npm.example\n//npm.example/:_authToken=${TOKEN}\n"
        "prefix=/home/x\n cache = /y\n\nnonsense\ncafile=/own.pem\n"
    )
    assert host.npm_settings([path, tmp_path / "absent"], {"TOKEN": "t0"}).splitlines() == [
        "registry=https://npm.example", "//npm.example/:_authToken=t0", "cafile=/own.pem",
    ]


def test_npm_without_a_cafile_gets_the_bundle(tmp_path):
    assert host.npm_settings([], {}) == f"cafile={host.CA_BUNDLE}\n"


def test_certificates_that_a_setting_names_are_copied(tmp_path):
    (tmp_path / "ca.pem").write_bytes(b"cert")
    (tmp_path / "secret.txt").write_bytes(b"no")
    named = [str(tmp_path / "ca.pem"), str(tmp_path / "secret.txt"), "relative.pem", "/absent.crt"]
    found = host.copies(named)
    assert found[str(tmp_path / "ca.pem")] == b"cert"
    assert str(tmp_path / "secret.txt") not in found
    assert set(found) & {"relative.pem", "/absent.crt"} == set()


def test_inherited_files_are_written_below_the_machines_root(tmp_path):
    host.Inherited({"/etc/pip.conf": b"x"}).write(tmp_path)
    assert (tmp_path / "etc/pip.conf").read_bytes() == b"x"


def resolver(tmp_path, *texts):
    paths = [tmp_path / f"resolv{number}" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return host.resolver((str(tmp_path / "absent"), *map(str, paths)))


def test_name_servers_that_a_machine_can_reach_are_taken(tmp_path):
    assert resolver(tmp_path, "search x\nnameserver 10.0.0.53\n") == "search x\nnameserver 10.0.0.53\n"


@pytest.mark.parametrize("stub", [
    "nameserver 127.0.0.53\n", "nameserver ::1\n", "", "# nameserver 9.9.9.9\n",
])
def test_server_on_loopback_gives_way_to_the_list_behind_it(tmp_path, stub):
    assert resolver(tmp_path, stub, "nameserver 192.0.2.1\n") == "nameserver 192.0.2.1\n"
    assert resolver(tmp_path, stub) == ""


def test_mavens_settings_are_inherited_without_its_place_on_this_computer(tmp_path):
    told = "<settings><localRepository>/home/me/m2\n</localRepository><mirrors><mirror/></mirrors></settings>"
    (tmp_path / "mine").write_text(told)
    (tmp_path / "all").write_text("<settings/>")
    paths = [tmp_path / "mine", tmp_path / "all"]
    assert host.maven_settings(paths) == "<settings><mirrors><mirror/></mirrors></settings>"
    assert host.maven_settings(paths[1:]) == "<settings/>"
    assert host.maven_settings([tmp_path / "none"]) == ""
