"""kill -9 under load: what was acknowledged is there, exactly once, flags included."""
import collections
import random
import re
import smtplib
import threading
import time

import pytest
from mail import fetch_all, imap, message

ACCOUNTS = [f"u{i}@example.test" for i in range(8)]


class Load:
    """Clients that send and set flags until told to stop; they remember what was acknowledged."""

    def __init__(self, server):
        self.server, self.stopped = server, threading.Event()
        self.lock = threading.Lock()
        self.sent, self.flagged = set(), collections.defaultdict(set)   # (account, name); account -> {uid}
        self.number = 0

    def name(self):
        with self.lock:
            self.number += 1
            return f"k{self.number}"

    def send_one(self, client, kind):
        names, to = self.name(), random.sample(ACCOUNTS, random.choice([1, 1, 3]))
        size = random.choice([300, 5000, 5000, 100_000])
        data = message(names, "x" * 70 + "\r\n" * 1 + "y" * size + "\r\n" if size < 900 else ("z" * 70 + "\r\n") * (size // 72))
        refused = client.sendmail("you@example.org", to, data)
        with self.lock:
            self.sent.update((account, names) for account in to if account not in refused)

    def send(self, kind, port):
        while not self.stopped.is_set():
            try:
                with kind("127.0.0.1", self.server.port(port), timeout=10) as client:
                    while not self.stopped.is_set():
                        self.send_one(client, kind)
            except (OSError, smtplib.SMTPException):
                time.sleep(0.02)

    def flag(self, account):
        while not self.stopped.is_set():
            try:
                client = imap(self.server, account, "x")
                client.sock.settimeout(10)
                while not self.stopped.is_set():
                    client.noop()
                    uids = client.uid("SEARCH", "UNKEYWORD", "kept")[1][0].split()
                    for uid in random.sample(uids, min(3, len(uids))):
                        if client.uid("STORE", uid.decode(), "+FLAGS.SILENT", "(kept)")[0] == "OK":
                            with self.lock:
                                self.flagged[account].add(int(uid))
                    time.sleep(0.005)
            except Exception:
                time.sleep(0.02)

    def start(self):
        jobs = [(self.send, (smtplib.SMTP, "smtp"))] * 4 + [(self.send, (smtplib.LMTP, "lmtp"))] * 2 + [(self.flag, (a,)) for a in ACCOUNTS[:4]]
        self.threads = [threading.Thread(target=job, args=arguments, daemon=True) for job, arguments in jobs]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(30)


def kill_many_times(new_server, rounds):
    server = new_server().start()
    server.add_domain()
    for account in ACCOUNTS:
        server.add_account(account, "x")
    load = Load(server)
    load.start()
    for _ in range(rounds):
        time.sleep(random.uniform(0.1, 0.8))
        server.kill()
        server.start()
    time.sleep(0.3)
    load.stop()
    found, twice, unflagged = set(), [], []
    for account in ACCOUNTS:
        client = imap(server, account, "x")
        counts = collections.Counter()
        for data in fetch_all(client).values():
            counts[re.search(rb"\r\nSubject: (k\d+)\r\n", data).group(1).decode()] += 1
        found.update((account, name) for name in counts)
        twice += [(account, name) for name, count in counts.items() if count > 1]
        kept = {int(uid) for uid in client.uid("SEARCH", "KEYWORD", "kept")[1][0].split()}
        unflagged += [(account, uid) for uid in load.flagged[account] - kept]
    print(f"{rounds} kills, {len(load.sent)} acknowledged, {len(load.sent - found)} lost, {len(twice)} twice, "
          f"{sum(map(len, load.flagged.values()))} flags acknowledged, {len(unflagged)} lost")
    assert load.sent and not load.sent - found
    assert not twice
    assert not unflagged
    server.command("store", "verify")


def test_ten_kills_lose_nothing(new_server):
    kill_many_times(new_server, 10)


@pytest.mark.long
def test_two_hundred_kills_lose_nothing(new_server):
    kill_many_times(new_server, 200)
