"""Programs of two feature levels on one store: side by side, forth and back, and what is refused after the level was raised."""
import os
import re
import subprocess
import time

import pytest

from conftest import PROGRAM, ROOT, listeners
from mail import fetch_all, imap, message, send, wait_for

OLD_BUILD = ROOT / "build-level-1"
HANAKO = "hanako@example.test"
NEWEST = int(re.search(r"FEATURE_LEVEL_KNOWN = (\d+)", (ROOT / "src/base/feature.h").read_text()).group(1))


@pytest.fixture(scope="session")
def old_program():
    """A build that knows feature level 1 only."""
    program = os.environ.get("TAYORI_PROGRAM_LEVEL_1", OLD_BUILD / "tayori")
    if "TAYORI_PROGRAM_LEVEL_1" not in os.environ:
        if not os.environ.get("TAYORI_CHECK_LONG") and not OLD_BUILD.exists():
            pytest.skip("no build of feature level 1: ./check --long makes one, and so does meson setup build-level-1 -Dfeature_level=1")
        if not OLD_BUILD.exists():
            subprocess.run(["meson", "setup", str(OLD_BUILD), "-Dfeature_level=1", "-Dbuildtype=debugoptimized"], cwd=ROOT, check=True, capture_output=True)
        subprocess.run(["ninja", "-C", str(OLD_BUILD), "tayori"], check=True, capture_output=True)
    return program


def start_again(server, program):
    server.stop()
    server.program = program
    server.start()


def level(server):
    return server.command("cluster", "level", json_rows=True)[0]


def refused(server, *words):
    done = server.command(*words, check=False)
    assert done.returncode == 1, done
    return done.stderr


def subjects(server):
    with imap(server) as client:
        count = int(client.select("INBOX", readonly=True)[1][0])
        return [client.fetch(str(i), "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0][1].decode().split(":")[1].strip() for i in range(1, count + 1)]


def serve(server, subject):
    send(server, message(subject), to=[HANAKO])
    server.command("account", "compact", HANAKO)


def test_up_and_down_and_up_on_one_machine(new_server, old_program):
    server = new_server(program=old_program).start()
    server.add_domain()
    server.add_account(HANAKO)
    serve(server, "one")
    for program, subject in ((PROGRAM, "two"), (old_program, "three"), (PROGRAM, "four")):
        start_again(server, program)
        serve(server, subject)
    assert subjects(server) == ["one", "two", "three", "four"]
    assert level(server)["level"] == 1 and "compacted_by" not in server.command("account", "show", HANAKO, json_rows=True)[0]
    server.command("cluster", "level", "raise")
    wait_for(lambda: level(server)["written"] == NEWEST, timeout_s=40)
    time.sleep(4)
    serve(server, "five")
    assert server.command("account", "show", HANAKO, json_rows=True)[0]["compacted_by"]
    server.stop()
    server.program = old_program
    text = refused(server, "account", "list")
    assert f"feature level is {NEWEST}" in text and "start a newer version" in text
    text = refused(server, "serve", "--port-base", str(server.base))
    assert f"feature level is {NEWEST}" in text
    server.program = PROGRAM
    server.start()
    assert subjects(server) == ["one", "two", "three", "four", "five"]


def raise_to(server, number):
    server.command("cluster", "level", "raise", "--to", number)
    wait_for(lambda: level(server)["written"] == number, timeout_s=40)
    time.sleep(4)


def found(server, word):
    with imap(server) as client:
        return len(client.uid("SEARCH", None, "TEXT", word)[1][0].split())


@pytest.mark.local
def test_what_a_level_brings_is_not_written_before_it(new_server, old_program, tmp_path):
    server = new_server(program=old_program, config=tmp_path / "var.conf")
    cold = tmp_path / "cold"
    server.config.write_text(f'store {{ archive_directory = "{cold}" }}\n{listeners(server.base)}')
    server.start()
    server.add_domain()
    server.add_account(HANAKO)
    server.command("account", "set", HANAKO, "--archive-after", "30d")

    def tend(name):
        """A new message and an old one, small or large, and what maintenance does then."""
        with imap(server) as client:
            large = "many words\r\n" * (10000 if name == "b" else 1)
            for date, subject in (("01-Feb-2020", f"old-{name}"), (time.strftime("%d-%b-%Y"), f"new-{name}")):
                assert client.append("INBOX", "", f'"{date} 10:00:00 +0900"', message(subject, body=f"word{name}\r\n{large}"))[0] == "OK"
        server.command("account", "compact", HANAKO)

    def archived():
        shown = server.command("account", "show", HANAKO, json_rows=True)[0].get("archived_messages", 0)
        files = [path for path in (cold / "objects").rglob("*") if path.is_file()]
        assert bool(shown) == bool(files)
        return shown

    def segments():
        """Versions of the index's segments."""
        kept = [path.read_bytes()[:5] for path in (server.folder / "store" / "objects").rglob("i-*")]
        assert all(head[:4] == b"TySg" for head in kept)
        return {head[4] for head in kept}

    tend("a")
    start_again(server, PROGRAM)
    tend("b")
    assert archived() == 0 and not segments()
    raise_to(server, 6)
    tend("c")
    assert archived() == 0 and segments() == {1}
    assert found(server, "wordb") == 2
    with imap(server) as client:
        before = fetch_all(client)
    raise_to(server, 7)
    tend("d")
    assert archived() == 4 and segments() == {1}
    raise_to(server, 8)
    tend("e")
    assert archived() == 5 and 2 in segments()
    with imap(server) as client:
        after = fetch_all(client)
    assert len(before) == 6 and len(after) == 10 and {uid: after[uid] for uid in before} == before
    assert [found(server, f"word{name}") for name in "abcde"] == [2] * 5
    server.command("store", "verify")


def nodes(server):
    return {row["node"]: row for row in server.command("cluster", "status", json_rows=True) if row["kind"] == "node"}


def digest(server):
    return server.command("account", "digest", HANAKO, json_rows=True)[0]["digest"]


@pytest.mark.rados
def test_two_levels_side_by_side(new_server, old_program):
    a = new_server("a", program=old_program).start()
    a.add_domain()
    a.add_account(HANAKO)
    b = new_server("b").start()
    assert {name: row["level"] for name, row in nodes(a).items()} == {"a": 1, "b": NEWEST}
    for i in range(3):
        serve(a, f"a{i}")
        serve(b, f"b{i}")
    wanted = ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert subjects(a) == subjects(b) == wanted and digest(a) == digest(b)
    text = refused(b, "cluster", "level", "raise")
    assert "node a" in text and "level 1" in text
    # Back again is a way that is open as long as the level was not raised.
    start_again(b, old_program)
    assert subjects(b) == wanted
    # One after the other to the new program; mail is served by the other meanwhile.
    start_again(b, PROGRAM)
    serve(b, "b3")
    start_again(a, PROGRAM)
    assert {row["level"] for row in nodes(a).values()} == {NEWEST}
    a.command("cluster", "level", "raise")
    wait_for(lambda: level(b)["written"] == NEWEST, timeout_s=40)
    time.sleep(4)
    serve(b, "b4")
    assert a.command("account", "show", HANAKO, json_rows=True)[0]["compacted_by"] == "b"
    assert subjects(a) == subjects(b) == wanted + ["b3", "b4"] and digest(a) == digest(b)
    # An old one does not come any more, neither as a server nor as a command.
    a.stop()
    a.program = old_program
    assert "start a newer version" in refused(a, "serve")
    assert f"feature level is {NEWEST}" in refused(a, "account", "list")
    assert subjects(b) == wanted + ["b3", "b4"]
