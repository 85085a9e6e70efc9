"""What operators see of the queue and do with it: `tayori queue`."""
import signal
import smtplib
import subprocess
import time

from conftest import PROGRAM
from mail import message, wait_for
from test_submission import queued, sender, sink, submit  # noqa: F401


def rows(server, *words, noun="queue"):
    return server.command(noun, *words, json_rows=True)


def test_what_a_new_address_has_sent_is_kept(new_server, tmp_path, sink):
    """Three messages in its first day: the fourth waits, also after a start."""
    there = sink()
    today = time.strftime("%Y-%m-%d", time.gmtime())
    pool = f"""}}
egress "all" {{ addresses = {{"127.0.0.5 mail.example.test"}} warm_up = {{"127.0.0.5 {today} 3"}}"""
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}", pool)
    for i in range(2):
        submit(server, f"a{i}@elsewhere.test")
        wait_for(lambda: len(there.messages) == i + 1)
    server.stop()
    server.start()
    assert [(row["address"], row["sent"], row["limit"], row["refused"]) for row in rows(server, "list", noun="pool")] == [("127.0.0.5", 2, 3, 0)]
    submit(server, "a2@elsewhere.test")
    wait_for(lambda: len(there.messages) == 3)
    wait_for(lambda: rows(server, "list", noun="pool")[0]["sent"] == 3)
    server.kill()
    server.start()
    submit(server, "a3@elsewhere.test")
    time.sleep(5)
    assert len(there.messages) == 3 and len(queued(server)) == 1


def test_an_operator_asks_about_the_queue(new_server, tmp_path, sink):
    there = sink(RCPT="451 4.3.2 busy now")
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    for i in range(3):
        submit(server, f"u{i}@elsewhere.test", message(f"m{i}", sender="hanako@example.test"))
    submit(server, ["a@one.test", "b@two.test"])
    wait_for(lambda: len(queued(server)) == 5 and all(row["tries"] for row in queued(server)))
    assert [(row["key"], row["recipients"]) for row in rows(server, "top", "--by", "destination", "--limit", "1")] == [("elsewhere.test", 3)]
    assert [(row["key"], row["recipients"]) for row in rows(server, "top", "--by", "account")] == [("hanako@example.test", 5)]
    assert len(rows(server, "list", "--answer", "BUSY", "--domain", "one.test")) == 1
    assert rows(server, "list", "--older", "1h") == [] and len(rows(server, "list", "--newer", "1h", "--tenant", "default")) == 5
    one = queued(server)[0]["message"]
    shown = rows(server, "show", one, "--header")
    assert shown[0]["sender"] == "hanako@example.test" and "Subject:" in shown[0]["header"] and shown[1]["state"] == "waiting" and shown[1]["answer"] == "451 4.3.2 busy now"
    rows(server, "hold", "--message", one)
    assert [row["what"] for row in rows(server, "trace", one)][:2] == ["taken", "deferred"] and rows(server, "trace", one)[-1]["what"] == "ordered to be held"
    assert rows(server, "show", one)[1]["state"] == "held"
    assert "no such message" in server.command("queue", "show", "0" * 32, check=False).stderr
    # Without a server the same is answered from the journals.
    server.stop()
    assert len(rows(server, "list")) == 5 and rows(server, "summary")[0]["held"] == 1
    assert rows(server, "remove", "--domain", "elsewhere.test") == [{"messages": 3}]
    server.start()
    assert sorted(row["recipient"] for row in queued(server)) == ["a@one.test", "b@two.test"]


def test_texts_of_any_bytes_are_shown(new_server, tmp_path, sink):
    """What a server answers and what stands in a header may be Shift_JIS, Latin-1, or a character cut in two."""
    there = sink(RCPT=b"451 4.3.2 \x83\x81 later \xe3\x81".decode(errors="surrogateescape"))
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    submit(server, "a@elsewhere.test", message("m", sender="hanako@example.test").replace(b"Subject: m", b"Subject: \x83\x81\x83\x8b"))
    wait_for(lambda: queued(server) and queued(server)[0]["tries"])
    one = queued(server)[0]
    assert one["answer"] == "451 4.3.2 \ufffd\ufffd later \ufffd\ufffd"
    assert "Subject: \ufffd\ufffd\ufffd\ufffd\r\n" in rows(server, "show", one["message"], "--header")[0]["header"]
    assert rows(server, "trace", one["message"])[1]["answer"] == "\ufffd\ufffd later \ufffd\ufffd"
    assert one["answer"] == rows(server, "top", "--by", "answer")[0]["key"]


def test_answers_leave_the_terminal_alone(new_server, tmp_path, sink):
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{sink(RCPT='451 4.3.2 a' + chr(0x9b) + '31mb' + chr(0x202e) + 'c 花').port}")
    submit(server, "a@elsewhere.test")
    wait_for(lambda: queued(server)[0]["tries"])
    assert "451 4.3.2 a?31mb?c 花" in server.command("queue", "list")


def test_mail_is_redirected(new_server, tmp_path, sink):
    there, other = sink(RCPT="451 4.3.2 busy"), sink()
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}")
    submit(server, "a@elsewhere.test")
    wait_for(lambda: sum(row["tries"] for row in queued(server)) == 1)
    assert rows(server, "redirect", "--domain", "elsewhere.test", "--to", f"127.0.0.1:{other.port}") == [{"messages": 1}]
    wait_for(lambda: other.messages and not queued(server))
    assert "expected" in server.command("queue", "redirect", "--all", "--to", "a:b:c", check=False).stderr


def test_rules_decide_what_an_answer_means(new_server, tmp_path, sink):
    rules = tmp_path / "rules"
    rules.write_text('answer domain=elsewhere.test code=550 "come later" : greylisted defer retry=1s\n')
    tries = []
    there = sink(RCPT=lambda s: tries.append(time.time()) or ("550 5.7.1 please come later" if len(tries) < 2 else "250 ok"))
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}", f'rules = "{rules}"')
    explained = rows(server, "explain", "550 5.7.1 please come later", "--domain", "elsewhere.test")[0]
    assert explained["class"] == "greylisted" and explained["line"] == 1 and explained["does"] == "it is tried again after 1 s"
    assert rows(server, "explain", "550 5.1.1 no such user")[0]["class"] == "no-mailbox"
    submit(server, "a@elsewhere.test")
    wait_for(lambda: there.messages, 15)
    assert len(tries) == 2
    assert any(row["rule"].startswith("limit mx=google.com") for row in rows(server, "rules"))


def test_rules_are_read_anew(new_server, tmp_path, sink):
    rules = tmp_path / "rules"
    rules.write_text("# none yet\n")
    there = sink(RCPT="550 5.7.1 please come later")
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}", f'rules = "{rules}"')
    submit(server, "a@elsewhere.test")
    wait_for(lambda: there.connections and not queued(server))
    rules.write_text('answer "come later" : greylisted defer retry=1h\n')
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "config_reloaded" in server.log_text())
    submit(server, "b@elsewhere.test")
    wait_for(lambda: [row["tries"] for row in queued(server)] == [1])
    rules.write_text('# a comment\nanswer "come later" : no-such-class\n')
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "config_refused" in server.log_text())
    assert f"{rules}:2: not a rule" in server.log_text()
    submit(server, "c@elsewhere.test")
    wait_for(lambda: [row["tries"] for row in queued(server)] == [1, 1])


def test_pools_choose_where_mail_leaves_from(new_server, tmp_path, sink):
    """A good account, a bulk sender and a bounce leave from addresses of their own, under names of their own; who is blocked is told."""
    seen = []
    there = sink(CONNECT=lambda s: seen.append(s.client_address[0]) or "220 sink.test ESMTP",
                 RCPT=lambda s: "550 5.7.1 127.0.0.3 is blocked by zen.spamhaus.org" if s.client_address[0] == "127.0.0.3" else "250 ok")
    pools = """}
egress "notices" { addresses = {"127.0.0.2 notices.example.test"} classes = {"bounce"} }
egress "bulk" { addresses = {"127.0.0.3 bulk1.example.test", "127.0.0.4 bulk2.example.test"} standings = {"bulk"} }
egress "all" { addresses = {"127.0.0.5 mail.example.test"}"""
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}", f'retry_min = "1s" {pools}')
    submit(server, "a@elsewhere.test")
    wait_for(lambda: there.messages)
    assert set(seen) == {"127.0.0.5"}
    server.command("account", "set", "hanako@example.test", "--sending", "bulk")
    for i in range(30):
        submit(server, f"b{i}@elsewhere.test")
        time.sleep(1.2)                # a new connection each: they linger for a second
        if "egress_blocked" in server.log_text() and "127.0.0.4" in seen:
            break
    assert "egress_blocked" in server.log_text()
    assert set(seen) <= {"127.0.0.3", "127.0.0.4", "127.0.0.5"} and "127.0.0.4" in seen
    assert "egress_not_confirmed" in server.log_text()
    refused = rows(server, "refused", noun="pool")
    assert [(row["pool"], row["address"], row["destination"]) for row in refused] == [("bulk", "127.0.0.3", "127.0.0.1")]
    assert "zen.spamhaus.org" in refused[0]["answer"] and refused[0]["until"] > refused[0]["since"]
    # It is known after a start, until an operator says otherwise.
    server.stop()
    server.start()
    seen.clear()
    for i in range(6):
        submit(server, f"c{i}@elsewhere.test")
        time.sleep(1.2)
    wait_for(lambda: len(seen) >= 2)
    assert set(seen) == {"127.0.0.4"}
    assert rows(server, "clear", "127.0.0.3", noun="pool") == [{"cleared": 1}] and rows(server, "refused", noun="pool") == []
    for i in range(40):
        submit(server, f"d{i}@elsewhere.test")
        time.sleep(1.2)
        if "127.0.0.3" in seen:
            break
    assert "127.0.0.3" in seen
    checked = subprocess.run([PROGRAM, "config", "check", "--config", broken(tmp_path)], capture_output=True, text=True)
    assert "127.0.0.9" in checked.stderr


def broken(tmp_path):
    path = tmp_path / "broken.conf"
    path.write_text('egress "x" { addresses = {"127.0.0.1 a.test"} warm_up = {"127.0.0.9 2026-01-01 5"} }\n'
                    'listener "smtp" { protocol = "smtp" address = "127.0.0.1" port = 2525 }\n')
    return str(path)


def test_who_sends_the_old_way_is_told_and_found(new_server, tmp_path, sink):
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{sink().port}",
                    '} smtp { own_networks = "10.0.0.0/8 127.0.0.0/8" submission_help = "https://help.example.test/mail" hide_client = "default"')
    for who in ("hanako@example.test", "stranger@elsewhere.test"):
        with smtplib.SMTP("127.0.0.1", server.port("smtp")) as client:
            client.ehlo()
            client.mail(who)
            code, text = client.rcpt("a@elsewhere.test")
            assert code == 550 and b"465 (TLS) or 587" in text and b"https://help.example.test/mail" in text
    found = server.command("legacy", "list", json_rows=True)
    assert sorted((row["account"], row["peer"]) for row in found) == [("", "127.0.0.1"), ("hanako@example.test", "127.0.0.1")]
    for row in found:
        server.command("legacy", "forget", row["key"])
    assert server.command("legacy", "list", json_rows=True) == []
    submit(server, "hanako@example.test")
    from test_submission import inbox
    assert b"127.0.0.1" not in wait_for(lambda: inbox(server))[0].split(b"Subject:")[0]
