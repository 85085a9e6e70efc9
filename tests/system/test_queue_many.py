"""Many messages: purged by one order, and none of another account waits for them."""
import os
import socket
import threading
import time

from mail import message, wait_for
from test_queue_commands import rows
from test_submission import login, sender, sink, submit  # noqa: F401

LONG = bool(os.environ.get("TAYORI_CHECK_LONG"))
PURGED, FLOOD = (1_000_000, 100_000) if LONG else (20_000, 5_000)
CLUSTER_MOST = 20_000          # a cluster of one machine takes about a thousand a second


def submit_many(server, count, to, clients=16):
    """So many messages of a line each, several under way on each connection."""
    def run(share):
        client = login(server)
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        text = f"MAIL FROM:<hanako@example.test>\r\nRCPT TO:<{to}>\r\nBDAT 50 LAST\r\n".encode() + b"From: hanako@example.test\r\nSubject: flood\r\n\r\nx".ljust(48) + b"\r\n"
        for begun in range(0, share, 100):
            part = min(100, share - begun)
            writer = threading.Thread(target=client.sock.sendall, args=(text * part,))
            writer.start()
            for _ in range(3 * part):
                assert client.getreply()[0] == 250
            writer.join()
        client.quit()
    threads = [threading.Thread(target=run, args=(count // clients,)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count // clients * clients


def memory_mb(server):
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def test_one_order_purges_the_mail_of_an_account(new_server, tmp_path, sink):  # noqa: F811
    server = sender(new_server, tmp_path, "*=127.0.0.1:9", "")
    server.add_account("jiro@example.test")
    with login(server, "jiro@example.test") as client:
        client.sendmail("jiro@example.test", ["a@elsewhere.test"], message("stays", sender="jiro@example.test"))
    count = submit_many(server, min(PURGED, CLUSTER_MOST) if server.store else PURGED, "u@elsewhere.test")
    assert rows(server, "summary")[0]["messages"] == count + 1
    before, began = memory_mb(server), time.monotonic()
    assert rows(server, "remove", "--account", "hanako@example.test") == [{"messages": count}]
    took = time.monotonic() - began
    print(f"{count} messages purged in {took:.2f} s; memory {before:.0f} MB before, {memory_mb(server):.0f} MB after")
    assert memory_mb(server) < before + 20 and took < 5 + count / 20_000
    assert [row["sender"] for row in rows(server, "list")] == ["jiro@example.test"]
    server.stop()
    server.start()
    assert rows(server, "summary")[0]["messages"] == 1


def test_a_flood_of_one_account_delays_no_other(new_server, tmp_path, sink):  # noqa: F811
    """The server on the other side waits until all has been submitted, and then takes its time, so that the flood has long to go when the letter comes."""
    all_is_there = threading.Event()
    there = sink(DATA=lambda s: (all_is_there.wait(), time.sleep(0.02)) and "354 go on")
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    server.add_account("jiro@example.test")
    flood = submit_many(server, min(FLOOD, CLUSTER_MOST) if server.store else FLOOD, "u@elsewhere.test")
    assert rows(server, "summary")[0]["messages"] > flood / 2
    all_is_there.set()
    waits = []
    for i in range(5):
        letter = message(f"letter{i}", sender="jiro@example.test", to="a@elsewhere.test")
        with login(server, "jiro@example.test") as client:
            began = time.monotonic()
            client.sendmail("jiro@example.test", ["a@elsewhere.test"], letter)
        wait_for(lambda: any(f"letter{i}".encode() in data for _, _, data in there.messages), 30)
        waits.append(time.monotonic() - began)
    assert rows(server, "summary")[0]["messages"] > 100, "the flood was over too soon to show anything"
    print("letters took", " ".join(f"{wait:.2f}" for wait in waits), "s")
    assert sorted(waits)[len(waits) // 2] < 1
