"""One server on a real cluster: what it asks of the cluster, and what it says when the cluster cannot."""
import contextlib
import pathlib
import re
import smtplib
import subprocess
import time

import pytest

from conftest import CLUSTER_TOOL
from mail import imap, message, send, wait_for

pytestmark = pytest.mark.local      # it makes its stores itself

pytestmark = pytest.mark.rados


@pytest.fixture
def rados_server(server):
    for name in ("jiro", "saburo"):
        server.add_account(f"{name}@example.test")
    return server


def operations(server):
    found = re.findall(r"^tayori_rados_(\w+_(?:reads|writes))_total (\d+)$", server.metrics(), re.M)
    return {name: int(number) for name, number in found}


def done_by(server, action):
    before = operations(server)
    action()
    after = operations(server)
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def test_a_delivery_is_one_write_to_a_recipient(rados_server):
    everybody = ["hanako@example.test", "jiro@example.test", "saburo@example.test"]
    send(rados_server, message("warm", to=everybody[0]), to=everybody)

    def deliver():
        for i in range(10):
            send(rados_server, message(f"one {i}"))
        send(rados_server, message("all", body="x" * 70 + "\r\n"), to=everybody)
        send(rados_server, message("near the limit", body=("y" * 70 + "\r\n") * 800))

    counts = done_by(rados_server, deliver)
    assert counts["journal_writes"] == 10 + 3 + 1
    assert "object_writes" not in counts and "index_writes" not in counts
    with imap(rados_server) as client:
        assert len(client.search(None, "ALL")[1][0].split()) == 1 + 10 + 1 + 1


def test_a_large_message_is_kept_and_read_back(rados_server):
    body = "".join(f"line {i} of a message that is too large to stand in a journal\r\n" for i in range(20000))
    counts = done_by(rados_server, lambda: send(rados_server, message("large", body=body)))
    assert counts["journal_writes"] == 1 and counts["object_writes"] >= 1
    with imap(rados_server) as client:
        _, data = client.fetch("1", "(BODY.PEEK[TEXT])")
        assert data[0][1].decode() == body


def test_a_fenced_server_comes_back_by_itself(rados_server):
    """As when the others have taken this node for dead: the cluster refuses it, it connects as a new client and goes on."""
    store = rados_server.store
    folder = pathlib.Path(store.ceph_config).parent
    watchers = subprocess.run([CLUSTER_TOOL, "watchers", folder, "signal.00", f"{store.name}.s"], capture_output=True, text=True, check=True).stdout
    address = re.search(r"watcher=(\S+)", watchers).group(1)
    send(rados_server, message("before"))
    with imap(rados_server) as client:
        subprocess.run([CLUSTER_TOOL, "blocklist", folder, address], check=True)
        accepted = 0
        for i in range(100):
            with contextlib.suppress(smtplib.SMTPException):
                send(rados_server, message(f"after {i}"))
                accepted += 1
            if accepted == 5:
                break
            time.sleep(0.02)
        assert accepted == 5
        found = wait_for(lambda: client.noop()[0] == "OK" and client.search(None, "ALL")[1][0].split())
        subjects = {client.fetch(number, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0][1] for number in found}
        assert len(subjects) == len(found) >= 6, "nothing acknowledged is lost, nothing is there twice"
    assert "store_fenced" in rados_server.log_text() and "store_connected_anew" in rados_server.log_text()
