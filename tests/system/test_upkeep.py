"""Nodes with and without the maintenance role, and what only one of them may do at a time."""
import poplib
import re
import smtplib
import time

import pytest
from mail import imap, message, pop3, send

ACCOUNT = "hanako@example.test"
SMALL = 'mailbox { compact_bytes = "64K" }\n'


def events(server, name):
    found = re.search(r'tayori_events_total\{event="%s"\} (\d+)' % name, server.metrics())
    return int(found.group(1)) if found else 0


def wait_for(what, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not (result := what()):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    return result


def status(server, kind):
    return server.command("store", kind, json_rows=True)


@pytest.mark.rados
def test_a_node_with_the_role_folds_what_others_deliver(new_server):
    front = new_server("front", options=["--roles", "smtp,imap,http"], settings=SMALL).start()
    back = new_server("back", options=["--roles", "maintenance,http"], settings=SMALL).start()
    front.add_domain()
    front.add_account(ACCOUNT)
    for number in range(40):
        send(front, message(f"m{number}", body="x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 140))
    wait_for(lambda: events(back, "account_compacted"))
    assert events(front, "account_compacted") == 0
    with imap(front) as client:
        assert len(client.search(None, "ALL")[1][0].split()) == 40
    assert "problems" in back.command("store", "verify")


@pytest.mark.both
def test_a_scrub_is_ordered_and_seen(server):
    for number in range(5):
        send(server, message(f"m{number}"))
    server.add_account("jiro@example.test")
    send(server, message("one"), to="jiro@example.test")
    wait_for(lambda: server.command("store", "scrub", check=False).returncode == 0)
    assert status(server, "scrub")[0]["state"] == "none yet"
    server.command("store", "scrub", "start")
    row = wait_for(lambda: [row for row in status(server, "scrub") if row["state"] == "ended"])[0]
    assert (row["round"], row["accounts"], row["messages"], row["problems"]) == (1, 2, 6, 0)
    server.command("store", "upkeep", "start")
    row = wait_for(lambda: [row for row in status(server, "upkeep") if row["state"] == "ended"])[0]
    assert row["accounts"] == 2
    assert events(server, "round_ended") == 2
    server.command("store", "scrub", "pause")
    assert status(server, "scrub")[0]["state"] == "paused"
    assert server.command("store", "scrub", "now", check=False).returncode != 0


@pytest.mark.rados
def test_a_scrub_finds_a_damaged_object(new_server, store):
    server = new_server().start()
    server.add_domain()
    server.add_account(ACCOUNT)
    for number in range(5):
        send(server, message(f"m{number}", body=("y" * 70 + "\r\n") * 100))
    server.command("account", "compact", ACCOUNT)
    store.truncate_largest_object()
    server.command("store", "scrub", "start")
    rows = wait_for(lambda: [rows for rows in [status(server, "scrub")] if rows[0]["state"] == "ended"])[0]
    assert rows[0]["problems"] > 0
    assert rows[1]["account"] == ACCOUNT
    assert "scrub_found" in server.log_text()


@pytest.mark.rados
def test_a_maildrop_has_one_session_among_nodes(new_server):
    a, b = (new_server(name).start() for name in "ab")
    a.add_domain()
    a.add_account(ACCOUNT)
    for number in range(3):
        send(a, message(f"m{number}"))
    first = pop3(a)
    with pytest.raises(poplib.error_proto, match="IN-USE"):
        pop3(b)
    first.dele(1)
    first.quit()
    second = pop3(b)
    assert len(second.list()[1]) == 2
    with pytest.raises(poplib.error_proto, match="IN-USE"):
        pop3(a)
    second.quit()


@pytest.mark.rados
@pytest.mark.long
def test_a_maildrop_of_a_dead_node_is_free_after_a_minute(new_server):
    a, b = (new_server(name).start() for name in "ab")
    a.add_domain()
    a.add_account(ACCOUNT)
    first = pop3(a)
    a.kill()
    began = time.monotonic()
    with pytest.raises(poplib.error_proto, match="IN-USE"):
        pop3(b)

    def try_again():
        try:
            return pop3(b)
        except poplib.error_proto:
            return None
    wait_for(try_again, 80).quit()
    assert time.monotonic() - began > 30
    first.close()


@pytest.mark.rados
@pytest.mark.long
def test_a_journal_that_nobody_folds_fills_up_and_is_emptied_by_a_node_with_the_role(new_server):
    front = new_server("front", options=["--roles", "smtp,http"]).start()
    front.add_domain()
    front.add_account(ACCOUNT)
    body, sent = ("z" * 70 + "\r\n") * 870, 0
    with smtplib.SMTP("127.0.0.1", front.port("smtp")) as client:
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            while sent < 4000:
                client.sendmail("you@example.org", [ACCOUNT], message(f"m{sent}", body=body))
                sent += 1
    assert refusal.value.smtp_code == 451
    assert sent > 1500
    new_server("back", options=["--roles", "imap,maintenance,http"]).start()

    def is_taken():
        try:
            return send(front, message("again", body=body)) == {}
        except smtplib.SMTPDataError:
            return None
    wait_for(is_taken, 120)
    status_of = front.command("account", "show", ACCOUNT, json_rows=True)[0]
    assert status_of["messages"] == sent + 1
