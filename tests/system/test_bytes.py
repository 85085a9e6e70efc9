"""What goes in comes out byte for byte: all shared sample mail, by SMTP, LMTP and APPEND, out of IMAP and POP3."""
import poplib
import smtplib

import pytest
from conftest import sample_folder
from mail import fetch_all, imap, pop3, send, without_trace

LARGEST = 20 << 20
poplib._MAXLINE = LARGEST        # it refuses lines over 2048 bytes, which mail has


def crlf(data):
    data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def samples(folder):
    for path in sorted(sample_folder(folder).rglob("*")):
        if path.is_file() and path.stat().st_size <= LARGEST and not path.name.startswith(("LICENSE", "SOURCE", "README")):
            yield path, crlf(path.read_bytes())


@pytest.mark.parametrize("folder", ["japanese", "bounces", "mime/enmime", "mime/zbateson", "mime/mime4j", "mime/mail-parser", "mime/flanker", "mime/mimekit",
                                    "mime/ruby-mail", "mime/jsmime", "mime/cpython", "mime/mailparser-js"])
def test_sample_mail_is_kept(server, folder):
    sent, refused = [], []
    client = smtplib.SMTP("127.0.0.1", server.port("smtp"))
    client.ehlo()
    for path, data in samples(folder):
        try:
            client.mail("you@example.org", ["BODY=8BITMIME"])
            client.rcpt("hanako@example.test")
            # smtplib's data() would mend line ends; the bytes are sent as they are.
            code, _ = client.docmd("DATA")
            assert code == 354
            stuffed = (b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:]
            client.send(stuffed + b".\r\n")
            code, answer = client.getreply()
        except smtplib.SMTPServerDisconnected:
            pytest.fail(f"{path}: the server hung up")
        if code == 250:
            sent.append((path, data))
        else:
            refused.append((path, code, answer))
            client.close()
            client = smtplib.SMTP("127.0.0.1", server.port("smtp"))
            client.ehlo()
    # Only named limits may refuse.
    for path, code, answer in refused:
        assert 500 <= code < 600 and any(word in answer.lower() for word in (b"line", b"header", b"hops", b"loop", b"part")), (path, code, answer)
    assert len(refused) * 20 <= len(sent), refused
    kept = fetch_all(imap(server))
    assert len(kept) == len(sent)
    for (path, data), (uid, got) in zip(sent, sorted(kept.items())):
        assert without_trace(got) == data, path
    by_pop = pop3(server)
    for number, (path, data) in enumerate(sent, 1):
        if len(data) < 1 << 20:
            assert without_trace(b"\r\n".join(by_pop.retr(number)[1]) + b"\r\n") == data, path
    server.command("account", "compact", "hanako@example.test")
    again = imap(server)
    assert fetch_all(again) == kept
    # Structure, envelope and each part of every message can be had.
    status, answer = again.fetch("1:*", "(UID RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER] BODY.PEEK[TEXT] BODY.PEEK[1])")
    assert status == "OK"
    server.command("store", "verify")


def test_append_keeps_bytes_too(server):
    client = imap(server)
    data = [data for _, data in samples("japanese/made")]
    for item in data:
        # A literal of bytes is taken as it is, bare line ends included.
        assert client.append("INBOX", "", None, item)[0] == "OK"
    assert [got for _, got in sorted(fetch_all(client).items())] == data


def test_message_without_header_or_end_is_kept(server):
    odd = [b"\r\n", b"no header at all\r\n", b"From: x\r\n", b": \r\n\x00\x01\x02\xff\r\n", b"A: b\r\n\r\n.\r\n..\r\n"]
    for data in odd:
        send(server, data, lmtp=True)
    assert [without_trace(got) for _, got in sorted(fetch_all(imap(server)).items())] == odd
