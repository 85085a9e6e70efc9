"""What a sender may wish for: notices of arrival (DSN), a time to send at (FUTURERELEASE), one to be there by (DELIVERBY), a priority."""
import email
import time
from email.utils import parsedate_to_datetime

from mail import message, wait_for
from test_submission import inbox, login, queued, sender, sink  # noqa: F401

ALL = "250-sink.test\r\n250-PIPELINING\r\n250-DSN\r\n250-DELIVERBY\r\n250 MT-PRIORITY"


def submit(server, mail, *recipients, data=None):
    with login(server) as client:
        assert client.docmd("MAIL", f"FROM:<hanako@example.test> {mail}")[0] == 250
        for to in recipients:
            code, answer = client.docmd("RCPT", to)
            assert code == 250, answer
        code, answer = client.data(data or message("wish", sender="hanako@example.test"))
        assert code == 250, answer


def report(bounce):
    _, status, rest = email.message_from_bytes(bounce).get_payload()
    return status.get_payload()[0], status.get_payload()[1], rest


def test_what_the_sender_wants_to_hear_is_passed_on(new_server, tmp_path, sink):
    heard = []
    there = sink(EHLO=ALL, MAIL=lambda s: heard.append(s.sender) or "250 ok", RCPT=lambda s: heard.append(s.recipient) or "250 ok")
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    submit(server, "RET=HDRS ENVID=a+2Bb BY=1000;N MT-PRIORITY=-4", "TO:<a@elsewhere.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;old+2Bname@x.test",
           "TO:<b@elsewhere.test> NOTIFY=NEVER", "TO:<c@elsewhere.test>")
    wait_for(lambda: there.messages)
    assert " RET=HDRS ENVID=a+2Bb BY=" in heard[0] and heard[0].endswith(";N MT-PRIORITY=-4")
    assert 900 < int(heard[0].split("BY=")[1].split(";")[0]) <= 1000
    assert sorted(heard[1:]) == ["RCPT TO:<a@elsewhere.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;old+2Bname@x.test", "RCPT TO:<b@elsewhere.test> NOTIFY=NEVER",
                                 "RCPT TO:<c@elsewhere.test>"]
    wait_for(lambda: not queued(server))
    assert not inbox(server)       # the next server tells


def test_a_server_without_dsn_makes_a_relayed_notice(new_server, tmp_path, sink):
    there = sink()
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    submit(server, "ENVID=x1 MT-PRIORITY=3", "TO:<a@elsewhere.test> NOTIFY=SUCCESS ORCPT=rfc822;old@x.test", "TO:<b@elsewhere.test>")
    about, fields, _ = report(wait_for(lambda: inbox(server))[0])
    assert about["Original-Envelope-Id"] == "x1" and fields["Action"] == "relayed" and fields["Original-Recipient"] == "rfc822;old@x.test"
    assert "RCPT TO:<a@elsewhere.test>" in there.messages[0][1] and len(inbox(server)) == 1


def test_success_at_an_account_of_ours_is_told_as_delivered(new_server, tmp_path, sink):
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{sink().port}")
    server.add_account("taro@example.test")
    submit(server, "", "TO:<taro@example.test> NOTIFY=SUCCESS")
    _, fields, _ = report(wait_for(lambda: inbox(server))[0])
    assert fields["Action"] == "delivered" and fields["Final-Recipient"] == "rfc822; taro@example.test"
    wait_for(lambda: not queued(server))


def test_the_whole_message_comes_back_when_asked_for(new_server, tmp_path, sink):
    there = sink(RCPT="550 5.1.1 nobody")
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    submit(server, "RET=FULL BODY=8BITMIME", "TO:<a@elsewhere.test>", data=message("full", "本文です\r\n", sender="hanako@example.test"))
    _, _, original = report(wait_for(lambda: inbox(server))[0])
    assert original.get_content_type() == "message/rfc822" and "本文です" in original.get_payload()[0].get_payload(decode=True).decode()


def test_mail_is_held_until_its_time(new_server, tmp_path, sink):
    there = sink()
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    server.add_account("taro@example.test")
    began = time.time()
    submit(server, "HOLDFOR=3", "TO:<a@elsewhere.test>", "TO:<taro@example.test>")
    waiting = queued(server)
    assert sorted(row["recipient"] for row in waiting) == ["a@elsewhere.test", "taro@example.test"] and all(row["next_try"] >= (began + 2) * 1000 for row in waiting)
    server.command("queue", "retry", "--all")
    time.sleep(1)
    assert not there.messages
    wait_for(lambda: there.messages and not queued(server), 15)
    assert time.time() - began >= 3
    from mail import fetch_all, imap
    with imap(server, "taro@example.test") as client:
        got = list(fetch_all(client).values())
    assert len(got) == 1 and got[0].startswith(b"Return-Path: <hanako@example.test>\r\n")
    with login(server) as client:
        assert b"FUTURERELEASE 2592000 20" in client.ehlo()[1]
        for bad in ("HOLDFOR=2592001", "HOLDFOR=5 HOLDUNTIL=2026-01-01T00:00:00Z", "HOLDFOR=x", "HOLDFOR=0"):
            assert client.docmd("MAIL", f"FROM:<hanako@example.test> {bad}")[0] == 501
        assert client.docmd("MAIL", "FROM:<hanako@example.test> HOLDUNTIL=2020-01-01T00:00:00Z")[0] == 250


def test_what_is_wanted_back_in_time_comes_back(new_server, tmp_path, sink):
    """Not in time: it comes back then. To a server that promises nothing: it comes back at once."""
    there = sink(EHLO=ALL, RCPT="451 4.3.2 later")
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    began = time.time()
    submit(server, "BY=2;R", "TO:<a@elsewhere.test>")
    _, fields, _ = report(wait_for(lambda: inbox(server), 15)[0])
    assert fields["Status"] == "5.4.7" and 2 <= time.time() - began < 10
    wait_for(lambda: not queued(server))
    there.answers.clear()
    submit(server, "BY=100;R", "TO:<a@elsewhere.test>")
    _, fields, _ = report(wait_for(lambda: len(inbox(server)) == 2 and inbox(server))[1])
    assert fields["Status"] == "5.3.3" and not there.messages


def test_a_server_that_keeps_no_time_makes_a_relayed_notice(new_server, tmp_path, sink):
    """RFC 2852 §4.1.4.2, also when that server tells of deliveries itself; §5: Deliver-By-Date."""
    there = sink(EHLO="250-sink.test\r\n250-DSN\r\n250 MT-PRIORITY", MAIL=lambda s: heard.append(s.sender) or "250 ok")
    heard = []
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    submit(server, "BY=1000;N", "TO:<a@elsewhere.test>", "TO:<b@elsewhere.test> NOTIFY=NEVER")
    about, fields, *_ = email.message_from_bytes(wait_for(lambda: inbox(server))[0]).get_payload()[1].get_payload()
    assert fields["Action"] == "relayed" and fields["Final-Recipient"] == "rfc822; a@elsewhere.test"
    assert 900 < parsedate_to_datetime(about["Deliver-By-Date"]).timestamp() - time.time() <= 1000
    assert heard[0].endswith(" MT-PRIORITY=0") and "BY=" not in heard[0]      # RFC 6710 §4.2
    submit(server, "", "TO:<a@elsewhere.test>")
    wait_for(lambda: len(there.messages) == 2 and not queued(server))
    assert len(inbox(server)) == 1


def test_who_wants_to_know_in_time_is_told_of_the_delay(new_server, tmp_path, sink):
    there = sink(EHLO=ALL, RCPT="451 4.3.2 later")
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    submit(server, "BY=2;N", "TO:<a@elsewhere.test>")
    _, fields, _ = report(wait_for(lambda: inbox(server), 15)[0])
    assert fields["Action"] == "delayed" and len(queued(server)) == 1


def test_a_held_message_that_is_removed_or_held_does_not_leave(new_server, tmp_path, sink):
    """What waits for a destination that rests is recalled by an order, and does not go when the rest ends."""
    there = sink(CONNECT="421 4.3.2 later")
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    for who in "abc":
        submit(server, "", f"TO:<{who}@elsewhere.test>")
    wait_for(lambda: any(row["rests"] for row in server.command("queue", "destinations", json_rows=True)))
    server.command("queue", "remove", "--recipient", "a@")
    server.command("queue", "hold", "--recipient", "b@")
    there.answers.clear()
    server.command("queue", "retry", "--recipient", "c@")
    wait_for(lambda: there.messages)
    time.sleep(1)
    assert [recipients for _, recipients, _ in there.messages] == [["RCPT TO:<c@elsewhere.test>"]]
    assert [row["recipient"] for row in queued(server)] == ["b@elsewhere.test"]
