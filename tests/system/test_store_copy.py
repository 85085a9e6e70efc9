"""`tayori store copy`: from the embedded store to another and back, while mail comes in."""
import json
import subprocess
import threading
import time
import uuid

import pytest

from conftest import PROGRAM, RadosStore
from mail import imap, message, send

pytestmark = pytest.mark.local            # the engines are this file's own choice
PEOPLE = [f"user{i}@example.test" for i in range(4)]
LARGE = ("z" * 70 + "\r\n") * 2000


class Load:
    """Delivers to everybody until it is stopped; knows what was acknowledged, and what may or may not have come."""

    running = []

    def __init__(self, server):
        Load.running.append(self)
        self.server, self.acknowledged, self.unknown, self.refused = server, [], [], 0
        self.must_stop = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(3)]
        for thread in self.threads:
            thread.start()

    def run(self, n):
        number = 0
        while not self.must_stop.is_set():
            number += 1
            to = PEOPLE[(n + number) % len(PEOPLE)]
            subject = f"load {uuid.uuid4().hex}"
            try:
                send(self.server, message(subject, to=to, body=LARGE if number % 10 == 0 else "text"), to=to)
                self.acknowledged.append((to, subject))
            except OSError as error:          # smtplib's errors are such
                if getattr(error, "smtp_code", 0) or hasattr(error, "recipients"):
                    self.refused += 1
                    time.sleep(0.05)
                else:
                    self.unknown.append((to, subject))
                    time.sleep(0.1)

    def stop(self):
        self.must_stop.set()
        for thread in self.threads:
            thread.join()
        return self


@pytest.fixture(autouse=True)
def no_load_is_left():
    """A test that failed would go on delivering, to the servers of those after it."""
    yield
    while Load.running:
        Load.running.pop().stop()


def fill(server):
    server.add_domain()
    for who in PEOPLE:
        server.add_account(who)
    server.command("alias", "add", "all@example.test", *PEOPLE[:2])
    send(server, message("for all"), to=PEOPLE)
    for i in range(20):
        send(server, message(f"before {i}", to=PEOPLE[0], body=LARGE if i % 7 == 0 else "text"), to=PEOPLE[0])
    with imap(server, PEOPLE[0]) as client:
        client.create("Archive")
        client.select("INBOX")
        client.copy("1:5", "Archive")
        client.store("2:4", "+FLAGS", "(\\Seen $Label)")
        client.store("7", "+FLAGS", "\\Deleted")
        client.expunge()
    server.command("account", "compact", PEOPLE[0])


def digests(server):
    return {who: server.command("account", "digest", who, json_rows=True)[0]["digest"] for who in PEOPLE}


def subjects(server, who):
    with imap(server, who) as client:
        client.select("INBOX", readonly=True)
        found = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
        return [part[1].decode().split(":", 1)[1].strip() for part in found if isinstance(part, tuple)]


def expect_all(server, load):
    there = {who: subjects(server, who) for who in PEOPLE}
    for who, subject in load.acknowledged:
        assert there[who].count(subject) == 1, (who, subject)
    for found in there.values():
        assert len(set(found)) == len(found)


def copy(server, *words, check=True):
    return server.command("store", "copy", *words, check=check, json_rows=check)


@pytest.fixture(params=["local", "rados"])
def other(request, new_server):
    """A server that does not run yet, on another store, and how that store is named."""
    if request.param == "local":
        server = new_server("other")
        return server, server.folder
    server = new_server("node", store=RadosStore(request.getfixturevalue("ceph_config")))
    return server, server.config


def move(source, target, name, load):
    """Copies under load, moves, starts the other; mail that was acknowledged is there once and the digests are the same."""
    first = copy(source, "--to", name)[-1]
    assert first["records"] + first["objects"] > 0 and not first["finished"]
    time.sleep(1)
    copy(source, "--to", name)
    last = copy(source, "--to", name, "--finish")[-1]
    assert last["finished"] and last["compared"] == len(PEOPLE)
    time.sleep(0.5)
    load.stop()
    assert load.refused > 0 and len(load.acknowledged) > 20
    source.stop()
    arrive(source, target, load)


def arrive(source, target, load):
    """The copy is complete, and nobody serves the source any more."""
    before = digests(source)
    target.start()
    assert digests(target) == before
    expect_all(target, load)
    assert target.command("store", "verify", json_rows=True)[-1]["problems"] == 0


def test_a_store_moves_under_load_and_back(new_server, other):
    source = new_server().start()
    target, name = other
    fill(source)
    load = Load(source)
    move(source, target, name, load)
    # Who is gone does not start.
    refused = subprocess.run([str(PROGRAM), "serve", "--dir", str(source.folder), "--port-base", str(source.base)], capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0 and "moved to" in refused.stderr
    # And back, into the store that it came from.
    send(target, message("in between", to=PEOPLE[1]), to=PEOPLE[1])
    target.add_account("late@example.test")
    target.command("account", "remove", PEOPLE[3])
    target.add_account(PEOPLE[3])
    back = Load(target)
    move(target, source, source.folder, back)
    assert subjects(source, PEOPLE[1]).count("in between") == 1
    assert "late@example.test" in source.command("account", "list")
    send(source, message("at home", to="all@example.test"), to="all@example.test")
    assert subjects(source, PEOPLE[1]).count("at home") == 1


@pytest.mark.parametrize("other", ["local", pytest.param("rados", marks=pytest.mark.long)], indirect=True)
def test_a_copy_goes_on_after_kills(new_server, other):
    source = new_server().start()
    target, name = other
    fill(source)
    load = Load(source)
    try:
        for i in range(4):
            finishes = i % 2
            copying = subprocess.Popen([str(PROGRAM), "store", "copy", "--to", str(name), "--dir", str(source.folder), *(["--finish"] if finishes else [])],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.1 * i if finishes else 0.3 + 0.2 * i)
            source.kill()
            copying.wait(30)
            try:
                source.start()
            except AssertionError as error:       # it was done before the kill
                assert finishes and "moved to" in str(error)
                source.process = None
                return arrive(source, target, load.stop())
        move(source, target, name, load)
    finally:
        load.must_stop.set()


def test_stores_that_must_not_be_written_over_are_not(new_server, folder):
    source = new_server().start()
    fill(source)
    other = new_server("other").start()
    other.add_domain("other.test")
    busy = copy(source, "--to", other.folder, check=False)
    assert busy.returncode == 1 and "in use" in busy.stderr
    other.stop()
    taken = copy(source, "--to", other.folder, check=False)
    assert taken.returncode == 1 and "other.test" in taken.stderr
    itself = copy(source, "--to", source.folder, check=False)
    assert itself.returncode == 1 and "this store itself" in itself.stderr
    nothing = copy(source, "--to", PROGRAM, check=False)
    assert nothing.returncode == 1
    # An unfinished copy is not served, unless that is what is wanted.
    half = new_server("half")
    copy(source, "--to", half.folder)
    refused = subprocess.run([str(PROGRAM), "serve", "--dir", str(half.folder), "--port-base", str(half.base)], capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0 and "unfinished copy" in refused.stderr
    half.command("store", "release")
    half.start()
    assert digests(half) == digests(source)


def test_a_store_that_was_moved_can_be_taken_back(new_server):
    source, target = new_server().start(), new_server("target")
    fill(source)
    told = source.command("store", "copy", "--to", target.folder, "--finish").splitlines()
    assert told[-1].split() == ["finished", "yes"]
    with pytest.raises(OSError):
        send(source, message("too late", to=PEOPLE[0]), to=PEOPLE[0])
    with imap(source, PEOPLE[0]) as client:
        client.select("INBOX")
        assert client.store("1", "+FLAGS", "\\Flagged")[0] == "NO"
        assert client.fetch("1", "(FLAGS)")[0] == "OK"
    source.command("store", "release")
    send(source, message("again", to=PEOPLE[0]), to=PEOPLE[0])
    assert subjects(source, PEOPLE[0]).count("again") == 1


def test_a_copy_without_a_server(new_server):
    source, target = new_server().start(), new_server("target")
    fill(source)
    before = digests(source)
    source.stop()
    done = subprocess.run([str(PROGRAM), "store", "copy", "--from", str(source.folder), "--to", str(target.folder), "--finish", "--json"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["finished"]
    target.start()
    assert digests(target) == before
