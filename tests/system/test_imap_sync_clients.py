"""Clients that keep a whole mailbox: offlineimap, and mbsync with many messages."""
import subprocess

import pytest
from conftest import need
from mail import imap, message, send, wait_for
from test_imap_clients import maildir_files, mbsync, mbsync_config


def append_many(client, count):
    """As a client that pipelines does: a hundred to a command."""
    for first in range(0, count, 100):
        data = b"".join(b" {%d+}\r\n%s" % (len(text), text) for text in (message(f"m{i}") for i in range(first, min(first + 100, count))))
        tag = client._new_tag()
        client.send(tag + b" APPEND INBOX" + data + b"\r\n")
        while not (line := client.readline()).startswith(tag):
            assert line, "the server closed"
        assert line.split()[1] == b"OK", line


@pytest.mark.parametrize("count", [5000, pytest.param(50000, marks=pytest.mark.long)])
def test_mbsync_keeps_many_messages(server, tmp_path, count):
    client = imap(server)
    append_many(client, count)
    path = mbsync_config(server, tmp_path)
    mbsync(path)
    assert len(maildir_files(tmp_path)) == count
    client.select("INBOX")
    client.store(f"1:{count // 10}", "+FLAGS.SILENT", r"(\Deleted)")
    client.expunge()
    mbsync(path)
    assert len(maildir_files(tmp_path)) == count - count // 10
    digest = server.command("account", "digest", "hanako@example.test", json_rows=True)
    mbsync(path)
    assert server.command("account", "digest", "hanako@example.test", json_rows=True) == digest


def offlineimap(path):
    done = subprocess.run([need("offlineimap"), "-o", "-1", "-u", "basic", "-c", str(path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def offlineimap_config(server, folder):
    server.command("account", "set", "hanako@example.test", "--password-stdin", stdin="{PLAIN}secret\n")
    path = folder / "offlineimaprc"
    path.write_text(f"""
[general]
accounts = tayori
metadata = {folder}/state
[Account tayori]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {folder}/mail
[Repository far]
type = IMAP
remotehost = localhost
remoteport = {server.port('imaps')}
remoteuser = hanako@example.test
remotepass = secret
ssl = yes
sslcacertfile = {server.folder}/certificate.pem
""")
    return path


def test_offlineimap_both_ways(server, tmp_path):
    for i in range(40):
        send(server, message(f"far{i}"))
    client = imap(server)
    client.create("Folder/Below")
    client.append("Folder/Below", r"(\Flagged)", None, message("below"))
    path = offlineimap_config(server, tmp_path)
    offlineimap(path)
    assert len(maildir_files(tmp_path)) == 41
    near = tmp_path / "mail" / "INBOX" / "cur" / "1700000000.1.here:2,S"
    near.write_bytes(message("near").replace(b"\r\n", b"\n"))
    client.select("INBOX")
    client.store("1:5", "+FLAGS", r"(\Deleted)")
    client.expunge()
    offlineimap(path)
    wait_for(lambda: client.search(None, "SUBJECT", "near", "SEEN")[1][0])
    assert len(maildir_files(tmp_path)) == 37
    digest = server.command("account", "digest", "hanako@example.test", json_rows=True)
    offlineimap(path)
    assert server.command("account", "digest", "hanako@example.test", json_rows=True) == digest
