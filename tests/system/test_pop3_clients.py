"""Mail is taken by POP3 clients; UIDLs stay what a client has once seen."""
import poplib
import ssl
import subprocess

import pytest
from conftest import PASSWORD
from mail import imap, message, pop3, send, wait_for, without_trace

pytestmark = pytest.mark.both


def test_poplib_a_whole_session(server):
    for i in range(4):
        send(server, message(f"p{i}"))
    client = pop3(server)
    assert client.stat()[0] == 4
    uidls = client.uidl()[1]
    assert without_trace(b"\r\n".join(client.retr(2)[1]) + b"\r\n") == message("p1")
    assert b"\r\n".join(client.top(3, 0)[1]).endswith(b"<p2@example.org>\r\n")
    client.dele(1)
    client.rset()
    client.dele(4)
    client.quit()
    client = pop3(server)
    assert client.uidl()[1] == uidls[:3]
    client.quit()


def test_deletion_happens_at_quit_only(server):
    send(server, message("x"))
    client = pop3(server)
    client.dele(1)
    client.close()

    def login_again():
        """The session that was cut off may not have ended yet."""
        try:
            return pop3(server)
        except poplib.error_proto:
            return None

    client = wait_for(login_again)
    assert client.stat()[0] == 1
    client.quit()


def test_second_session_is_told_in_use(server):
    first = pop3(server)
    with pytest.raises(poplib.error_proto, match="IN-USE"):
        pop3(server)
    first.quit()
    pop3(server).quit()


def test_wrong_password_is_auth_error(server):
    with pytest.raises(poplib.error_proto, match="AUTH"):
        pop3(server, password="wrong")


def test_tls_and_stls(server):
    context = ssl.create_default_context(cafile=server.folder / "certificate.pem")
    client = poplib.POP3_SSL("localhost", server.port("pop3s"), context=context)
    assert b"UIDL" in b" ".join(client._longcmd("CAPA")[1])
    client = poplib.POP3("localhost", server.port("pop3"))
    client.stls(context)
    client.quit()


def test_curl_reads(server):
    server.command("account", "set", "hanako@example.test", "--password-stdin", stdin="{PLAIN}secret\n")
    send(server, message("curl"))
    read = subprocess.run(["curl", "-sS", "-k", "-u", "hanako@example.test:secret", f"pop3s://127.0.0.1:{server.port('pop3s')}/1"],
                          capture_output=True, check=True).stdout
    assert without_trace(read) == message("curl")


def test_uidls_outlive_restarts_and_compaction(server):
    for i in range(10):
        send(server, message(f"u{i}"))
    before = pop3(server).uidl()[1]
    server.command("account", "compact", "hanako@example.test")
    server.stop()
    server.start()
    assert pop3(server).uidl()[1] == before
