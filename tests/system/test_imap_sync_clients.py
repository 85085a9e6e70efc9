"""Clients that keep a whole mailbox: offlineimap, and mbsync with many messages."""
import re
import subprocess
import time

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


def digest(server):
    return server.command("account", "digest", "hanako@example.test", json_rows=True)


def number_of(data):
    return int(re.search(rb"^Subject: m(\d+)\r?$", data, re.MULTILINE)[1])


def same_bytes(near, server, uids, numbers):
    """What lies near is what was appended, with LF, and with no more than the header that mbsync finds its own copies by."""
    found = {}
    for path in near:
        data = path.read_bytes()
        if (number := number_of(data)) in numbers:
            found[number] = re.sub(rb"^X-TUID: [^\n]*\n", b"", data, flags=re.MULTILINE).replace(b"\n", b"\r\n")
    assert found == {number: message(f"m{number}") for number in numbers}
    client = imap(server, password="secret")
    for number in numbers:
        assert client.uid("FETCH", uids[number].decode(), "(BODY.PEEK[])")[1][0][1] == found[number]
    client.logout()


@pytest.mark.parametrize("count", [5000, pytest.param(50000, marks=pytest.mark.long)])
def test_mbsync_keeps_many_messages(server, tmp_path, capsys, count):
    client = imap(server)
    append_many(client, count)
    client.select("INBOX")
    uids = client.uid("SEARCH", "ALL")[1][0].split()
    assert len(uids) == count
    path = mbsync_config(server, tmp_path)
    started = time.monotonic()
    mbsync(path, timeout_s=900)
    first_s = time.monotonic() - started
    near = [tmp_path / name for name in maildir_files(tmp_path)]
    assert len(near) == count
    same_bytes(near, server, uids, {*range(0, count, count // 50), count - 1})
    # flags and expunges from there, flags, expunges and new messages from here
    gone = count // 10
    client.select("INBOX")
    client.store(f"1:{gone}", "+FLAGS.SILENT", r"(\Deleted)")
    client.expunge()
    client.store(f"1:{gone}", "+FLAGS.SILENT", r"(\Flagged)")
    read = [file for file in near if 2 * gone <= number_of(file.read_bytes()) < 3 * gone]
    thrown = [file for file in near if 3 * gone <= number_of(file.read_bytes()) < 3 * gone + 100]
    for file in read:
        file.rename(file.parent.parent / "cur" / (file.name.partition(":")[0] + ":2,S"))
    for file in thrown:
        file.rename(file.parent.parent / "cur" / (file.name.partition(":")[0] + ":2,T"))
    for i in range(100):
        (tmp_path / "mail" / "INBOX" / "new" / f"170000000{i:02d}.1.here").write_bytes(message(f"m{count + i}").replace(b"\r\n", b"\n"))
    started = time.monotonic()
    mbsync(path, timeout_s=900)
    second_s = time.monotonic() - started
    near = [tmp_path / name for name in maildir_files(tmp_path)]
    assert len(near) == count - gone
    assert sum("F" in file.name.partition(":2,")[2] for file in near) == gone
    client.select("INBOX")
    assert len(client.search(None, "ALL")[1][0].split()) == count - gone
    assert client.uid("SEARCH", "SEEN")[1][0].split() == uids[2 * gone:3 * gone]
    assert client.search(None, "DELETED")[1][0] == b"" and len(client.uid("SEARCH", f"UID {int(uids[-1]) + 1}:*")[1][0].split()) == 100
    same_bytes(near, server, uids, {*range(4 * gone, count, count // 20)})
    # nothing is left to be done
    before, names = digest(server), maildir_files(tmp_path)
    started = time.monotonic()
    mbsync(path, timeout_s=900)
    assert digest(server) == before and maildir_files(tmp_path) == names
    with capsys.disabled():
        print(f"\nmbsync, {count} messages: {first_s:.1f} s, then {second_s:.1f} s, then {time.monotonic() - started:.1f} s for nothing")


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
