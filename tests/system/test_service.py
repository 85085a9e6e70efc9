"""Stop, hand-over, metrics, the log, limits that an operator meets."""
import json
import signal
import socket
import subprocess
import threading
import time

import pytest
from conftest import PROGRAM
from mail import fetch_all, imap, message, send, wait_for


def test_stop_lets_a_message_in_progress_end(server):
    with socket.create_connection(("127.0.0.1", server.port("smtp"))) as s:
        f = s.makefile("rb")
        s.sendall(b"EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<hanako@example.test>\r\nDATA\r\n")
        while not f.readline().startswith(b"354"):
            pass
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        s.sendall(b"Subject: last\r\n\r\nx\r\n.\r\n")
        assert f.readline().startswith(b"250")
        assert f.readline().startswith(b"421")
    server.process.wait(30)
    server.start()
    assert len(fetch_all(imap(server))) == 1


def test_idle_clients_do_not_hold_up_a_stop(server):
    clients = [imap(server) for _ in range(5)]
    clients[0].send(clients[0]._new_tag() + b" IDLE\r\n")
    clients[0].readline()
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 10


def test_hand_over_refuses_no_connection(server):
    """Clients connect all the time while the program is replaced twice: none is refused, no acknowledged message is lost."""
    refused, sent, stopped = [], [], threading.Event()

    def knock():
        number = 0
        while not stopped.is_set():
            try:
                number += 1
                send(server, message(f"h{number}"))
                sent.append(number)
            except ConnectionRefusedError as error:
                refused.append(error)
            except Exception:
                pass       # ended with 421 or cut between two commands: a client tries again
            time.sleep(0.005)

    thread = threading.Thread(target=knock)
    thread.start()
    pid = server.process.pid
    for _ in range(2):
        before = server.log_text().count("service_started")
        time.sleep(0.5)
        server.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: server.log_text().count("service_started") > before, 40)
    time.sleep(0.5)
    stopped.set()
    thread.join()
    assert server.process.poll() is None and server.process.pid == pid
    assert not refused and sent
    assert len(fetch_all(imap(server))) >= len(sent)


def test_metrics_count_and_one_id_is_followed(server):
    send(server, message("follow"))
    text = server.metrics()
    assert "tayori_events_total" in text and 'event="message_delivered"' in text
    lines = wait_for(lambda: [line for line in server.log_text().splitlines() if "message_received" in line])
    line = lines[0]
    message_id = next(word for word in line.split() if word.startswith("message=")).split("=")[1]
    wait_for(lambda: any("message_delivered" in line and message_id in line for line in server.log_text().splitlines()))
    client = imap(server)
    assert message_id.encode() in client.fetch("1", "(BODY.PEEK[HEADER])")[1][0][1]


@pytest.mark.local
def test_log_as_json(tmp_path, new_server):
    from test_config import GOOD, serve
    server = serve(new_server, tmp_path, GOOD)
    wait_for(lambda: any(json.loads(line).get("event") == "service_started" for line in server.log_text().splitlines() if line.startswith("{")))


def test_no_password_reaches_the_log(server):
    with pytest.raises(Exception):
        imap(server, password="a wrong secret")
    server.command("account", "set", "hanako@example.test", "--password-stdin", stdin="another secret\n")
    imap(server, password="another secret")
    assert "secret" not in server.log_text()


@pytest.mark.local
def test_catalogue_page_is_current(new_server):
    from conftest import ROOT
    printed = subprocess.run([str(PROGRAM), "events"], capture_output=True, text=True, check=True).stdout
    assert (ROOT / "doc" / "events.md").read_text() == printed, "run: tayori events > doc/events.md"


def test_manual_pages_are_current_and_well_formed(tmp_path):
    from conftest import ROOT
    pages = sorted((ROOT / "man").glob("*.[15]"))
    assert pages
    for page in pages:
        printed = subprocess.run([str(PROGRAM), "man", page.stem], capture_output=True, text=True, check=True).stdout
        assert page.read_text() == printed, f"run: tools/make-man ({page.name})"
        lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", str(page)], capture_output=True, text=True)
        assert lint.returncode == 0, lint.stdout
