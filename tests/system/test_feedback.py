"""A user marks mail as junk, and the domain that sent it is told, if it asks for that and the user's tenant lets it be told."""
import base64
import smtplib
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mail import imap, message, wait_for
from test_signing import dkim, names, signing  # noqa: F401
from test_submission import sink  # noqa: F401

USER, SENDER, LOOP = "hanako@example.test", "news@brand.test", "fbl@brand.test"


@pytest.fixture
def told(signing, names):  # noqa: F811
    server, there = signing
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    names.txt["s._domainkey.brand.test"] = "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()
    server.pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    server.command("feedback", "add", "Brand.test", LOOP)
    server.command("tenant", "set", "default", "--feedback", "header")
    return server, there


def deliver(server, subject, author=SENDER, signed=True, to=USER):
    data = message(subject, f"for {USER}\r\n", sender=author, to=to)
    if signed:
        data = dkim.sign(data, b"s", b"brand.test", server.pem, include_headers=[b"from", b"to", b"subject"]) + data
    with smtplib.SMTP("127.0.0.1", server.port("smtp")) as client:
        client.sendmail("bounce@brand.test", [USER], data)


def junk(server, uid):
    with imap(server) as client:
        assert client.uid("STORE", str(uid), "+FLAGS", "($Junk)")[0] == "OK"


def nothing_more(there, count):
    time.sleep(1.5)
    assert len(there.messages) == count


def test_one_report_for_a_message_without_the_users_address(told):
    server, there = told
    deliver(server, "buy")
    junk(server, 1)
    wait_for(lambda: there.messages)
    sender, recipients, data = there.messages[0]
    assert "<>" in sender and LOOP in recipients[0]
    assert b"report-type=feedback-report" in data and b"Feedback-Type: abuse\r\n" in data and b"Reported-Domain: brand.test\r\n" in data
    assert b"Subject: buy\r\n" in data and b"DKIM-Signature" in data and b"text/rfc822-headers" in data
    assert b"hanako" not in data and b"To: <redacted-" in data
    # Again, and in the mailbox for junk: it was told.
    junk(server, 1)
    with imap(server) as client:
        client._simple_command("CREATE", "Junk", "(USE (\\Junk))")
        assert client.uid("COPY", "1", "Junk")[0] == "OK"
    nothing_more(there, 1)
    # Another message goes there.
    deliver(server, "buy more")
    with imap(server) as client:
        assert client._simple_command("UID", "MOVE", "2", "Junk")[0] == "OK"
    wait_for(lambda: len(there.messages) == 2)


def test_only_what_is_proved_and_asked_for(told):
    server, there = told
    deliver(server, "unsigned", signed=False)
    deliver(server, "of another author", author="x@other.test")
    server.command("tenant", "set", "default", "--feedback", "off")
    deliver(server, "not let")
    for uid in (1, 2, 3):
        junk(server, uid)
    nothing_more(there, 0)
    server.command("tenant", "set", "default", "--feedback", "message")
    server.command("feedback", "remove", "brand.test")
    assert server.command("feedback", "list", json_rows=True) == []
    junk(server, 3)
    nothing_more(there, 0)
    server.command("feedback", "add", "brand.test", LOOP)
    junk(server, 3)
    wait_for(lambda: there.messages)
    data = there.messages[0][2]
    assert b"Content-Type: message/rfc822" in data and b"for redacted-" in data and b"hanako" not in data
