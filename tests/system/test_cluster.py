"""Nodes: the registry, draining, feature levels; on one machine, where the cluster has one node."""
import imaplib
import socket
import time

from conftest import PASSWORD
from mail import wait_for


def node_of(server):
    rows = server.command("cluster", "status", json_rows=True)
    return next(row for row in rows if row["kind"] == "node")


def readiness(server):
    with socket.create_connection(("127.0.0.1", server.port("http")), timeout=5) as s:
        s.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return int(s.recv(1000).split()[1])


def test_a_node_says_who_it_is(new_server):
    server = new_server(options=["--roles", "smtp,imap,http"]).start()
    node = node_of(server)
    assert node["state"] == "serving" and node["roles"] == "smtp,imap,http" and node["leases"] >= 1
    assert f"imap 127.0.0.1 {server.port('imap')}" in node["note"] and "pop3" not in node["note"]
    server.stop()
    # Asked without a server: it has gone in order, so nothing is left of it.
    assert [row["kind"] for row in server.command("cluster", "status", json_rows=True)] == ["cluster"]


def test_a_killed_node_is_seen_as_gone_and_comes_back(server):
    name = node_of(server)["node"]
    server.kill()
    assert [row["node"] for row in server.command("cluster", "status", json_rows=True)] == ["(cluster)", name]
    server.start()
    assert node_of(server)["state"] == "serving"
    done = server.command("cluster", "forget", name, check=False)
    assert done.returncode == 1 and "is alive" in done.stderr


def test_drain_ends_sessions_politely_and_undrain_opens_again(server):
    name = node_of(server)["node"]
    idle = [imaplib.IMAP4("127.0.0.1", server.port("imap")) for _ in range(6)]
    for client in idle:
        client._encoding = "utf-8"
        client.login("hanako@example.test", PASSWORD)
    smtp = socket.create_connection(("127.0.0.1", server.port("smtp")))
    assert smtp.recv(1000).startswith(b"220")
    server.command("cluster", "drain", name, "--over", "3")
    wait_for(lambda: readiness(server) == 503)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port("imap"))) != 0, "a drained node takes no connections"
    begun = time.monotonic()
    for client in idle:
        assert client.sock.makefile("rb").readline().startswith(b"* BYE [UNAVAILABLE]")
    assert smtp.recv(1000).startswith(b"421")
    assert time.monotonic() - begun < 10
    wait_for(lambda: node_of(server)["state"] == "drained")
    # The order outlives the process: what was upgraded waits for the operator.
    server.process.terminate()
    assert server.process.wait(30) == 0
    server.process = None
    server.start(is_ready=503)
    assert node_of(server)["state"] == "drained"
    server.command("cluster", "undrain", name)
    wait_for(lambda: readiness(server) == 200)
    imaplib.IMAP4("127.0.0.1", server.port("imap")).logout()
    assert server.command("cluster", "undrain", name, check=False).returncode == 1


def test_a_new_store_is_at_the_newest_level(server):
    level = server.command("cluster", "level", json_rows=True)[0]
    assert level["level"] == level["written"] == level["program"]
    done = server.command("cluster", "level", "raise", check=False)
    assert done.returncode == 1 and "already" in done.stderr
    assert server.command("cluster", "level", "lower", check=False).returncode == 1


def test_two_servers_do_not_share_a_folder(server, new_server):
    done = server.command("serve", "--port-base", "40000", check=False)
    assert done.returncode == 1, done.stderr
