#!/usr/bin/python3
"""Large things: an account of many messages, one of many mailboxes, a directory of many accounts. Times and memory of the server.

    bench/large.py PROGRAM [--messages 1048576] [--mailboxes 10000] [--accounts 1000000]

On the local engine; on a cluster where TAYORI_TEST_CEPH names one (tools/test-cluster start DIR), with a second node that opens all cold.
"""
import argparse
import json
import os
import pathlib
import random
import re
import socket
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
options = argparse.ArgumentParser()
options.add_argument("program")
options.add_argument("--messages", type=int, default=1 << 20)
options.add_argument("--mailboxes", type=int, default=10000)
options.add_argument("--accounts", type=int, default=1000000)
options = options.parse_args()
os.environ["TAYORI_PROGRAM"] = str(pathlib.Path(options.program).resolve())
sys.path.insert(0, str(ROOT / "tests" / "system"))
import imaplib  # noqa: E402
from conftest import PASSWORD, RadosStore, Server  # noqa: E402
from mail import imap, message, pop3, send  # noqa: E402

imaplib._MAXLINE = 100_000_000
MANY, WIDE = "many@example.test", "wide@example.test"


def memory(server):
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) // 1024


def took(server, name, action):
    began = time.monotonic()
    result = action()
    print(f"{name:56} {(time.monotonic() - began) * 1000:10.1f} ms   {memory(server):6} MB", flush=True)
    return result


def many_messages(a, b):
    print(f"-- an account of {options.messages} messages", flush=True)
    a.add_account(MANY)
    send(a, message("one"), to=MANY)
    client = imap(a, user=MANY)
    count = 1

    def double():
        nonlocal count
        while count < options.messages:
            assert client.uid("COPY", f"1:{min(count, options.messages - count)}", "INBOX")[0] == "OK"
            count = min(2 * count, options.messages)
    took(a, "made by COPY", double)
    took(a, "NOOP that tells of them", client.noop)
    took(a, "tayori account compact", lambda: a.command("account", "compact", MANY))
    took(a, "UID STORE 1:* +FLAGS.SILENT", lambda: client.uid("STORE", "1:*", "+FLAGS.SILENT", r"(\Flagged)"))
    took(a, "tayori account compact, every row changed", lambda: a.command("account", "compact", MANY))
    cold = took(b, "IMAP log-in, cold", lambda: imap(b, user=MANY, select=None))
    took(b, "SELECT, cold", lambda: cold.select("INBOX"))
    took(b, "FETCH of the last 50, cold", lambda: cold.fetch(f"{count - 50}:{count}", "(UID FLAGS ENVELOPE)"))
    took(b, "FETCH 1:* (UID FLAGS)", lambda: cold.fetch("1:*", "(UID FLAGS)"))
    took(b, "SEARCH UNSEEN", lambda: cold.search(None, "UNSEEN"))
    took(b, "SEARCH ALL", lambda: cold.search(None, "ALL"))
    took(b, "STORE of one", lambda: cold.store("7", "+FLAGS", r"(\Seen)"))
    took(a, "delivery", lambda: send(a, message("two"), to=MANY))
    took(b, "NOOP", cold.noop)
    took(b, "tayori account digest", lambda: b.command("account", "digest", MANY))
    drop = took(b, "POP3 log-in", lambda: pop3(b, user=MANY))
    took(b, "POP3 STAT", drop.stat)
    drop.quit()

    def expunge():
        cold.store(f"1:{count // 2}", "+FLAGS.SILENT", r"(\Deleted)")
        cold.close()
    took(b, "STORE and CLOSE of half of them", expunge)
    took(a, "NOOP of the other session", client.noop)
    took(a, "tayori account compact", lambda: a.command("account", "compact", MANY))
    client.logout()


def many_mailboxes(a, b):
    print(f"-- an account of {options.mailboxes} mailboxes", flush=True)
    a.add_account(WIDE)

    def create():
        with socket.create_connection(("127.0.0.1", a.port("imap"))) as s:
            lines = s.makefile("rb")
            s.sendall(f'l AUTHENTICATE PLAIN {__import__("base64").b64encode(f"{chr(0)}{WIDE}{chr(0)}{PASSWORD}".encode()).decode()}\r\n'.encode())
            while not lines.readline().startswith(b"l OK"):
                pass
            for first in range(0, options.mailboxes, 200):
                numbers = range(first, min(first + 200, options.mailboxes))
                s.sendall("".join(f"c CREATE folder{n // 100}/box{n}\r\n" for n in numbers).encode())
                for _ in numbers:
                    assert lines.readline().startswith(b"c OK")
    took(a, "CREATE of each", create)
    took(a, "tayori account compact", lambda: a.command("account", "compact", WIDE))
    client = took(b, "IMAP log-in, cold", lambda: imap(b, user=WIDE, select=None))
    found = took(b, "LIST", client.list)
    assert len(found[1]) >= options.mailboxes
    client.send(client._new_tag() + b' LIST "" "*" RETURN (STATUS (MESSAGES UNSEEN UIDNEXT))\r\n')

    def answer():
        while b" OK " not in client.readline():
            pass
    took(b, "LIST with STATUS", answer)
    took(b, "SELECT of one", lambda: client.select("folder7/box700"))
    took(b, "CREATE of one more", lambda: client.create("folder7/box-new"))
    took(b, "APPEND", lambda: client.append("folder7/box-new", None, None, message("here")))
    took(b, "RENAME of a folder of 100", lambda: client.rename("folder8", "renamed8"))
    took(b, "DELETE of one", lambda: client.delete("folder7/box701"))
    took(a, "tayori account compact", lambda: a.command("account", "compact", WIDE))
    client.logout()


def many_accounts(a, b, folder):
    print(f"-- {options.accounts} accounts", flush=True)
    path = pathlib.Path(folder) / "accounts.json"

    def load():
        """In pieces, each of minutes: a command has its time limit here."""
        for first in range(0, options.accounts, 100000):
            with open(path, "w", encoding="utf-8") as out:
                for n in range(first, min(first + 100000, options.accounts)):
                    out.write(json.dumps({"address": f"u{n}@example.test", "password": "{PLAIN}" + PASSWORD, "quota": "1G"}) + "\n")
            a.command("account", "load", path)
            print(f"   {first + 100000} after {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    took(a, "tayori account load", load)
    some = [f"u{random.randrange(options.accounts)}@example.test" for _ in range(200)]
    took(b, "200 log-ins by IMAP with SELECT", lambda: [imap(b, user=address).logout() for address in some])
    took(a, "200 deliveries", lambda: [send(a, message("hello"), to=address) for address in some])
    took(b, "200 log-ins by POP3", lambda: [pop3(b, user=address).quit() for address in some])
    a.command("store", "upkeep", "start")

    def wait_for_round():
        while a.command("store", "upkeep", json_rows=True)[0]["state"] != "ended":
            time.sleep(0.5)
    took(a, "a round of maintenance", wait_for_round)
    print(a.command("store", "upkeep"))
    took(a, "tayori account list", lambda: a.command("account", "list"))


def main():
    ceph = os.environ.get("TAYORI_TEST_CEPH")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        store = RadosStore(ceph) if ceph else None
        a = Server(f"{folder}/a", store=store).start()
        b = Server(f"{folder}/b", store=store).start() if ceph else a
        try:
            print(f"{'engine: ' + ('rados' if ceph else 'local'):56} {'':13} {memory(a):6} MB", flush=True)
            a.add_domain()
            if options.messages:
                many_messages(a, b)
            if options.mailboxes:
                many_mailboxes(a, b)
            if options.accounts:
                many_accounts(a, b, folder)
        finally:
            a.stop()
            if b is not a:
                b.stop()


main()
