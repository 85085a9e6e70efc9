"""Complaint reports of others: tied to the account that sent the message, by an id that survives when they hide addresses."""
import re
import smtplib

import pytest

from mail import fetch_all, imap, message, wait_for
from test_submission import Sink, login, sender, submit  # noqa: F401

ABUSE = "abuse@example.test"


@pytest.fixture
def reporting(new_server, tmp_path):
    sinks = []

    def make(more=""):
        sinks.append(Sink())
        server = sender(new_server, tmp_path, f"*=127.0.0.1:{sinks[-1].port}", more)
        server.add_account(ABUSE)
        return server, sinks[-1]
    yield make
    for sink in sinks:
        sink.close()


def sent(server, there, data=None):
    """A message as the other side has it."""
    count = len(there.messages)
    submit(server, "someone@elsewhere.test", data)
    wait_for(lambda: len(there.messages) > count)
    return there.messages[-1][2]


def report(data, kind="abuse", drop=(), whole=False, number=1):
    """As a provider writes it (RFC 5965), which hides its user's address and leaves fields out (RFC 6590)."""
    head = data.split(b"\r\n\r\n")[0].replace(b"someone@elsewhere.test", b"redacted@elsewhere.test")
    fields = [field for field in re.split(rb"\r\n(?![ \t])", head) if not field.lower().startswith(drop)]
    original = b"\r\n".join(fields) + b"\r\n\r\n" + (b"hidden\r\n" if whole else b"")
    return (f"From: <fbl@elsewhere.test>\r\nTo: <{ABUSE}>\r\nSubject: complaint\r\nMessage-ID: <{kind}{number}@elsewhere.test>\r\n"
            'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary="b"\r\n\r\n'
            "--b\r\nContent-Type: text/plain\r\n\r\nA user complains.\r\n"
            f"--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\nUser-Agent: Test/1\r\nVersion: 1\r\n\r\n"
            f"--b\r\nContent-Type: {'message/rfc822' if whole else 'text/rfc822-headers'}\r\n\r\n").encode() + original + b"\r\n--b--\r\n"


def complain(server, data, to=ABUSE):
    with smtplib.SMTP("127.0.0.1", server.port("smtp")) as client:
        client.sendmail("fbl@elsewhere.test", [to], data)


def listed(server):
    return server.command("report", "list", json_rows=True)


def test_a_complaint_is_counted_for_the_account_and_delivered(reporting):
    server, there = reporting()
    data = sent(server, there)
    assert len(re.findall(rb"^X-Complaint-Id: [A-Za-z0-9_-]{64}\r$", data, re.M)) == 1
    assert b"hanako" not in re.search(rb"^X-Complaint-Id: (.*)$", data, re.M)[1]
    complain(server, report(data))
    with imap(server, ABUSE) as client:
        assert b"Feedback-Type: abuse" in fetch_all(client)[1]
    row, = listed(server)
    assert (row["address"], row["messages"], row["reports"], row["type"], row["reporter"]) == ("hanako@example.test", 1, 1, "abuse", "fbl@elsewhere.test")
    shown, = server.command("account", "show", "hanako@example.test", json_rows=True)
    assert shown["complaints"] == 1 and shown["last_complaint"] > 0
    one, = server.command("report", "show", "hanako@example.test", json_rows=True)
    assert one["reports"] == 1
    assert f'message={one["message"]}' in server.log_text() and "complaint_received" in server.log_text()
    server.command("report", "forget", "hanako@example.test")
    assert listed(server) == []


def test_each_message_counts_once_and_each_report_once(reporting):
    server, there = reporting()
    data = sent(server, there)
    for number in (1, 2, 2, 2):
        complain(server, report(data, number=number))
    complain(server, report(sent(server, there), whole=True, number=3))
    row, = listed(server)
    assert (row["messages"], row["reports"]) == (2, 3)
    # What praises, or tells of signatures, is no complaint.
    complain(server, report(data, kind="not-spam", number=4))
    complain(server, report(data, kind="auth-failure", number=5))
    row, = listed(server)
    assert (row["messages"], row["reports"]) == (2, 3)


def test_the_message_id_does_when_the_field_is_gone(reporting):
    server, there = reporting()
    data = sent(server, there, message("x", sender="hanako@example.test").replace(b"Message-ID: <x@example.org>\r\n", b""))
    complain(server, report(data, drop=(b"x-complaint-id",)))
    row, = listed(server)
    assert row["address"] == "hanako@example.test"


def test_nobody_can_blame_an_account(reporting):
    server, there = reporting()
    data = sent(server, there)
    token = re.search(rb"^X-Complaint-Id: (.*?)\r$", data, re.M)[1]
    forged = data.replace(token, token[:-1] + (b"A" if token[-1:] != b"A" else b"B"))
    complain(server, report(forged, drop=(b"message-id",)))
    complain(server, report(data, drop=(b"x-complaint-id", b"message-id"), number=2))
    assert listed(server) == []
    wait_for(lambda: server.log_text().count("complaint_unknown") == 2)
    # A token of another's mail does not leave with mail of ours.
    again = sent(server, there, message("again", sender="hanako@example.test").replace(b"Subject:", b"X-Complaint-Id: " + token + b"\r\nSubject:"))
    tokens = re.findall(rb"^X-Complaint-Id: (.*?)\r$", again, re.M)
    assert len(tokens) == 1 and tokens[0] != token
    # Mail to others is mail.
    complain(server, report(data, number=3), to="hanako@example.test")
    assert listed(server) == []


def test_reports_come_where_the_configuration_says(reporting):
    server, there = reporting('}\nreports { feedback = "fbl@example.test"')
    server.command("alias", "add", "fbl@example.test", ABUSE)
    data = sent(server, there)
    complain(server, report(data))
    assert listed(server) == []
    complain(server, report(data, number=2), to="fbl@example.test")
    assert listed(server)[0]["messages"] == 1
