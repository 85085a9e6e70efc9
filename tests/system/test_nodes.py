"""Several nodes on one cluster: any node serves any account, and what one changes the others show."""
import random
import statistics
import threading
import time

import pytest
from mail import fetch_all, imap, message, send

pytestmark = pytest.mark.rados
ACCOUNT = "hanako@example.test"


@pytest.fixture
def nodes(new_server):
    """Three nodes of one store, with an account."""
    made = [new_server(name).start() for name in ("a", "b", "c")]
    made[0].add_domain()
    made[0].add_account(ACCOUNT)
    return made


def digests(nodes, account=ACCOUNT):
    return [node.command("account", "digest", account, json_rows=True)[0]["digest"] for node in nodes]


def idle(client):
    client.sock.settimeout(10)
    client.send(client._new_tag() + b" IDLE\r\n")
    assert client.readline().startswith(b"+")


def await_line(client, part):
    while part not in (line := client.readline()):
        assert line, "the connection ended"
    return time.monotonic()


def test_idle_on_one_node_sees_deliveries_on_another(nodes):
    client, took = imap(nodes[1]), []
    idle(client)
    for number in range(20):
        send(nodes[0], message(f"i{number}"))
        accepted = time.monotonic()
        took.append(await_line(client, b"EXISTS") - accepted)
        time.sleep(0.06)
    print(f"from 250 on one node to EXISTS on another: median {statistics.median(took) * 1000:.1f} ms, longest {max(took) * 1000:.1f} ms")
    assert statistics.median(took) < 0.1


def test_flags_moves_and_expunges_reach_the_other_nodes(nodes):
    for number in range(10):
        send(nodes[number % 3], message(f"f{number}"))
    a, b, c = (imap(node) for node in nodes)
    a.create("Kept")
    idle(c)
    assert a.uid("STORE", "1:3", "+FLAGS", r"(\Flagged kept)")[0] == "OK"
    assert b.uid("MOVE", "4:5", "Kept")[0] == "OK"
    assert a.uid("STORE", "6", "+FLAGS", r"(\Deleted)")[0] == "OK"
    assert a.expunge()[0] == "OK"
    await_line(c, b"EXPUNGE")
    for node in nodes:
        client = imap(node)
        assert sorted(fetch_all(client)) == [1, 2, 3, 7, 8, 9, 10]
        assert client.uid("SEARCH", "KEYWORD", "kept")[1][0].split() == [b"1", b"2", b"3"]
        client.select("Kept")
        assert len(fetch_all(client)) == 2
    assert len(set(digests(nodes))) == 1


def test_all_nodes_deliver_change_and_compact_one_account_at_once(nodes):
    stopped, problems, sent, flagged = threading.Event(), [], [], []

    def until_stopped(work, node):
        try:
            while not stopped.is_set():
                work(node)
        except Exception as problem:
            problems.append(repr(problem))

    def deliver(node):
        name = f"c{random.getrandbits(48):x}"
        send(node, message(name, "x" * random.choice([100, 10_000, 100_000]) + "\r\n"), lmtp=random.random() < 0.5)
        sent.append(name)

    def compact(node):
        node.command("account", "compact", ACCOUNT)
        time.sleep(0.1)

    def flag(node):
        client = imap(node)
        uids = client.uid("SEARCH", "UNKEYWORD", "kept")[1][0].split()
        for uid in random.sample(uids, min(5, len(uids))):
            if client.uid("STORE", uid.decode(), "+FLAGS.SILENT", "(kept)")[0] == "OK":
                flagged.append(int(uid))
        client.logout()

    threads = [threading.Thread(target=until_stopped, args=(work, node)) for node in nodes for work in (deliver, compact, flag)]
    for thread in threads:
        thread.start()
    time.sleep(8)
    stopped.set()
    for thread in threads:
        thread.join()
    assert not problems, problems
    client = imap(nodes[2])
    names = [data.split(b"\r\nSubject: ")[1].split(b"\r\n")[0].decode() for data in fetch_all(client).values()]
    assert sorted(names) == sorted(sent) and sent
    assert set(map(int, client.uid("SEARCH", "KEYWORD", "kept")[1][0].split())) == set(flagged)
    assert len(set(digests(nodes))) == 1
    nodes[0].command("store", "verify")


def test_a_node_that_dies_takes_nothing_along(nodes):
    for number in range(5):
        send(nodes[0], message(f"d{number}"))
    client = imap(nodes[1])
    nodes[0].kill()
    send(nodes[2], message("after"))
    client.noop()
    assert len(fetch_all(client)) == 6
    nodes[0].start()
    assert len(fetch_all(imap(nodes[0]))) == 6
    assert len(set(digests(nodes))) == 1
