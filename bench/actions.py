#!/usr/bin/python3
"""What each action of a client costs in operations of the cluster: two nodes on a store of its own in the cluster of TAYORI_TEST_CEPH.

    tools/test-cluster start /dev/shm/bench-ceph; TAYORI_TEST_CEPH=/dev/shm/bench-ceph/ceph.conf bench/actions.py [PROGRAM]
"""
import os
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
if len(sys.argv) > 1:
    os.environ["TAYORI_PROGRAM"] = str(pathlib.Path(sys.argv[1]).resolve())
sys.path.insert(0, str(ROOT / "tests" / "system"))
from conftest import RadosStore, Server  # noqa: E402
from mail import fetch_all, imap, message, pop3, send  # noqa: E402

ACCOUNT = "hanako@example.test"


def operations(server):
    return {name: int(number) for name, number in re.findall(r"^tayori_rados_(\w+_(?:reads|writes))_total (\d+)$", server.metrics(), re.M)}


def measure(server, name, action, times=1):
    before = operations(server)
    for _ in range(times):
        result = action()
    after = operations(server)
    cost = ", ".join(f"{key} {(after[key] - before[key]) / times:.2f}" for key in after if after[key] != before[key])
    print(f"{name:48} {cost}", flush=True)
    return result


def main():
    with tempfile.TemporaryDirectory() as folder:
        store = RadosStore(os.environ["TAYORI_TEST_CEPH"])
        # No role that works by itself: only what actions cost is counted. Node registry and signals are counted apart or are small.
        a, b = (Server(f"{folder}/{name}", options=["--roles", "smtp,imap,pop,http"], store=store).start() for name in "ab")
        try:
            a.add_domain()
            a.add_account(ACCOUNT)
            run(a, b)
        finally:
            a.stop()
            b.stop()


def run(a, b):
    send(a, message("warm"))
    measure(a, "deliver 5 KB", lambda: send(a, message("x", body=("y" * 70 + "\r\n") * 70)), 100)
    measure(a, "deliver 200 KB", lambda: send(a, message("x", body=("y" * 70 + "\r\n") * 2800)), 5)
    a.command("account", "compact", ACCOUNT)
    for _ in range(50):
        send(a, message("tail", body=("z" * 70 + "\r\n") * 70))
    client = measure(b, "IMAP log-in, account not in memory", lambda: imap(b, select=None))
    measure(b, "SELECT", lambda: client.select("INBOX"), 5)
    measure(b, "NOOP", client.noop, 20)
    measure(b, "UID FETCH 1:* FLAGS (156 messages)", lambda: client.uid("FETCH", "1:*", "FLAGS"))
    measure(b, "UID FETCH 1:* ENVELOPE", lambda: client.uid("FETCH", "1:*", "ENVELOPE"))
    measure(b, "UID FETCH 1:* BODY.PEEK[]", lambda: fetch_all(client))
    measure(b, "UID FETCH of one again", lambda: client.uid("FETCH", "70", "BODY.PEEK[]"), 5)
    measure(b, "STORE +FLAGS, the first", lambda: client.uid("STORE", "1", "+FLAGS", r"(\Seen)"))
    measure(b, "STORE +FLAGS, nobody else there", lambda: client.uid("STORE", "2", "+FLAGS", r"(\Seen)"), 20)
    measure(b, "APPEND 1 KB", lambda: client.append("INBOX", None, None, message("appended", body="z" * 1000)), 20)
    client.create("Other")
    measure(b, "COPY of one", lambda: client.uid("COPY", "5", "Other"), 10)
    measure(b, "MOVE of one", lambda: client.uid("MOVE", "5", "Other"), 1)
    measure(b, "STORE \\Deleted and EXPUNGE", lambda: (client.uid("STORE", "6", "+FLAGS", r"(\Deleted)"), client.expunge()))
    measure(b, "LIST and STATUS", lambda: (client.list(), client.status("Other", "(MESSAGES)")), 5)
    client.logout()
    again = measure(b, "IMAP log-in, account in memory", lambda: imap(b, select=None))
    again.logout()

    def check_mail():
        client = pop3(b)
        client.stat()
        client.quit()
    measure(b, "POP3: log-in, STAT, QUIT", check_mail, 10)

    def take_one():
        client = pop3(b)
        client.retr(1)
        client.dele(1)
        client.quit()
    measure(b, "POP3: log-in, RETR, DELE, QUIT", take_one, 10)
    client = imap(b)

    def both():
        send(a, message("other"))
        client.uid("STORE", "20", "+FLAGS", r"(\Seen)")
    measure(b, "STORE beside deliveries of another node", both, 20)
    client.logout()


main()
