"""The habits of real clients: dozens of connections of one account, polling, pipelining, and several sessions that change one mailbox at once."""
import imaplib
import random
import ssl
import threading
import time

import pytest
from conftest import PASSWORD
from imap_model import Believer
from mail import imap, message, send, wait_for
from test_imap_extensions import compress

USER = "hanako@example.test"
SMALL = b"A: b\r\n\r\nc\r\n"
APPEND = b"APPEND INBOX (k1) {%d+}\r\n%s" % (len(SMALL), SMALL)
KEYWORDS = ["\\Seen", "\\Flagged", "\\Answered", "\\Deleted", "\\Draft", "k1", "k2"]
FRIENDS, TURNS = 6, 120


def over_tls(server):
    client = imaplib.IMAP4_SSL("localhost", server.port("imaps"), ssl_context=ssl.create_default_context(cafile=server.folder / "certificate.pem"))
    assert client.authenticate("PLAIN", lambda _: f"\0{USER}\0{PASSWORD}".encode())[0] == "OK"
    return client


def packed(server):
    client = over_tls(server)
    compress(client)
    return client


def together(functions, timeout_s=100):
    """Runs all at once; the first that failed fails the test."""
    failures = []

    def run(function):
        try:
            function()
        except BaseException as failure:        # pytest's own included
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(function,), daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    if failures:
        raise failures[0]
    assert not any(thread.is_alive() for thread in threads), "still not done"


def test_dozens_of_connections_of_one_account(server):
    """Twenty idle in INBOX, twenty have another mailbox open, twenty none, as phones, tablets and their apps do together."""
    imap(server, select=None).create("Other")
    idlers = [Believer((over_tls, imap)[i % 2](server)) for i in range(20)]
    others = [Believer(imap(server, select=None), "Other") for _ in range(20)]
    loose = [imap(server, select=None) for _ in range(20)]
    count, done = 12, threading.Event()

    def change():
        for i in range(count):
            send(server, message(f"m{i}"))
        client = imap(server)
        client.store("1:5", "+FLAGS.SILENT", r"(\Deleted)")
        client.expunge()
        client.store("1", "+FLAGS", r"(last)")
        done.set()

    def until_the_last_flag(one):
        one.idle(lambda: one.model.rows and one.model.rows[0].flags and b"last" in one.model.rows[0].flags)

    together([change, *(lambda one=one: until_the_last_flag(one) for one in idlers)])
    assert done.is_set()
    views = {tuple(one.prove()) for one in idlers}
    assert len(views) == 1 and len(views.pop()) == count - 5
    for one in others:
        one.ask("NOOP")
        assert one.model.rows == []
    for client in loose:
        assert client.status("INBOX", "(MESSAGES)")[1] == [b"INBOX (MESSAGES %d)" % (count - 5)]
    # the limit is 100, and the one beyond it is told
    more = [imap(server, select=None) for _ in range(40)]
    with pytest.raises(imaplib.IMAP4.error, match="LIMIT|many"):
        imap(server, select=None)
    more[0].logout()
    wait_for(lambda: imap(server, select=None).noop()[0] == "OK")


def cpu_s(server):
    with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / 100


def test_clients_that_poll_every_second(server, capsys):
    """Some stay connected, some log in each time: each poll after a delivery sees it."""
    seconds, delivered, polls = 6, [0], []
    staying = [Believer(imap(server)) for _ in range(15)]
    end = time.monotonic() + seconds

    def poll(look):
        while time.monotonic() < end:
            started, least = time.monotonic(), delivered[0]
            assert look() >= least
            polls.append(time.monotonic() - started)
            time.sleep(max(0, 1 - (time.monotonic() - started)))

    def stay(one):
        one.ask("NOOP", "CHECK", "UID SEARCH UNSEEN", "STATUS INBOX (MESSAGES UNSEEN UIDNEXT)")
        return len(one.model.rows)

    def come_and_go():
        client = imap(server, select=None)
        answer = client.status("INBOX", "(MESSAGES UNSEEN UIDNEXT)")[1][0]
        client.logout()
        return int(answer.split()[2])

    def deliver():
        while time.monotonic() < end - 1:
            send(server, message(f"m{delivered[0]}"))
            delivered[0] += 1
            time.sleep(0.2)

    before = cpu_s(server)
    together([deliver, *(lambda one=one: poll(lambda: stay(one)) for one in staying), *(lambda: poll(come_and_go) for _ in range(10))])
    assert delivered[0] > 5 and len(polls) >= 25 * 3
    with capsys.disabled():
        print(f"\n{len(polls)} polls of 25 clients: {(cpu_s(server) - before) / len(polls) * 1000:.1f} ms of processor time each, the slowest took {max(polls):.2f} s")


def test_a_client_that_pipelines(server):
    """Hundreds of commands in one write: answers in their order, each right at its place."""
    one, other = Believer(imap(server)), imap(server)
    one.ask(*[APPEND] * 200)
    assert len(one.model.rows) == 200
    one.ask("FETCH 1:* (UID FLAGS)")
    for i in range(1, 101):
        one.send(f"UID FETCH {i} (FLAGS BODY.PEEK[])", f"UID STORE {i} +FLAGS (\\Seen)", f"SEARCH UID {i}", f"UID COPY {i} INBOX")
    for i in range(1, 101):
        for _ in range(3):
            assert one.hear().startswith(b"OK")
        assert one.model.searched == [i] and b"\\Seen" in one.model.rows[i - 1].flags
        assert one.hear().startswith(b"OK [COPYUID")
    assert len(one.model.rows) == 300
    # what a pipeline deletes is gone for what follows it, and its numbers change only where they may
    one.ask("STORE 1:50 +FLAGS.SILENT (\\Deleted)", "FETCH 51 (UID)", "EXPUNGE", "FETCH 1 (UID)", "UID MOVE 100 INBOX", "CLOSE", "SELECT INBOX", "FETCH 1:2 (UID)")
    assert one.model.rows[0].uid == 51
    other.noop()
    assert len(one.prove()) == 250 and other.search(None, "ALL")[1][0].split()[-1] == b"250"
    # a pipeline that ends in LOGOUT is done whole
    one.send(*[APPEND] * 50, "LOGOUT")
    assert all(one.hear().startswith(b"OK") for _ in range(51))
    other.noop()
    assert other.search(None, "ALL")[1][0].split()[-1] == b"300"


class Friend(Believer):
    """Does whatever comes to its mind, one command at a time or several."""

    def __init__(self, client, seed, enable=""):
        super().__init__(client, "INBOX", enable)
        self.random = random.Random(seed)

    def number(self):
        return self.random.randint(1, len(self.model.rows))

    def uids(self):
        known = [row.uid for row in self.model.rows if row.uid] or [1]
        first = self.random.choice(known)
        return f"{first}:{first + self.random.randint(0, 5)}"

    def by_uid(self):
        """May be many at once: it says the same whatever comes before it."""
        flag = self.random.choice(KEYWORDS)
        return self.random.choice([
            "NOOP", "UID FETCH 1:* (FLAGS)", f"UID FETCH {self.uids()} (FLAGS BODY.PEEK[])", f"UID STORE {self.uids()} +FLAGS ({flag})",
            f"UID STORE {self.uids()} -FLAGS ({flag})", f"UID COPY {self.uids()} INBOX", f"UID MOVE {self.uids()} Other", f"UID MOVE {self.uids()} INBOX",
            f"UID EXPUNGE {self.uids()}", "UID SEARCH ALL", APPEND, APPEND, APPEND])

    def by_number(self):
        """As one of several: nothing may be expunged meanwhile, so the numbers stay."""
        flag, number = self.random.choice(KEYWORDS), self.number()
        return self.random.choice([f"FETCH {number} (UID FLAGS)", f"FETCH {number}:* (UID)", f"STORE {number} +FLAGS ({flag})", f"STORE {number} -FLAGS ({flag})",
                                   f"FETCH {number} (FLAGS BODY.PEEK[TEXT])"])

    def silently(self):
        row, flag, sign = self.model.rows[self.number() - 1], self.random.choice(KEYWORDS), self.random.choice("+-")
        if row.flags is not None:
            row.flags = row.flags | {flag.encode()} if sign == "+" else row.flags - {flag.encode()}
        if not self.ask(f"STORE {self.model.rows.index(row) + 1} {sign}FLAGS.SILENT ({flag})", kindly=True).startswith(b"OK"):
            row.flags = None

    def search(self):
        row = self.model.rows[self.number() - 1]
        if not row.uid:
            return
        self.ask(f"SEARCH UID {row.uid}", kindly=True)
        # an expunge that it has not been told of may have happened: then nothing is found, never another
        assert self.model.searched in ([], [self.model.rows.index(row) + 1])

    def act(self):
        what = self.random.choice(["uid", "uid", "pipeline", "numbers", "numbers", "silent", "search", "all", "expunge", "move", "idle", "select"])
        if what == "uid":
            self.ask(self.by_uid(), kindly=True)
        elif what == "pipeline":
            self.ask(*[self.by_uid() for _ in range(self.random.randint(2, 12))], kindly=True)
        elif what == "idle":
            end = time.monotonic() + self.random.random() / 10
            self.send("IDLE")
            time.sleep(max(0, end - time.monotonic()))
            self.client.send(b"DONE\r\n")
            self.hear()
        elif what == "select" and self.random.random() < 0.3:
            self.select("INBOX")
        elif what == "expunge":
            self.ask(self.random.choice(["EXPUNGE", "NOOP", "CHECK"]), kindly=True)
        elif not self.model.rows:
            self.ask(APPEND)
        elif what == "numbers":
            self.ask(*[self.by_number() for _ in range(self.random.randint(1, 8))], kindly=True)
        elif what == "silent":
            self.silently()
        elif what == "search":
            self.search()
        elif what == "all":
            self.ask("FETCH 1:* (UID FLAGS)", "SEARCH ALL", kindly=True)
        elif what == "move":
            self.ask(f"MOVE {self.number()} {self.random.choice(['INBOX', 'Other'])}", kindly=True)

    def live(self):
        try:
            for _ in range(TURNS):
                self.act()
        except BaseException:
            print(b"\n".join(self.said).decode(errors="replace"))
            raise


@pytest.mark.both
def test_sessions_that_change_one_mailbox_at_once(new_server):
    """Their numbers, UIDs and flags fit at every instant; in the end all believe the same, which is true."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    server = new_server().start()
    server.add_domain()
    server.add_account(USER)
    imap(server, select=None).create("Other")
    for i in range(10):
        send(server, message(f"m{i}"))
    ways = [imap, over_tls, packed]
    friends = [Friend(ways[i % 3](server), seed + i, ["", "QRESYNC", "CONDSTORE", "UTF8=ACCEPT"][i % 4]) for i in range(FRIENDS)]
    together([friend.live for friend in friends])
    for friend in friends:
        friend.ask("NOOP")
    views = [friend.prove() for friend in friends]
    fresh = Believer(imap(server))
    assert all(view == fresh.prove() for view in views)
