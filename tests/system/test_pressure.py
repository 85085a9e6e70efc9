"""The front door while the cluster hangs or is full: deliveries are put off, then connections, then log-ins; at once, and for no longer than it lasts."""
import os
import pathlib
import poplib
import re
import smtplib
import socket
import subprocess
import time

import pytest

from conftest import CLUSTER_TOOL, RadosStore
from mail import imap, message, pop3, send, wait_for

OSDS = 3
AT_ONCE_S = 2


@pytest.fixture
def own_cluster():
    """One that may be hung: other tests use theirs meanwhile."""
    folder = f"/dev/shm/tayori-check-pressure-{os.getpid()}"
    done = subprocess.run([CLUSTER_TOOL, "start", folder], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no Ceph cluster: {done.stderr.strip()}")
    yield pathlib.Path(folder)
    subprocess.run([CLUSTER_TOOL, "stop", folder])


def each_osd(folder, command):
    for number in range(OSDS):
        subprocess.run([CLUSTER_TOOL, command, folder, str(number)], check=True, capture_output=True)


class Talk:
    """A connection that says lines and hears what comes to each."""
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")
        self.greeting = self.file.readline()

    def say(self, line):
        self.socket.sendall(line.encode() + b"\r\n")

    def hear(self):
        return self.file.readline()

    def ask(self, line):
        begun = time.monotonic()
        self.say(line)
        answer = self.hear()
        assert time.monotonic() - begun < AT_ONCE_S, f"{line}: {answer} came late"
        return answer


def pressure(server):
    return int(re.search(r"^tayori_store_pressure (\d+)$", server.metrics(), re.M).group(1))


@pytest.mark.rados
def test_less_is_taken_in_while_the_cluster_hangs(own_cluster, new_server):
    server = new_server(store=RadosStore(str(own_cluster / "ceph.conf"))).start()
    server.add_domain()
    server.add_account("hanako@example.test")
    send(server, message("before"))
    reader = imap(server)
    senders = [Talk(server.port("smtp")) for _ in range(45)]
    for talk in senders:
        assert talk.ask("HELO example.org").startswith(b"250") and talk.ask("MAIL FROM:<you@example.org>").startswith(b"250")
    late = Talk(server.port("smtp"))
    assert late.ask("HELO example.org").startswith(b"250")
    users = [Talk(server.port("imap")) for _ in range(140)]
    each_osd(own_cluster, "hang-osd")
    try:
        for number, talk in enumerate(senders):
            talk.say(f"RCPT TO:<nobody{number}@example.test>")
        wait_for(lambda: pressure(server) == 1)
        assert late.ask("MAIL FROM:<you@example.org>").startswith(b"451 4.3.0")
        for number, talk in enumerate(users[:100]):
            talk.say(f"a LOGIN nobody{number + 1000}@example.test x")
        wait_for(lambda: pressure(server) == 3)
        assert users[120].ask("a LOGIN hanako@example.test x").startswith(b"a NO [UNAVAILABLE]")
        assert Talk(server.port("smtp")).greeting.startswith(b"421 4.3.0")
        # Who reads what the node knows goes on.
        assert reader.search(None, "ALL")[1] == [b"1"]
    finally:
        each_osd(own_cluster, "resume-osd")
    for talk in senders:
        assert talk.hear().startswith((b"550 5.1.1", b"45"))
    wait_for(lambda: pressure(server) == 0, timeout_s=60)
    send(server, message("after"))
    reader.noop()
    assert reader.search(None, "ALL")[1] == [b"1 2"]
    log = server.log_text()
    assert "store_pressed" in log and "store_keeps_up" in log


def set_full(folder, is_full):
    """Full is what the cluster's ratios say is."""
    for ratio, usual in (("full", 0.95), ("backfillfull", 0.9), ("nearfull", 0.85)):
        subprocess.run(["ceph", "--conf", folder / "ceph.conf", "osd", f"set-{ratio}-ratio", str(0.0001 if is_full else usual)], check=True, capture_output=True)


@pytest.mark.rados
def test_a_full_cluster_takes_nothing_in_and_is_read(own_cluster, new_server):
    server = new_server(store=RadosStore(str(own_cluster / "ceph.conf"))).start()
    server.add_domain()
    server.add_account("hanako@example.test")
    send(server, message("before"))
    reader = imap(server)

    def is_refused():
        """Temporarily, at once, with words."""
        begun = time.monotonic()
        try:
            send(server, message("meanwhile"))
        except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as error:
            assert error.smtp_code in (451, 452) and error.smtp_error.startswith(b"4."), error
            assert time.monotonic() - begun < AT_ONCE_S
            return True
        return False

    set_full(own_cluster, True)
    try:
        wait_for(is_refused)
        reader.noop()
        taken = len(reader.search(None, "ALL")[1][0].split())
        status, words = reader.store("1", "+FLAGS", r"(\Flagged)")
        assert status == "NO" and words[0].startswith(b"[UNAVAILABLE]")
        # POP3 needs its lock, which is written.
        with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
            pop3(server)
        another = imap(server)
        assert b"Subject: before" in another.fetch("1", "(BODY.PEEK[])")[1][0][1]
    finally:
        set_full(own_cluster, False)
    wait_for(lambda: not is_refused())
    reader.noop()
    assert len(reader.search(None, "ALL")[1][0].split()) == taken + 1, "what was refused is not there"
    assert reader.store("1", "+FLAGS", r"(\Flagged)")[0] == "OK"
