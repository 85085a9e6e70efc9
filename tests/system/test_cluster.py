"""Nodes: the registry, draining, feature levels; on one machine, where the cluster has one node."""
import imaplib
import json
import socket
import subprocess
import time
import uuid

import pytest

from conftest import PASSWORD, PROGRAM
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


def shards_of(server):
    return server.command("queue", "summary", json_rows=True)[0]["shards"]


def test_drain_ends_sessions_politely_and_undrain_opens_again(server):
    name = node_of(server)["node"]
    wait_for(lambda: shards_of(server) == 16)
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
    wait_for(lambda: shards_of(server) == 0)
    # The order outlives the process: what was upgraded waits for the operator.
    server.process.terminate()
    assert server.process.wait(30) == 0
    server.process = None
    server.start(is_ready=503)
    assert node_of(server)["state"] == "drained" and shards_of(server) == 0
    server.command("cluster", "undrain", name)
    wait_for(lambda: readiness(server) == 200)
    wait_for(lambda: shards_of(server) == 16)
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


@pytest.mark.rados
def test_pools_are_made_checked_and_left_alone(store, tmp_path):
    path = tmp_path / "tayori.conf"
    name = f"p{uuid.uuid4().hex[:12]}"
    text = (f'store {{ engine = "rados" ceph_config = "{store.ceph_config}" pool = "{name}" object_pool = "{name}-objects" namespace = "s" }}\n'
            'listener "smtp" { protocol = "smtp" address = "127.0.0.1" port = 2525 }\n')
    path.write_text(text)

    def init(*words):
        done = subprocess.run([PROGRAM, "cluster", "init", "--config", path, "--json", *words], capture_output=True, text=True)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    code, found, _ = init("--check")
    assert code == 1 and [row["finding"] for row in found] == ["WRONG", "WRONG"]
    words = ("--k", "2", "--m", "1", "--failure-domain", "osd", "--ec-profile", name, "--pg", "8", "--object-pg", "8", "--accounts", "50000000")
    code, found, _ = init(*words)
    assert code == 0 and [row["about"] for row in found if row["finding"] == "made"] == [name, name, f"{name}-objects", "store"], found
    code, found, _ = init(*words)
    assert code == 0 and not [row for row in found if row["finding"] in ("made", "WRONG")], found

    def ceph(*more):
        subprocess.run(["ceph", "-c", store.ceph_config, *more], check=True, capture_output=True)

    ceph("osd", "pool", "set", name, "min_size", "1")
    code, found, error = init("--check")
    wrong = [row for row in found if row["finding"] == "WRONG"]
    assert code == 1 and len(wrong) == 1 and wrong[0]["mend"] == f"ceph osd pool set {name} min_size 2" and "1 thing" in error
    path.write_text(text.replace(f'pool = "{name}"', f'pool = "{name}-objects"'))
    code, found, _ = init("--check")
    assert code == 1 and any("erasure coded: journals" in row["text"] for row in found)
    code, _, error = init("--k", "4", "--m", "2", "--ec-profile", name, "--check")
    assert code == 1
    # An archive that is named later.
    path.write_text(text.replace("namespace", f'archive_pool = "{name}-archive" namespace'))
    ceph("osd", "pool", "set", name, "min_size", "2")
    code, found, _ = init("--check")
    assert code == 1 and [(row["about"], row["text"]) for row in found if row["finding"] == "WRONG"] == [(f"{name}-archive", "no such pool")], found
    code, found, error = init(*words, "--archive-pg", "8", "--archive-device-class", "hdd")
    assert code == 0 and [row["about"] for row in found if row["finding"] == "made"] == [f"{name}-archive", f"{name}-archive"], (found, error)
    code, found, _ = init(*words, "--archive-device-class", "hdd")
    assert code == 0 and not [row for row in found if row["finding"] in ("made", "WRONG")], found
    assert any(row["about"] == f"{name}-archive" and f"erasure coded 2+1 (profile {name}-archive)" in row["text"] for row in found), found
    for pool in (name, f"{name}-objects", f"{name}-archive"):
        ceph("osd", "pool", "rm", pool, pool, "--yes-i-really-really-mean-it")


@pytest.mark.rados
def test_the_clusters_health_is_shown(server):
    rows = server.command("cluster", "status", json_rows=True)
    assert rows[0]["kind"] == "cluster" and rows[0]["state"].startswith("HEALTH_") and rows[0]["osds_up"] == rows[0]["osds"]
