"""Mail is read and managed by the IMAP clients that people have."""
import imaplib
import json
import os
import ssl
import subprocess

import pytest
from conftest import PASSWORD, ROOT, need
from mail import fetch_all, imap, message, send, wait_for, without_trace

pytestmark = pytest.mark.both


def test_imaplib_a_day_in_a_mailbox(server):
    client = imap(server)
    for i in range(3):
        assert client.append("INBOX", r"(\Flagged tag)", '"22-Nov-2026 09:00:00 +0900"', message(f"m{i}"))[0] == "OK"
    assert client.create('"Archive/2026"')[0] == "OK"
    assert client.copy("1:2", '"Archive/2026"')[0] == "OK"
    assert client.store("1", "+FLAGS", r"(\Seen \Deleted)")[0] == "OK"
    assert client.expunge()[1] == [b"1"]
    assert client.search(None, "SUBJECT", "m2")[1] == [b"2"]
    assert b'INTERNALDATE "22-Nov-2026 00:00:00 +0000"' in client.fetch("1", "(INTERNALDATE FLAGS)")[1][0]
    assert client.status('"Archive/2026"', "(MESSAGES UNSEEN)")[1] == [b'"Archive/2026" (MESSAGES 2 UNSEEN 2)'] or \
        client.status("Archive/2026", "(MESSAGES UNSEEN)")[1] == [b"Archive/2026 (MESSAGES 2 UNSEEN 2)"]
    assert client.rename('"Archive/2026"', '"Archive/old"')[0] == "OK"
    assert client.select('"Archive/old"')[1] == [b"2"]
    client.select("INBOX")
    assert client.delete('"Archive/old"')[0] == "OK"


def test_imap_over_tls_and_starttls(server):
    context = ssl.create_default_context(cafile=server.folder / "certificate.pem")
    with imaplib.IMAP4_SSL("localhost", server.port("imaps"), ssl_context=context) as client:
        assert client.authenticate("PLAIN", lambda _: f"\0hanako@example.test\0{PASSWORD}".encode())[0] == "OK"
    with imaplib.IMAP4("localhost", server.port("imap")) as client:
        client.starttls(context)
        assert client.authenticate("PLAIN", lambda _: f"\0hanako@example.test\0{PASSWORD}".encode())[0] == "OK"


def test_curl_reads(server):
    server.command("account", "set", "hanako@example.test", "--password-stdin", stdin="{PLAIN}secret\n")
    send(server, message("curl"))
    read = subprocess.run(["curl", "-sS", "-k", "-u", "hanako@example.test:secret", f"imaps://127.0.0.1:{server.port('imaps')}/INBOX;MAILINDEX=1"],
                          capture_output=True, check=True).stdout
    assert without_trace(read) == message("curl")
    listed = subprocess.run(["curl", "-sS", "-u", "hanako@example.test:secret", f"imap://127.0.0.1:{server.port('imap')}/"], capture_output=True, check=True).stdout
    assert b"INBOX" in listed


def mbsync_config(server, folder):
    server.command("account", "set", "hanako@example.test", "--password-stdin", stdin="{PLAIN}secret\n")
    (folder / "mail").mkdir(exist_ok=True)
    path = folder / "mbsyncrc"
    path.write_text(f"""
FSync no

IMAPAccount tayori
Host localhost
Port {server.port('imaps')}
User hanako@example.test
Pass secret
SSLType IMAPS
SSLVersions TLSv1.3
CertificateFile {server.folder}/certificate.pem

IMAPStore far
Account tayori

MaildirStore near
Path {folder}/mail/
Inbox {folder}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
""")
    return path


def mbsync(path, *extra, timeout_s=300):
    done = subprocess.run([need("mbsync"), "-c", str(path), "-a", *extra], capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def maildir_files(folder):
    return sorted(str(p.relative_to(folder)) for p in (folder / "mail").rglob("*") if p.is_file() and p.parent.name in ("cur", "new"))


def test_mbsync_both_ways_and_the_second_run_changes_nothing(server, tmp_path):
    for i in range(30):
        send(server, message(f"far{i}"))
    client = imap(server)
    client.create("受信".encode("utf-7").replace(b"+", b"&").decode())
    path = mbsync_config(server, tmp_path)
    mbsync(path)
    assert len(maildir_files(tmp_path)) == 30
    near = tmp_path / "mail" / "INBOX" / "cur" / "1700000000.1.here:2,FS"
    near.write_bytes(message("near").replace(b"\r\n", b"\n"))
    client.select("INBOX")
    client.store("1:5", "+FLAGS", r"(\Seen)")
    client.store("6", "+FLAGS", r"(\Deleted)")
    client.expunge()
    mbsync(path)
    assert len(maildir_files(tmp_path)) == 30
    status, found = client.search(None, "HEADER", "Message-ID", "near@example.org", "FLAGGED", "SEEN")
    client.noop()
    wait_for(lambda: client.search(None, "SUBJECT", "near", "FLAGGED", "SEEN")[1][0])
    files, digest = maildir_files(tmp_path), server.command("account", "digest", "hanako@example.test", json_rows=True)
    mbsync(path)
    assert maildir_files(tmp_path) == files
    assert server.command("account", "digest", "hanako@example.test", json_rows=True) == digest


def test_fetchmail_takes_all(server, tmp_path):
    server.command("account", "set", "hanako@example.test", "--password-stdin", stdin="{PLAIN}secret\n")
    for i in range(5):
        send(server, message(f"f{i}"))
    for protocol, port in (("IMAP", server.port("imap")), ("POP3", server.port("pop3"))):
        config, out = tmp_path / "fetchmailrc", tmp_path / f"{protocol}.mbox"
        config.write_text(f"poll 127.0.0.1 protocol {protocol} port {port} username \"hanako@example.test\" password \"secret\" sslproto '' "
                          f"fetchall keep mda \"cat >> {out}\"\n")
        config.chmod(0o600)
        done = subprocess.run([need("fetchmail"), "-f", str(config), "--nosyslog", "--pidfile", str(tmp_path / "pid")], capture_output=True, text=True,
                              env={**os.environ, "FETCHMAILHOME": str(tmp_path)}, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        assert out.read_text().count("Subject: f") == 5


@pytest.mark.parametrize("program", ["mutt", "neomutt"])
def test_mutt_in_batch_mode_saves_and_deletes(server, tmp_path, program):
    server.command("account", "set", "hanako@example.test", "--password-stdin", stdin="{PLAIN}secret\n")
    send(server, message("mutt"))
    commands = tmp_path / "muttrc"
    commands.write_text(f"""
set folder=imap://127.0.0.1:{server.port('imap')}/ spoolfile=+INBOX imap_user=hanako@example.test imap_pass=secret ssl_starttls=no
set ssl_force_tls=no imap_authenticators=login quit=yes delete=yes confirmappend=no confirmcreate=no move=no
push "<save-message>=Saved<enter><sync-mailbox><quit>"
""")
    done = subprocess.run(["script", "-qec", f"{need(program)} -n -F {commands}", "/dev/null"], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "TERM": "xterm", "HOME": str(tmp_path)})
    client = imap(server, password="secret")
    assert fetch_all(client) == {}, done.stdout[-2000:]
    client.select("Saved")
    assert [without_trace(data) for data in fetch_all(client).values()] == [message("mutt")]


def test_nodemailer_and_imapflow(server, node_modules):
    server.command("account", "set", "hanako@example.test", "--password-stdin", stdin="{PLAIN}secret\n")
    done = subprocess.run(["node", "client.js"], cwd=node_modules, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "SMTP_PORT": str(server.port("smtp")), "IMAP_PORT": str(server.port("imap")), "PASSWORD": "secret",
                               "NODE_EXTRA_CA_CERTS": str(server.folder / "certificate.pem")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"subject": "便り", "text": "こんにちは", "flagged": True, "moved": 1, "idle": True}


def test_idle_session_hears_of_a_delivery(server):
    client = imap(server)
    tag = client._new_tag()
    client.send(tag + b" IDLE\r\n")
    assert client.readline().startswith(b"+")
    send(server, message("idle"))
    client.sock.settimeout(10)
    assert client.readline() == b"* 1 EXISTS\r\n"
    client.send(b"DONE\r\n")


def test_two_sessions_see_each_other(server):
    one, two = imap(server), imap(server)
    for i in range(5):
        one.append("INBOX", "", None, message(f"s{i}"))
    two.noop()
    assert two.untagged_responses.get("EXISTS") or two.response("EXISTS")
    one.store("2", "+FLAGS", r"(\Deleted)")
    one.expunge()
    assert two.fetch("5", "(UID)")[1][0] == b"5 (UID 5)"       # its numbers stay until it has been told
    two.noop()
    assert two.fetch("4", "(UID)")[1][0] == b"4 (UID 5)"
