"""Import and export, backup and restore, restoring what was expunged."""
import mailbox
import os
import time

import pytest
from mail import fetch_all, imap, message, pop3, send, without_trace


def digest(server, address="hanako@example.test"):
    return server.command("account", "digest", address, json_rows=True)[0]["digest"]


def test_mbox_keeps_dates_flags_and_quoted_lines(server, tmp_path):
    body = "one\nFrom the start of a line\n\nlast\n"
    path = tmp_path / "in.mbox"
    box = mailbox.mbox(path)
    for i in range(3):
        m = mailbox.mboxMessage(f"From: a@example.org\nSubject: m{i}\nDate: Sun, 1 Feb 2026 09:00:00 +0000\n\n{body}")
        m.set_from("a@example.org", time.gmtime(1767225600 + i))
        m.set_flags("RFA"[:i])
        box.add(m)
    box.flush()
    server.command("import", "mbox", path, "--to", "hanako@example.test", "--mailbox", "Old")
    client = imap(server, select="Old")
    kept = fetch_all(client)
    assert [data.replace(b"\r\n", b"\n") for data in kept.values()] == [
        f"From: a@example.org\nSubject: m{i}\nDate: Sun, 1 Feb 2026 09:00:00 +0000\n\n{body}".encode() for i in range(3)]
    answer = client.fetch("1:3", "(FLAGS INTERNALDATE)")[1]
    assert [rb"\Seen" in line for line in answer] == [False, True, True] and rb"\Flagged" in answer[2]
    assert b"01-Jan-2026 00:00:02" in answer[2] or b" 1-Jan-2026 00:00:02" in answer[2]
    out = tmp_path / "out.mbox"
    server.command("export", "mbox", out, "--from", "hanako@example.test", "--mailbox", "Old")
    server.add_account("taro@example.test")
    server.command("import", "mbox", out, "--to", "taro@example.test", "--mailbox", "Old")
    other = imap(server, "taro@example.test", select="Old")
    assert list(fetch_all(other).values()) == list(kept.values())
    assert [line.split(b" ", 1)[1] for line in other.fetch("1:3", "(FLAGS INTERNALDATE)")[1]] == [line.split(b" ", 1)[1] for line in answer]


def test_own_mbox_quotes_so_that_nothing_is_lost(server, tmp_path):
    client = imap(server)
    data = message("q", "From a\r\n>From b\r\n>>From c\r\n\r\nFrom d\r\n\r\n\r\n")
    client.append("INBOX", "", None, data)
    client.append("INBOX", r"(\Draft work)", None, message("r", ""))
    server.command("export", "mbox", tmp_path / "out", "--from", "hanako@example.test")
    server.command("import", "mbox", tmp_path / "out", "--to", "hanako@example.test", "--mailbox", "Again")
    client.select("Again")
    assert list(fetch_all(client).values()) == [data, message("r", "")]
    assert rb"\Draft" in client.fetch("2", "(FLAGS)")[1][0] and b"work" in client.fetch("2", "(FLAGS)")[1][0]


def test_own_mbox_quotes_wherever_messages_are_cut(server, tmp_path):
    """Messages are written in pieces of 256 KiB: what stands over their ends is seen all the same."""
    piece, head = 256 * 1024, b"Subject: long\r\nX: "
    texts = [head + b"x" * (piece - len(head) - 3) + b"\r\n\r\nbody\r\n\r\nmore\r\n"]                        # the header's last CR | LF
    texts += [head + b"\r\n\r\n" + b"y" * (piece - len(head) - 8 - cut) + b"\r\n\r\n" + b">>From hell\r\n"[3 - quote:] + b"more\r\n"
              for quote in (1, 2, 3) for cut in range(1, 8)]
    (tmp_path / "in").mkdir()
    for i, text in enumerate(texts):
        (tmp_path / "in" / f"{i:02}.eml").write_bytes(text)
    server.command("import", "eml", tmp_path / "in", "--to", "hanako@example.test")
    server.command("export", "mbox", tmp_path / "out.mbox", "--from", "hanako@example.test")
    server.command("import", "mbox", tmp_path / "out.mbox", "--to", "hanako@example.test", "--mailbox", "Again")
    assert list(fetch_all(imap(server, select="Again")).values()) == list(fetch_all(imap(server)).values()) == texts


def test_maildir_with_folders_goes_round(server, tmp_path):
    client = imap(server)
    for name in ("INBOX", "Sent", "Projects/2026"):
        if name != "INBOX":
            client.create(f'"{name}"')
        for i in range(3):
            client.append(f'"{name}"', r"(\Seen \Flagged work)" if i else "", '"22-Nov-2026 09:00:00 +0000"', message(f"{name}{i}"))
    server.command("export", "maildir", tmp_path / "out", "--from", "hanako@example.test")
    assert (tmp_path / "out" / ".Projects.2026" / "cur").is_dir()
    server.add_account("taro@example.test")
    server.command("import", "maildir", tmp_path / "out", "--to", "taro@example.test")
    other = imap(server, "taro@example.test")
    for name in ("INBOX", "Sent", "Projects/2026"):
        client.select(f'"{name}"')
        other.select(f'"{name}"')
        assert fetch_all(other) == fetch_all(client)
        flags = [client.fetch("1:3", "(FLAGS INTERNALDATE)")[1], other.fetch("1:3", "(FLAGS INTERNALDATE)")[1]]
        words = [[set(line.replace(b")", b" ").replace(b"(", b" ").split()) - {rb"\Recent"} for line in lines] for lines in flags]
        assert words[0] == words[1]


def test_eml_folder(server, tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(3):
        (tmp_path / "in" / f"{i}.eml").write_bytes(message(f"e{i}"))
        os.utime(tmp_path / "in" / f"{i}.eml", (1700000000 + i, 1700000000 + i))
    server.command("import", "eml", tmp_path / "in", "--to", "hanako@example.test")
    client = imap(server)
    assert list(fetch_all(client).values()) == [message(f"e{i}") for i in range(3)]
    assert b"14-Nov-2023 22:13:22" in client.fetch("3", "(INTERNALDATE)")[1][0]
    server.command("export", "eml", tmp_path / "out", "--from", "hanako@example.test")
    assert [p.read_bytes() for p in sorted((tmp_path / "out").iterdir())] == [message(f"e{i}") for i in range(3)]


def test_what_is_there_is_not_overwritten(server, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("x")
    done = server.command("export", "maildir", tmp_path / "out", "--from", "hanako@example.test", check=False)
    assert done.returncode == 1 and "empty folder" in done.stderr


def test_not_an_mbox_is_told(server, tmp_path):
    (tmp_path / "x").write_text("hello\nworld\n")
    done = server.command("import", "mbox", tmp_path / "x", "--to", "hanako@example.test", check=False)
    assert done.returncode == 1 and "not an mbox" in done.stderr
    done = server.command("import", "mbox", tmp_path, "--to", "hanako@example.test", check=False)
    assert done.returncode == 1 and "is a folder" in done.stderr


@pytest.mark.local
def test_backup_while_serving_and_restore(server, new_server, tmp_path):
    for i in range(20):
        send(server, message(f"b{i}", "x" * 60 * i + "\r\n"))
    send(server, message("large", ("y" * 70 + "\r\n") * 3000))
    server.command("account", "compact", "hanako@example.test")
    send(server, message("after compaction"))
    expected, uidls = digest(server), pop3(server).uidl()[1]
    server.command("store", "backup", tmp_path / "backup")
    send(server, message("after the backup"))
    other = new_server("other")
    other.command("store", "restore", tmp_path / "backup")
    assert other.command("store", "restore", tmp_path / "backup", check=False).returncode == 1
    other.start()
    assert digest(other) == expected
    assert pop3(other).uidl()[1] == uidls
    assert len(fetch_all(imap(other))) == 22
    other.command("store", "verify")


def test_expunged_messages_come_back(server):
    for i in range(5):
        send(server, message(f"x{i}"))
    client = imap(server)
    client.store("2:4", "+FLAGS", r"(\Deleted)")
    client.expunge()
    assert len(server.command("account", "expunged", "hanako@example.test", json_rows=True)) == 3
    assert server.command("account", "restore", "hanako@example.test", json_rows=True)[0]["restored"] == 3
    client.noop()
    subjects = [without_trace(data).split(b"\r\nSubject: ")[1].split(b"\r\n")[0] for data in fetch_all(client).values()]
    assert sorted(subjects) == [b"x0", b"x1", b"x2", b"x3", b"x4"]
    uids = sorted(fetch_all(client))
    assert uids[-1] > 5, "restored messages are new messages to clients"


@pytest.mark.parametrize("where", ["running", "not running"])
def test_verify_finds_a_damaged_object(server, where):
    send(server, message("large", ("y" * 70 + "\r\n") * 3000))
    server.stop()
    if server.store:
        server.store.truncate_largest_object()
    else:
        damaged = max((p for p in (server.folder / "store").rglob("*") if p.is_file() and "objects" in str(p)), key=lambda p: p.stat().st_size)
        os.truncate(damaged, damaged.stat().st_size // 2)
    if where == "running":
        server.start()
    done = server.command("store", "verify", check=False)
    assert done.returncode == 1 and "hanako@example.test" in done.stdout, done.stdout + done.stderr
