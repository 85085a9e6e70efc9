"""Small clients and messages for system tests."""
import imaplib
import poplib
import re
import smtplib
import time

from conftest import PASSWORD


def message(subject="hello", body="body\r\n", sender="you@example.org", to="hanako@example.test"):
    return (f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: Sun, 22 Nov 2026 09:00:00 +0900\r\n"
            f"Message-ID: <{subject}@example.org>\r\n\r\n{body}").encode()


def send(server, data, to="hanako@example.test", sender="you@example.org", lmtp=False):
    """By SMTP or LMTP; raises when it is not accepted."""
    kind = smtplib.LMTP if lmtp else smtplib.SMTP
    with kind("127.0.0.1", server.port("lmtp" if lmtp else "smtp")) as client:
        return client.sendmail(sender, [to] if isinstance(to, str) else to, data, mail_options=["BODY=8BITMIME"])


def imap(server, user="hanako@example.test", password=PASSWORD, select="INBOX"):
    client = imaplib.IMAP4("127.0.0.1", server.port("imap"))
    # imaplib's LOGIN sends ASCII only
    status, _ = client.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
    assert status == "OK"
    if select:
        assert client.select(select)[0] == "OK"
    return client


def pop3(server, user="hanako@example.test", password=PASSWORD):
    client = poplib.POP3("127.0.0.1", server.port("pop3"))
    client.encoding = "utf-8"
    client.utf8()
    client.user(user)
    client.pass_(password)
    return client


def fill_many(server, mailbox, count):
    """A new mailbox with thousands of messages: a thousand sent, a hundred to a command, and the others copies of them."""
    client = imap(server, select=None)
    client.create(mailbox)
    client.subscribe(mailbox)
    for first in range(0, 1000, 100):
        data = b"".join(b" {%d+}\r\n%s" % (len(text), text) for text in (message(f"bulk {i}") for i in range(first, first + 100)))
        tag = client._new_tag()
        client.send(tag + b" APPEND " + mailbox.encode() + data + b"\r\n")
        while not (line := client.readline()).startswith(tag):
            assert line, "the server closed"
    client.select(mailbox)
    for _ in range(count // 1000 - 1):
        assert client.copy("1:1000", mailbox)[0] == "OK"
    client.logout()
    assert count_messages(server, mailbox) == count


def count_messages(server, mailbox):
    client = imap(server, select=None)
    answer = client.status(mailbox, "(MESSAGES)")[1][0]
    client.logout()
    return int(re.search(rb"MESSAGES (\d+)", answer)[1])


def fetch_all(client):
    """uid -> bytes of every message in the selected mailbox."""
    status, answer = client.uid("FETCH", "1:*", "(BODY.PEEK[])")
    assert status == "OK"
    found = {}
    for item in answer:
        if isinstance(item, tuple):
            words = item[0].decode().split()
            found[int(words[words.index("(UID") + 1] if "(UID" in words else words[words.index("UID") + 1])] = item[1]
    return found


TRACE = re.compile(rb"Return-Path: <[^\r\n]*>\r\nReceived: from [^\r\n]*\r\n(?:\t[^\r\n]*\r\n)*?\t[^\r\n]* [+-]\d{4}\r\n")


def without_trace(data):
    """A received message without the Return-Path and Received fields that this delivery put before it: one of each."""
    match = TRACE.match(data)
    assert match, data[:500]
    return data[match.end():]


def wait_for(what, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not (value := what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return value
