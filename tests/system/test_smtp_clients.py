"""Mail goes in by the clients that people have, and is in the mailbox when they have their 250."""
import smtplib
import socket
import ssl
import subprocess

import pytest
from conftest import need
from mail import fetch_all, imap, message, send, without_trace


def stored(server, user="hanako@example.test"):
    return [without_trace(data) for data in fetch_all(imap(server, user)).values()]


def test_swaks_plain_and_tls(server):
    for extra in ([], ["--tls"], ["--pipeline"], ["--protocol", "LMTP", "--server", f"127.0.0.1:{server.port('lmtp')}"]):
        where = [] if "--server" in extra else ["--server", f"127.0.0.1:{server.port('smtp')}"]
        done = subprocess.run([need("swaks"), *where, "--to", "hanako@example.test", "--from", "you@example.org",
                               "--body", "便り", *extra], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    assert len(stored(server)) == 4


def test_curl_uploads(server, tmp_path):
    path = tmp_path / "m.eml"
    path.write_bytes(message("curl"))
    subprocess.run(["curl", "-sS", "--ssl-reqd", "-k", f"smtp://127.0.0.1:{server.port('smtp')}", "--mail-from", "you@example.org", "--mail-rcpt",
                    "hanako@example.test", "-T", str(path)], check=True)
    assert stored(server) == [message("curl")]


def test_smtplib_with_starttls_and_smtputf8(server):
    context = ssl.create_default_context(cafile=server.folder / "certificate.pem")
    server.add_account("花子@example.test")
    with smtplib.SMTP("localhost", server.port("smtp")) as client:
        client.starttls(context=context)
        client.sendmail("送信@example.org", ["花子@example.test"], message("utf8"), mail_options=["SMTPUTF8"])
    assert stored(server, "花子@example.test") == [message("utf8")]


@pytest.mark.parametrize("local", ["a..b", ".a", "a."])
def test_addresses_of_the_carriers_are_accepted_when_the_directory_has_them(server, local):
    server.add_account(f"{local}@example.test")
    send(server, message("carrier"), f"{local}@example.test")
    assert stored(server, f"{local}@example.test") == [message("carrier")]


def answers(server, *lines, port="smtp"):
    with socket.create_connection(("127.0.0.1", server.port(port))) as s:
        f = s.makefile("rb")
        assert f.readline().startswith(b"220")
        found = []
        for line in lines:
            s.sendall(line)
            answer = f.readline()
            while answer[3:4] == b"-":
                answer = f.readline()
            found.append(answer.decode().strip())
        return found


def test_recipients_get_the_answers_of_rfc_3463(server):
    server.add_account("full@example.test", "x", "--quota", "1K")
    server.add_account("away@example.test", "x", "--suspended")
    server.command("alias", "add", "both@example.test", "hanako@example.test", "away@example.test")
    found = answers(server, b"EHLO a\r\n", b"MAIL FROM:<you@example.org> SIZE=5000\r\n", b"RCPT TO:<nobody@example.test>\r\n",
                    b"RCPT TO:<x@elsewhere.example>\r\n", b"RCPT TO:<full@example.test>\r\n", b"RCPT TO:<away@example.test>\r\n",
                    b"RCPT TO:<both@example.test>\r\n")[2:]
    for answer, start in zip(found, ("550 5.1.1", "550 5.7.1", "452 4.2.2", "450 4.2.1", "250 2.1.5")):
        assert answer.startswith(start), found


def test_lmtp_answers_for_each_recipient(server):
    server.add_account("taro@example.test")
    with socket.create_connection(("127.0.0.1", server.port("lmtp"))) as s:
        f = s.makefile("rb")
        s.sendall(b"LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<hanako@example.test>\r\nRCPT TO:<no@example.test>\r\nRCPT TO:<taro@example.test>\r\nDATA\r\n")
        lines = []
        while not lines or not lines[-1].startswith(b"354"):
            lines.append(f.readline())
        s.sendall(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert [f.readline()[:3] for _ in range(2)] == [b"250", b"250"]


def test_smuggled_end_of_data_is_data(server):
    body = b"Subject: one\r\n\r\nx\n.\nMAIL FROM:<evil@example.org>\nRCPT TO:<hanako@example.test>\nDATA\nSubject: two\n\n.\r\r\n.\r\n"
    found = answers(server, b"EHLO a\r\n", b"MAIL FROM:<you@example.org>\r\n", b"RCPT TO:<hanako@example.test>\r\n", b"DATA\r\n", body, b"NOOP\r\n")
    assert found[-1].startswith("250"), found
    assert len(stored(server)) <= 1 and not any(data.startswith(b"Subject: two") for data in stored(server))


def test_large_message_streams_in_bounded_memory(server):
    import pathlib
    data = message("large", "0123456789abcde\r\n" * (40 << 16))
    smaller = data[:data.index(b"\r\n", 5 << 20) + 2]
    send(server, smaller)

    def resident():
        return int(next(line.split()[1] for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines() if line.startswith("VmHWM")))

    before = resident()
    send(server, data)
    assert resident() - before < 40 << 10, "KiB more for a message of 42 MiB"
    assert sorted(map(len, stored(server))) == sorted([len(smaller), len(data)])
