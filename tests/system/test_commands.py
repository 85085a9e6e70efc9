"""What operators say on the command line: with a running server and without one."""
import json
import os
import shutil
import subprocess

import pytest
from conftest import PASSWORD, PROGRAM, need
from mail import imap, message, send


@pytest.fixture(params=["running", "not running"])
def place(request, new_server):
    server = new_server()
    return server.start() if request.param == "running" else server


def test_directory_is_managed(place):
    place.command("tenant", "add", "acme")
    place.command("domain", "add", "acme.example", "--tenant", "acme")
    place.add_account("a..b@acme.example", PASSWORD, "--quota", "5G", "--name", "花子")
    place.command("alias", "add", "sales@acme.example", "a..b@acme.example", "other@elsewhere.example")
    shown = place.command("account", "show", "A..B@ACME.example", json_rows=True)[0]
    assert shown["quota"] == 5 << 30 and shown["name"] == "花子" and shown["tenant"] == "acme" and shown["messages"] == 0
    assert "password" not in shown
    assert place.command("alias", "show", "sales@acme.example", json_rows=True)[0]["targets"] == ["a..b@acme.example", "other@elsewhere.example"]
    place.command("account", "set", "a..b@acme.example", "--suspended")
    assert place.command("account", "show", "a..b@acme.example", json_rows=True)[0]["standing"] == "suspended"
    assert sorted(row["tenant"] for row in place.command("tenant", "list", json_rows=True)) == ["acme", "default"]
    listed = place.command("account", "list")
    assert "a..b@acme.example" in listed and "5.0G" in listed and "suspended" in listed
    place.command("alias", "remove", "sales@acme.example")
    place.command("account", "remove", "a..b@acme.example")
    place.command("domain", "remove", "acme.example")
    place.command("tenant", "remove", "acme")
    assert place.command("account", "list", json_rows=True) == []


@pytest.mark.parametrize("words, text", [
    (["account", "add", "x@nowhere.example", "--password-stdin"], "does not exist"),
    (["account", "show", "x@example.test"], "does not exist"),
    (["domain", "add", "exa mple"], "expected a domain name"),
    (["domain", "add", "example.test"], "exists already"),
    (["tenant", "remove", "default"], "stays"),
    (["domain", "remove", "example.test"], "still has addresses"),
])
def test_errors_say_what_was_expected(server, words, text):
    done = server.command(*words, check=False, stdin="secret\n")
    assert done.returncode == 1 and text in done.stderr, done.stderr


@pytest.mark.local
@pytest.mark.parametrize("words", [["account"], ["account", "add"], ["nonsense"], ["account", "show", "a@b", "c"], ["serve", "--port-base", "x"],
                                   ["version", "--json"], ["config", "show", "--json"]])
def test_wrong_usage_is_exit_status_2(new_server, words):
    assert new_server().command(*words, check=False).returncode == 2


def test_load_takes_good_lines_and_tells_bad_ones(server, tmp_path):
    lines = [{"address": f"u{i}@example.test", "password": "{PLAIN}x", "quota": "5G"} for i in range(500)]
    path = tmp_path / "accounts.ndjson"
    path.write_text("\n".join(json.dumps(line) for line in lines) + '\n{"address":"u1@example.test","password":"{PLAIN}x"}\nnonsense\n')
    done = server.command("account", "load", path, check=False)
    assert done.returncode == 1 and "2 lines were not loaded" in done.stderr
    assert "501" in done.stdout and "502" in done.stdout
    assert len(server.command("account", "list", json_rows=True)) == 501
    imap(server, "u499@example.test", "x").logout()


def test_password_without_scheme_is_hashed_and_changes_are_in_force_at_once(server):
    server.command("account", "set", "hanako@example.test", "--password-stdin", stdin="new secret\n")
    imap(server, password="new secret").logout()
    with pytest.raises(Exception):
        imap(server, password=PASSWORD)


def test_crypt_password_of_an_old_system(server):
    # openssl passwd -6 -salt abcdefgh 'old secret'
    import subprocess
    hashed = subprocess.run(["openssl", "passwd", "-6", "-salt", "abcdefgh", "old secret"], capture_output=True, text=True, check=True).stdout.strip()
    server.command("account", "set", "hanako@example.test", "--password-stdin", stdin="{CRYPT}" + hashed + "\n")
    imap(server, password="old secret").logout()


def test_removed_account_takes_its_mail_along(server):
    send(server, message())
    server.command("account", "remove", "hanako@example.test")
    server.add_account("hanako@example.test")
    assert server.command("account", "show", "hanako@example.test", json_rows=True)[0]["messages"] == 0
    server.command("store", "verify")


@pytest.mark.local
def test_manual_pages_and_help(new_server):
    for page in ("tayori", "account", "serve", "tayori.conf"):
        assert ".Sh DESCRIPTION" in new_server().command("man", page, check=False).stdout
    assert "--password-stdin" in new_server().command("account", "add", "--help", check=False).stdout


@pytest.mark.local
@pytest.mark.local
def test_a_manual_page_is_readable_on_a_terminal(new_server):
    need("script")
    shown = subprocess.run(["script", "-qec", f"{PROGRAM} man account", "/dev/null"], capture_output=True, text=True, env={**os.environ, "MANPAGER": "cat"})
    assert ".Sh " not in shown.stdout if shutil.which("man") else ".Sh SYNOPSIS" in shown.stdout
    assert ("tayori-account(1)" in shown.stdout or not shutil.which("man")) and shown.returncode == 0


@pytest.mark.local
def test_a_new_store_is_told(new_server):
    server = new_server()
    assert "a new one was made in " + str(server.folder / "store") in server.command("domain", "list", check=False).stderr
    assert server.command("domain", "list", check=False).stderr == ""


def test_second_server_on_one_folder_is_refused(server, new_server):
    import subprocess
    from conftest import PROGRAM, free_port_base
    done = subprocess.run([str(PROGRAM), "serve", "--dir", str(server.folder), "--port-base", str(free_port_base())], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.strip()
