"""Mail goes out: submission with AUTH, the queue, another server that takes it, or does not, and what senders are told."""
import base64
import email
import shutil
import smtplib
import socket
import socketserver
import ssl
import subprocess
import threading
import time

import pytest

from conftest import PASSWORD, free_port_base, need
from mail import fetch_all, imap, message, wait_for

CONFIG = """
server {{ name = "out.example.test" }}
listener "smtp" {{ protocol = "smtp" address = "127.0.0.1" port = {smtp} tls = "starttls" }}
listener "submission" {{ protocol = "submission" address = "127.0.0.1" port = {submission} tls = "starttls" }}
listener "submissions" {{ protocol = "submission" address = "127.0.0.1" port = {submissions} tls = "implicit" }}
listener "imap" {{ protocol = "imap" address = "127.0.0.1" port = {imap} }}
listener "metrics" {{ protocol = "http" address = "127.0.0.1" port = {http} }}
outbound {{ routes = "{routes}" {more} }}
"""


def sender(new_server, tmp_path, routes, more=""):
    base = free_port_base()
    path = tmp_path / "out.conf"
    server = new_server("out", config=path)
    path.write_text(CONFIG.format(smtp=base + 25, submission=base + 87, submissions=base + 65, imap=base + 43, http=base + 80, routes=routes, more=more)
                    + (server.store.section() if server.store else ""))
    server.base = base
    server.start()
    server.add_domain()
    server.add_account("hanako@example.test")
    server.command("alias", "add", "sales@example.test", "hanako@example.test")
    return server


def login(server, user="hanako@example.test", password=PASSWORD):
    client = smtplib.SMTP("127.0.0.1", server.port("submission"))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client.starttls(context=context)
    client.user, client.password = user, password
    client.ehlo()
    code, answer = client.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode())
    assert code == 235, (code, answer)
    return client


def submit(server, to, data=None, sender="hanako@example.test"):
    with login(server) as client:
        return client.sendmail(sender, [to] if isinstance(to, str) else to, data or message("out", sender="hanako@example.test", to="someone@elsewhere.test"))


class Sink:
    """A server that says what it is told to: answers by verb, or what is none of them as usual."""

    def __init__(self, **answers):
        self.answers, self.messages, self.connections = answers, [], 0
        sink = self

        class Session(socketserver.StreamRequestHandler):
            def say(self, text):
                self.wfile.write(text.encode(errors="surrogateescape") + b"\r\n")

            def answer(self, verb, usual):
                said = sink.answers.get(verb, usual)
                said = said(self) if callable(said) else said
                if said is None:
                    raise ConnectionError
                self.say(said)
                return said

            def handle(self):
                try:
                    self.talk()
                except (ConnectionError, OSError):
                    pass

            def talk(self):
                sink.connections += 1
                self.answer("CONNECT", "220 sink.test ESMTP")
                self.sender, self.recipients = None, []
                while line := self.rfile.readline():
                    words = line.decode().strip()
                    verb = words.split(" ")[0].upper()
                    if verb == "EHLO":
                        self.answer("EHLO", "250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME")
                    elif verb == "MAIL":
                        self.sender, self.recipients = words, []
                        self.answer("MAIL", "250 ok")
                    elif verb == "RCPT":
                        self.recipient = words
                        if self.answer("RCPT", "250 ok").startswith("2"):
                            self.recipients.append(words)
                    elif verb == "DATA":
                        if not self.recipients:
                            self.say("554 no valid recipients")
                            continue
                        if self.answer("DATA", "354 go on").startswith("354"):
                            data = b""
                            while not data.endswith(b"\r\n.\r\n") and data != b".\r\n":
                                piece = self.rfile.readline()
                                if not piece:
                                    return
                                data += piece
                            if self.answer("END", "250 taken").startswith("2"):
                                sink.messages.append((self.sender, list(self.recipients), data[:-3]))
                    elif verb == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.answer(verb, "250 ok")

        class Listener(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self.listener = Listener(("127.0.0.1", 0), Session)
        self.port = self.listener.server_address[1]
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()

    def close(self):
        self.listener.shutdown()
        self.listener.server_close()


@pytest.fixture
def sink():
    made = []

    def make(**answers):
        made.append(Sink(**answers))
        return made[-1]

    yield make
    for one in made:
        one.close()


def inbox(server):
    with imap(server) as client:
        return list(fetch_all(client).values())


def queued(server):
    return server.command("queue", "list", json_rows=True)


def test_mail_reaches_another_tayori_with_tls(new_server, tmp_path):
    other = new_server("other").start()
    other.add_domain("elsewhere.test")
    other.add_account("taro@elsewhere.test")
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{other.port('smtp')}")
    body = "行頭の点:\r\n.\r\n..\r\n.x\r\nend\r\n"
    submit(server, "taro@elsewhere.test", message("dots", body, sender="hanako@example.test", to="taro@elsewhere.test"))

    def arrived():
        with imap(other, "taro@elsewhere.test") as client:
            return list(fetch_all(client).values())

    got = wait_for(arrived)[0]
    assert got.endswith(body.encode()) and b"with ESMTPS" in got and b"with ESMTPSA" in got and got.startswith(b"Return-Path: <hanako@example.test>\r\n")
    assert got.count(b"Return-Path:") == 1
    wait_for(lambda: not queued(server))


def test_a_large_message_and_many_recipients(new_server, tmp_path, sink):
    there = sink()
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    body = ("x" * 76 + "\r\n") * 20000
    to = [f"u{i}@elsewhere.test" for i in range(150)]
    submit(server, to, message("large", body, sender="hanako@example.test"))
    wait_for(lambda: len(there.messages) == 2)
    assert sorted(len(recipients) for _, recipients, _ in there.messages) == [50, 100]
    assert all(data.endswith(body.encode()) for _, _, data in there.messages)
    wait_for(lambda: not queued(server))


def test_local_and_remote_recipients_of_one_message(new_server, tmp_path, sink):
    there = sink()
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    submit(server, ["hanako@example.test", "a@elsewhere.test"])
    wait_for(lambda: there.messages)
    assert len(inbox(server)) == 1


def test_only_authenticated_users_send_and_only_as_themselves(new_server, tmp_path, sink):
    there = sink()
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    server.add_account("other@example.test")
    with smtplib.SMTP("127.0.0.1", server.port("submission")) as client:
        client.ehlo()
        assert client.docmd("MAIL", "FROM:<hanako@example.test>")[0] == 530
    with smtplib.SMTP("127.0.0.1", server.port("smtp")) as client:
        client.ehlo()
        assert client.docmd("AUTH", "PLAIN AGEAYQ==")[0] == 502
        client.mail("hanako@example.test")
        assert client.rcpt("a@elsewhere.test")[0] == 550
    with login(server) as client:
        assert client.docmd("MAIL", "FROM:<other@example.test>")[0] == 553
        assert client.docmd("MAIL", "FROM:<nobody@elsewhere.test>")[0] == 553
        assert client.docmd("MAIL", "FROM:<sales@example.test>")[0] == 250
        client.rset()
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("hanako@example.test", ["a@elsewhere.test"], message("forged", sender="president@example.com"))
        assert refused.value.smtp_code == 550
    with smtplib.SMTP("127.0.0.1", server.port("submission")) as client:
        client.ehlo()
        assert client.docmd("AUTH", "PLAIN " + base64.b64encode(b"\0hanako@example.test\0wrong").decode())[0] == 535
    assert not there.messages


def test_what_is_missing_is_added_and_bcc_goes(new_server, tmp_path, sink):
    there = sink()
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    submit(server, ["a@elsewhere.test", "secret@elsewhere.test"],
           b"From: hanako@example.test\r\nTo: a@elsewhere.test\r\nBcc: secret@elsewhere.test,\r\n more@elsewhere.test\r\nSubject: x\r\n\r\nbody\r\n")
    wait_for(lambda: there.messages)
    got = email.message_from_bytes(there.messages[0][2])
    assert got["Bcc"] is None and got["Date"] and got["Message-ID"].endswith("@out.example.test>") and got["To"] == "a@elsewhere.test"
    assert b"secret" not in there.messages[0][2] and b"Return-Path" not in there.messages[0][2]


def test_a_refused_recipient_makes_a_bounce_that_parses(new_server, tmp_path, sink):
    there = sink(RCPT=lambda s: "550 5.1.1 no such user" if "nobody" in s.recipient else "250 ok")
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    submit(server, ["nobody@elsewhere.test", "somebody@elsewhere.test"])
    bounce = email.message_from_bytes(wait_for(lambda: inbox(server))[0])
    assert bounce.get_content_type() == "multipart/report" and bounce["Return-Path"] == "<>" and bounce["Auto-Submitted"] == "auto-replied"
    words, status, header = bounce.get_payload()
    text = words.get_payload(decode=True).decode()
    assert "配信できませんでした" in text and "nobody@elsewhere.test" in text and "no such user" in text and "somebody@" not in text
    fields = status.get_payload()[1]
    assert fields["Action"] == "failed" and fields["Status"] == "5.1.1" and fields["Final-Recipient"] == "rfc822; nobody@elsewhere.test"
    assert fields["Diagnostic-Code"] == "smtp; 550 no such user"
    assert "Subject: out" in header.get_payload()
    assert len(there.messages) == 1
    wait_for(lambda: not queued(server))


def test_what_is_deferred_is_tried_again(new_server, tmp_path, sink):
    tries = []

    def put_off(session):
        tries.append(time.monotonic())
        return "451 4.7.1 not yet" if len(tries) < 3 else "250 ok"

    there = sink(RCPT=put_off)
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}", 'retry_min = "1s"')
    submit(server, "a@elsewhere.test")
    waiting = wait_for(lambda: [row for row in queued(server) if row["tries"]])
    assert waiting[0]["state"] == "deferred" and waiting[0]["answer"].startswith("451 4.7.1")
    wait_for(lambda: there.messages, 15)
    assert len(tries) == 3 and tries[2] - tries[1] > tries[1] - tries[0]
    assert not inbox(server)


@pytest.mark.local                           # about the other side: a server of its own for each state of the conversation
def test_a_server_that_breaks_off_loses_nothing(new_server, tmp_path, sink):
    """In every state: the connection ends, the message waits, and goes when the server is itself again."""
    for state in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END"):
        there = sink(**{state: None})
        server = sender(new_server, tmp_path / state if (tmp_path / state).mkdir() is None else None, f"*=127.0.0.1:{there.port}", 'retry_min = "1s"')
        submit(server, "a@elsewhere.test")
        wait_for(lambda: there.connections >= 1)
        time.sleep(0.3)
        assert len(queued(server)) == 1, state
        there.answers.clear()
        server.command("queue", "retry", "--all")
        wait_for(lambda: there.messages, 15)
        wait_for(lambda: not queued(server))
        assert len(there.messages) == 1
        server.stop()
        shutil.rmtree(server.folder)


def test_the_queue_outlives_a_kill(new_server, tmp_path, sink):
    there = sink(RCPT="451 4.3.2 later")
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}", 'retry_min = "1s" retry_max = "2s"')
    for i in range(20):
        submit(server, f"u{i}@elsewhere.test", message(f"m{i}", ("y" * 70 + "\r\n") * (1500 if i == 7 else 1), sender="hanako@example.test"))
    wait_for(lambda: len(queued(server)) == 20)
    server.kill()
    there.answers.clear()
    server.start()
    wait_for(lambda: len(there.messages) >= 20, 60)
    subjects = sorted(email.message_from_bytes(data)["Subject"] for _, _, data in there.messages)
    assert subjects == sorted(f"m{i}" for i in range(20))
    wait_for(lambda: not queued(server))


@pytest.mark.local                           # the copy's engine is that of its folder
def test_a_queue_moves_with_its_store(new_server, tmp_path, sink):
    """Mail that waits, and mail that is being sent while the store moves: each is sent once."""
    is_open = threading.Event()

    def later_or_slowly(session):
        if "later" in session.recipient:
            return "250 ok" if is_open.is_set() else "451 4.3.2 later"
        time.sleep(0.5)
        return "250 ok"

    there = sink(RCPT=later_or_slowly)
    routes = f"*=127.0.0.1:{there.port}"
    server = sender(new_server, tmp_path, routes, 'retry_min = "1s" retry_max = "2s" connections = 2')
    for i in range(8):
        submit(server, f"later{i}@elsewhere.test", message(f"later{i}", ("y" * 70 + "\r\n") * (1500 if i == 3 else 1), sender="hanako@example.test"))
    wait_for(lambda: len([row for row in queued(server) if row["tries"]]) == 8)
    with login(server) as client:
        for i in range(60):
            client.sendmail("hanako@example.test", [f"u{i}@slow{i % 3}.test"], message(f"slow{i}", sender="hanako@example.test"))
    moved = server.command("store", "copy", "--to", tmp_path / "other", "--finish", json_rows=True)[-1]
    assert moved["finished"]
    before = len(there.messages)
    assert before < 60, "some were left for the copy to send"
    time.sleep(1)
    assert len(there.messages) == before, "a store that has moved sends nothing"
    server.stop()
    is_open.set()
    copy = new_server("other", config=server.config)
    copy.base = server.base
    copy.start()
    wait_for(lambda: len(there.messages) >= 68, 60)
    wait_for(lambda: not queued(copy))
    subjects = sorted(email.message_from_bytes(data)["Subject"] for _, _, data in there.messages)
    assert subjects == sorted([f"later{i}" for i in range(8)] + [f"slow{i}" for i in range(60)])


def test_an_operator_holds_releases_and_removes(new_server, tmp_path, sink):
    there = sink(RCPT="451 4.3.2 later")
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    submit(server, "a@elsewhere.test")
    submit(server, "b@elsewhere.test")
    wait_for(lambda: sum(row["tries"] for row in queued(server)) == 2)
    assert server.command("queue", "hold", "--recipient", "a@", json_rows=True) == [{"messages": 1}]
    there.answers.clear()
    server.command("queue", "retry", "--recipient", "b@")
    wait_for(lambda: len(there.messages) == 1)
    assert [row["state"] for row in queued(server)] == ["held"]
    assert server.command("queue", "summary", json_rows=True)[0]["held"] == 1
    server.stop()
    assert [row["state"] for row in queued(server)] == ["held"]
    server.start()
    assert "which messages" in server.command("queue", "remove", check=False).stderr
    server.command("queue", "remove", "--account", "hanako@example.test")
    assert not queued(server) and not inbox(server)


def test_what_is_given_up_is_told(new_server, tmp_path, sink):
    there = sink(RCPT="451 4.3.2 later")
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    submit(server, "a@elsewhere.test")
    wait_for(lambda: sum(row["tries"] for row in queued(server)) == 1)
    server.command("queue", "expire", "--all")
    bounce = email.message_from_bytes(wait_for(lambda: inbox(server))[0])
    assert bounce.get_payload()[1].get_payload()[1]["Status"] == "5.4.7"
    assert "451 4.3.2 later" in bounce.get_payload()[0].get_payload(decode=True).decode()
    wait_for(lambda: not queued(server))


def test_clients_that_people_have_submit(new_server, tmp_path, sink):
    there = sink()
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    body = tmp_path / "mail.eml"
    body.write_bytes(message("client", sender="hanako@example.test"))
    subprocess.run([need("swaks"), "--server", "127.0.0.1", "--port", str(server.port("submission")), "--tls", "--auth", "LOGIN", "--auth-user", "hanako@example.test",
                    "--auth-password", PASSWORD, "--from", "hanako@example.test", "--to", "s@elsewhere.test"], check=True, capture_output=True)
    subprocess.run([need("curl"), "-sS", "-k", "--url", f"smtps://127.0.0.1:{server.port('submissions')}", "--user", f"hanako@example.test:{PASSWORD}", "--mail-from",
                    "hanako@example.test", "--mail-rcpt", "c@elsewhere.test", "--upload-file", str(body)], check=True, capture_output=True)
    subprocess.run([need("msmtp"), "--host=127.0.0.1", f"--port={server.port('submission')}", "--tls=on", "--tls-certcheck=off", "--auth=plain", "--user=hanako@example.test",
                    f"--passwordeval=printf '%s' '{PASSWORD}'", "--from=hanako@example.test", "m@elsewhere.test"], input=body.read_bytes(), check=True, capture_output=True)
    wait_for(lambda: len(there.messages) == 3)
    assert sorted(recipients[0] for _, recipients, _ in there.messages) == [f"RCPT TO:<{who}@elsewhere.test>" for who in "cms"]
