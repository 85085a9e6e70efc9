"""Long commands of one session take turns: nobody else on the loop waits for them."""
import imaplib

import pytest
from mail import imap

MESSAGES = 100000
WAIT_MS = 10                # for release builds; what runs here has sanitizers, which make all computing several times as long
SANITIZED = 3


@pytest.fixture
def large(server, monkeypatch):
    monkeypatch.setattr(imaplib, "_MAXLINE", 1 << 30)
    client = imap(server)
    data = b""
    for i in range(1000):
        text = (f"Subject: Re: subject {i * 7919 % 500}\r\nDate: {1 + i % 28} Jan 2026 10:00:00 +0000\r\nFrom: sender{i}@example.org\r\n"
                f"Message-ID: <{i}@example.org>\r\nReferences: <{i // 4}@example.org>\r\n\r\nbody {i}\r\n").encode()
        data += b" {%d+}\r\n%s" % (len(text), text)
    ask(client, b"APPEND INBOX" + data)
    client.select("INBOX")
    have = 1000
    while have < MESSAGES:
        more = min(have, MESSAGES - have)
        assert client.copy(f"1:{more}", "INBOX")[0] == "OK"
        have += more
    return client


def ask(client, command):
    tag = client._new_tag()
    client.send(tag + b" " + (command if isinstance(command, bytes) else command.encode()) + b"\r\n")
    while not (line := client.readline()).startswith(tag):
        assert line, "the server closed"
    assert line.split()[1] == b"OK", line


def longest_turn_ms(server):
    """By the processor's clock, of late."""
    return server.command("server", "status", json_rows=True)[0]["longest_turn_cpu_us"] / 1000


COMMANDS = [
    "FETCH 1:* (FLAGS)", "FETCH 1:* (UID FLAGS ENVELOPE RFC822.SIZE)", "FETCH 1:20000 (BODY.PEEK[])", "SEARCH UNSEEN", "SEARCH SUBJECT nothing", "SEARCH TEXT nothing",
    "SORT (SUBJECT) UTF-8 ALL", "SORT (ARRIVAL) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL", "UIDBATCHES 5000",
    "STORE 1:* +FLAGS (\\Flagged)", "STORE 1:* +FLAGS.SILENT ($Keyword)", "COPY 1:* INBOX", "UID SEARCH RETURN (SAVE) FLAGGED", "FETCH $ (FLAGS)",
    "SORT RETURN (SAVE) (DATE) UTF-8 ALL", "CREATE other", "MOVE 1:60000 other", "STORE 1:* +FLAGS.SILENT (\\Deleted)", "EXPUNGE",
]


def test_long_commands_take_turns(server, large):
    found = {}
    for command in COMMANDS:
        before = longest_turn_ms(server)
        ask(large, command)
        found[command] = max(longest_turn_ms(server), before)
    assert max(found.values()) < WAIT_MS * SANITIZED, found


def test_top_tells_what_goes_on(server):
    client = imap(server)
    rows = server.command("top", "--rows", 2, json_rows=True)
    assert len(rows) == 2 and rows[1]["sessions"] >= 1 and rows[1]["longest_turn_us"] > 0 and rows[1]["queue"] == 0
    assert "longest_turn_us" in server.command("top", "--rows", 1)
    client.logout()
