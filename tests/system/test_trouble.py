"""Full disks, slow and hostile peers: the session or the message suffers, never the server, and nothing acknowledged is lost."""
import os
import smtplib
import socket
import subprocess
import time

import pytest
from mail import fetch_all, imap, message, pop3, send, wait_for, without_trace


@pytest.fixture
def small_disk(tmp_path):
    """A folder with 600 MiB and no more: the store keeps some room for itself."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)])


@pytest.mark.local
def test_full_disk_defers_mail_and_reading_goes_on(new_server, small_disk):
    server = new_server()
    server.folder = small_disk / "var"
    server.start()
    server.add_domain()
    server.add_account("hanako@example.test")
    filler, sent, deferred = small_disk / "filler", 0, None
    send(server, message("first"))
    with open(filler, "wb") as f:
        try:
            while True:
                f.write(b"x" * (1 << 20))
                f.flush()
        except OSError:
            pass
    for number in range(400):
        try:
            send(server, message(f"n{number}", ("x" * 70 + "\r\n") * 2000))
            sent += 1
        except smtplib.SMTPDataError as error:
            deferred = error
            break
    assert deferred is not None and 400 <= deferred.smtp_code < 500, deferred
    assert len(fetch_all(imap(server))) == sent + 1, "reading goes on, and what got its 250 is there"
    filler.unlink()

    def accepted():
        try:
            send(server, message("after"))
            return True
        except smtplib.SMTPException:
            return False

    wait_for(accepted, 60)
    client = imap(server)
    assert len(fetch_all(client)) >= sent + 2
    server.command("store", "verify")


def test_a_client_that_reads_nothing_holds_up_nobody(server):
    for i in range(40):
        send(server, message(f"s{i}", ("x" * 70 + "\r\n") * 3000))
    slow = imap(server)
    slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for i in range(50):
        slow.send(f"s{i} FETCH 1:* (BODY.PEEK[])\r\n".encode())
    time.sleep(0.5)
    started = time.monotonic()
    other = imap(server)
    assert len(fetch_all(other)) == 40
    assert time.monotonic() - started < 10
    resident = int(next(line.split()[1] for line in open(f"/proc/{server.process.pid}/status") if line.startswith("VmRSS")))
    assert resident < 700 << 10, f"{resident} KiB with the sanitizer"
    slow.sock.close()


@pytest.mark.parametrize("port", ["smtp", "lmtp", "imap", "pop3", "http"])
def test_noise_ends_in_an_answer_or_a_closed_connection(server, port):
    import random
    source = random.Random(port)
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", server.port(port)), timeout=10) as s:
            try:
                s.sendall(source.randbytes(source.randrange(1, 20000)))
                s.sendall(b"\r\n" + b"A" * source.choice([10, 70000]) + b"\r\n")
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
            except OSError:
                pass
    send(server, message("alive"))
    assert len(fetch_all(imap(server))) == 1


def test_many_connections_at_once(server):
    """Ten times what one client may hold is refused politely; the rest is served."""
    held, refused = [], 0
    for _ in range(130):
        s = socket.create_connection(("127.0.0.1", server.port("smtp")), timeout=10)
        answer = s.recv(100)
        if answer.startswith(b"220"):
            held.append(s)
        else:
            assert answer.startswith(b"421"), answer
            refused += 1
    assert held and refused
    for s in held:
        s.close()
    wait_for(lambda: socket.create_connection(("127.0.0.1", server.port("smtp"))).recv(100).startswith(b"220"))


def test_mailbox_of_ten_thousand_is_emptied_in_one_breath(server):
    client = imap(server)
    batch = b"".join(b"a APPEND INBOX {%d+}\r\n%s\r\n" % (len(message("m")), message("m")) for _ in range(1000))
    for _ in range(10):
        client.send(batch)
        answered = 0
        while answered < 1000:
            answered += client.readline().startswith(b"a OK")
    client.select("INBOX")
    assert client.store("1:*", "+FLAGS.SILENT", r"(\Deleted)")[0] == "OK"
    started = time.monotonic()
    client.send(b"x EXPUNGE\r\n")
    lines = 0
    while not client.readline().startswith(b"x OK"):
        lines += 1
    assert lines >= 10000 and time.monotonic() - started < 10
    assert server.command("account", "show", "hanako@example.test", json_rows=True)[0]["expunged_messages"] == 10000
