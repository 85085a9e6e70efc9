"""Log-in by SCRAM with clients that others have written, bound to TLS and not, on every protocol."""
import base64
import imaplib
import ssl
import subprocess

import pytest

from conftest import PASSWORD, need
from mail import imap, message, pop3, wait_for

USER = "hanako@example.test"


@pytest.fixture
def here(new_server):
    server = new_server()
    server.start()
    server.add_domain()
    server.add_account(USER)
    return server


def gsasl(server, protocol, mechanism, password=PASSWORD):
    """GNU SASL's own program: it speaks the protocols, and binds to TLS by tls-exporter. Where it could bind it does nothing less."""
    port = server.port("imap" if protocol == "imap" else "submission")
    return subprocess.run([need("gsasl"), "--client", f"--{protocol}", "--connect", f"127.0.0.1:{port}", "--mechanism", mechanism, "--authentication-id", USER,
                           "--password", password, "--x509-ca-file=", "--verbose", "--starttls" if mechanism.endswith("PLUS") else "--no-starttls"],
                          input="", capture_output=True, text=True, timeout=60)


def succeeded(server):
    wait_for(lambda: "login_" in server.log_text())
    return server.log_text().count("login_succeeded")


@pytest.mark.parametrize("protocol", ["imap", "smtp"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_gsasl(here, protocol, mechanism):
    done = gsasl(here, protocol, mechanism)
    assert done.returncode == 0, done.stdout + done.stderr
    assert succeeded(here) == 1
    assert gsasl(here, protocol, mechanism, "wrong").returncode != 0
    wait_for(lambda: "login_failed" in here.log_text())
    assert succeeded(here) == 1


def test_msmtp(here):
    def run(password):
        line = [need("msmtp"), "--host=127.0.0.1", f"--port={here.port('submission')}", "--tls=on", "--tls-certcheck=off", f"--auth=scram-sha-256", f"--user={USER}",
                "--passwordeval", f"echo {password}", f"--from={USER}", USER]
        return subprocess.run(line, input=message("by SCRAM", sender=USER), capture_output=True, timeout=60)
    done = run(PASSWORD)
    assert done.returncode == 0, done.stderr
    assert succeeded(here) == 1
    assert run("wrong").returncode != 0


@pytest.mark.parametrize("program,port", [("imtest", "imap"), ("smtptest", "submission"), ("pop3test", "pop3")])
def test_cyrus_sasl(here, program, port):
    path = need(f"/usr/lib/cyrus/bin/{program}")
    done = subprocess.run([path, "-m", "SCRAM-SHA-256", "-a", USER, "-u", USER, "-w", PASSWORD, "-p", str(here.port(port)), "127.0.0.1"],
                          input="", capture_output=True, text=True, timeout=60)
    assert "Authenticated." in done.stdout and succeeded(here) == 1, done.stdout + done.stderr


def start_tls(server):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = imaplib.IMAP4("127.0.0.1", server.port("imap"))
    client.starttls(context)
    return client


def test_what_is_offered(here):
    client = start_tls(here)
    assert {"AUTH=SCRAM-SHA-256-PLUS", "AUTH=SCRAM-SHA-256", "AUTH=PLAIN"} <= set(client.capability()[1][0].decode().split())
    plain = imaplib.IMAP4("127.0.0.1", here.port("imap"))
    offered = plain.capability()[1][0].decode().split()
    assert "AUTH=SCRAM-SHA-256" in offered and "AUTH=SCRAM-SHA-256-PLUS" not in offered
    with pytest.raises(imaplib.IMAP4.error):
        plain.authenticate("SCRAM-SHA-256-PLUS", lambda _: f"p=tls-exporter,,n={USER},r=abc".encode())


def test_a_client_that_was_lied_to_is_refused(here):
    client = start_tls(here)
    with pytest.raises(imaplib.IMAP4.error):
        client.authenticate("SCRAM-SHA-256", lambda _: f"y,,n={USER},r=abc".encode())
    wait_for(lambda: "login_downgraded" in here.log_text())
    # A binding that does not fit: somebody stands between.
    with pytest.raises(imaplib.IMAP4.error):
        client.authenticate("SCRAM-SHA-256-PLUS", lambda _: f"p=tls-unique,,n={USER},r=abc".encode())


def first(client, user):
    """What the server says first to a user."""
    said = []

    def answer(challenge):
        if challenge:
            said.append(challenge.decode())
        return f"n,,n={user},r=abc".encode() if not said else b"c=biws,r=" + said[0].split(",")[0][2:].encode() + b",p=" + base64.b64encode(bytes(32))
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED|Wrong"):
        client.authenticate("SCRAM-SHA-256", answer)
    return dict(part.split("=", 1) for part in said[0].split(","))


def test_nobody_learns_who_exists(here):
    real, nobody = first(start_tls(here), USER), first(start_tls(here), "nobody@example.test")
    assert real["i"] == nobody["i"] and len(real["s"]) == len(nobody["s"])
    here.stop()
    here.start()
    assert first(start_tls(here), "nobody@example.test")["s"] == nobody["s"]


def test_hashes_of_other_systems_get_keys_at_a_log_in(here):
    crypted = subprocess.run(["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True, check=True).stdout.strip()
    here.command("account", "set", USER, "--password-stdin", stdin="{CRYPT}" + crypted + "\n")
    assert gsasl(here, "imap", "SCRAM-SHA-256-PLUS").returncode != 0
    imap(here)
    wait_for(lambda: "scram_captured" in here.log_text())
    wait_for(lambda: gsasl(here, "imap", "SCRAM-SHA-256-PLUS").returncode == 0)
    # A new password makes the keys of the old one void.
    here.command("account", "set", USER, "--password-stdin", stdin="another one\n")
    assert gsasl(here, "imap", "SCRAM-SHA-256-PLUS").returncode != 0
    assert gsasl(here, "imap", "SCRAM-SHA-256-PLUS", "another one").returncode == 0


def test_a_suspended_account_stays_out(here):
    here.command("account", "set", USER, "--suspended")
    assert gsasl(here, "imap", "SCRAM-SHA-256-PLUS").returncode != 0
    wait_for(lambda: "login_refused" in here.log_text())


def test_open_sessions_of_a_suspended_account_end(here):
    reader, fetcher = imap(here), pop3(here)
    reader.send(b"i IDLE\r\n")
    assert reader.readline() == b"+ idling\r\n"
    here.command("account", "set", USER, "--suspended")
    reader.sock.settimeout(40)
    fetcher.sock.settimeout(40)
    assert reader.readline().startswith(b"* BYE [CONTACTADMIN] ") and reader.readline() == b""
    assert fetcher.file.readline().startswith(b"-ERR [SYS/PERM] ") and fetcher.file.readline() == b""
    wait_for(lambda: here.log_text().count("account suspended or removed") == 2)
