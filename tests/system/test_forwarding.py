"""Aliases that lead to other servers: senders are rewritten, what comes back goes back, chains of ARC hold, and nothing goes round in circles."""
import re
import smtplib

import pytest

from mail import message, wait_for
from test_signing import ask, dkim, judge_dkimpy, judge_mailauth, names, sign_from_now_on, signing  # noqa: F401
from test_submission import inbox, login, queued, sink  # noqa: F401

ALIAS, TARGET, STRANGER = "away@example.test", "taro@elsewhere.test", "stranger@other.test"


@pytest.fixture
def forwarding(signing):  # noqa: F811
    server, there = signing
    server.command("alias", "add", ALIAS, TARGET)
    return server, there


def deliver(server, to, data, sender=STRANGER):
    """As another server does."""
    with smtplib.SMTP("127.0.0.1", server.port("smtp")) as client:
        client.ehlo("other.test")
        client.mail(sender)
        code, answer = client.rcpt(to)
        if code != 250:
            return code, answer
        return client.data(data)


def from_stranger(subject="forwarded", to=ALIAS):
    return message(subject, "hello\r\n.dot\r\n", sender=STRANGER, to=to)


def arrived(there, count=1):
    wait_for(lambda: len(there.messages) >= count)
    sender, recipients, data = there.messages[count - 1]
    return re.search("<(.*?)>", sender)[1], [re.search("<(.*?)>", one)[1] for one in recipients], data.replace(b"\r\n..", b"\r\n.")


def judge_arc(names, data):  # noqa: F811
    """What dkimpy says of the chain."""
    validation, results, _ = dkim.ARC(data).verify(dnsfunc=lambda name, timeout=5: ask(names, name))
    return validation.decode(), len(results)


def test_mail_goes_on_from_an_address_of_ours_and_comes_back(forwarding):
    server, there = forwarding
    data = from_stranger()
    assert deliver(server, ALIAS, data)[0] == 250
    sender, recipients, got = arrived(there)
    assert recipients == [TARGET] and re.fullmatch(r"SRS0=[a-z2-7]{6}=[a-z2-7]{2}=other\.test=stranger@example\.test", sender)
    assert got.endswith(data) and got.startswith(b"Delivered-To: away@example.test\r\nReceived: ") and b"Return-Path" not in got
    # The bounce, in another case: to the stranger, from nobody.
    local, domain = sender.split("@")
    assert deliver(server, f"{local.upper()}@{domain}", message("bounce", to=sender), sender="<>")[0] == 250
    sender, recipients, got = arrived(there, 2)
    assert sender == "" and [one.lower() for one in recipients] == [STRANGER] and b"Subject: bounce" in got
    wait_for(lambda: not queued(server))


def test_each_alias_has_turns_of_its_own(forwarding):
    server, there = forwarding
    there.answers["RCPT"] = "451 4.3.2 later"
    server.command("alias", "add", "other@example.test", "jiro@elsewhere.test")
    server.command("alias", "add", "both@example.test", "hanako@example.test", "saburo@elsewhere.test")
    for to in (ALIAS, ALIAS, "other@example.test", "both@example.test"):
        assert deliver(server, to, from_stranger(to=to))[0] == 250
    wait_for(lambda: len(queued(server)) == 4)

    def waiting(account):
        return sorted(row["recipient"] for row in server.command("queue", "list", "--account", account, json_rows=True))

    assert waiting(ALIAS) == [TARGET, TARGET] and waiting("other@example.test") == ["jiro@elsewhere.test"]
    assert waiting("hanako@example.test") == ["saburo@elsewhere.test"]
    assert len(server.command("queue", "list", "--tenant", "default", json_rows=True)) == 4


def test_return_paths_that_are_not_ours_lead_nowhere(forwarding):
    server, there = forwarding
    deliver(server, ALIAS, from_stranger())
    good, _, _ = arrived(there)
    for bad in (good.replace("other.test", "victim.test"), good.replace("=stranger", "=victim"), "SRS0=aaaaaa=aa=victim.test=x@example.test",
                "SRS1=aaaaaa=victim.test==aaaaaa=aa=v.test=x@example.test", "SRS0=x@example.test"):
        code, answer = deliver(server, bad, message("forged"), sender="<>")
        assert code == 550, (bad, answer)
    assert deliver(server, good.replace("example.test", "far.test"), message("relay"), sender="<>")[0] == 550
    # A catch-all does not take what is forged.
    server.command("domain", "set", "example.test", "--catch-all", "hanako@example.test")
    assert deliver(server, good.replace("=stranger", "=victim"), message("forged"), sender="<>")[0] == 550
    assert deliver(server, good, message("good"), sender="<>")[0] == 250


def test_a_chain_of_forwarders_keeps_its_length(forwarding):
    server, there = forwarding
    deliver(server, ALIAS, from_stranger(), sender="SRS0=HHH=TT=origin.test=user@first.test")
    sender, _, _ = arrived(there)
    assert re.fullmatch(r"SRS1=[a-z2-7]{6}=first\.test==HHH=TT=origin\.test=user@example\.test", sender)
    deliver(server, sender, message("back"), sender="<>")
    _, recipients, _ = arrived(there, 2)
    assert [one.lower() for one in recipients] == ["srs0=hhh=tt=origin.test=user@first.test"]


def test_senders_of_ours_and_nobody_stay_who_they_are(forwarding):
    server, there = forwarding
    deliver(server, ALIAS, from_stranger("notice"), sender="<>")
    assert arrived(there)[0] == ""
    with login(server) as client:
        client.sendmail("hanako@example.test", [ALIAS], message("mine", sender="hanako@example.test", to=ALIAS))
    assert arrived(there, 2)[0] == "hanako@example.test"


def test_accounts_and_others_of_one_alias(forwarding):
    server, there = forwarding
    server.command("alias", "add", "team@example.test", "hanako@example.test", TARGET, "jiro@elsewhere.test", ALIAS)
    data = from_stranger(to="team@example.test")
    assert deliver(server, "team@example.test", data)[0] == 250
    _, recipients, got = arrived(there)
    assert sorted(recipients) == ["jiro@elsewhere.test", TARGET] and got.endswith(data)
    assert inbox(server)[0].endswith(data) and b"Delivered-To" not in inbox(server)[0]


def test_a_message_that_comes_round_again_stops(forwarding):
    server, there = forwarding
    deliver(server, ALIAS, from_stranger())
    _, _, got = arrived(there)
    code, answer = deliver(server, ALIAS, got)
    assert code == 554 and b"loop" in answer
    assert len(there.messages) == 1


def test_what_fails_beyond_is_told_to_the_stranger(forwarding, names, node_modules):  # noqa: F811
    server, there = forwarding
    there.answers["RCPT"] = lambda sink: "550 5.1.1 nobody" if TARGET in sink.recipient else "250 ok"
    # The server's name is below a domain that has keys: they sign what it says.
    sign_from_now_on(server, names)
    deliver(server, ALIAS, from_stranger())
    sender, recipients, got = arrived(there)
    assert sender == "" and recipients == [STRANGER] and b"multipart/report" in got and b"5.1.1" in got
    assert judge_dkimpy(names, got) == [True, True]
    assert [one["result"] for one in judge_mailauth(names, got, node_modules)["dkim"]] == ["pass", "pass"]
    wait_for(lambda: not queued(server))


def test_the_chain_holds(forwarding, names, node_modules):  # noqa: F811
    server, there = forwarding
    deliver(server, ALIAS, from_stranger())
    assert b"ARC-Seal" not in arrived(there)[2]
    sign_from_now_on(server, names)
    for lines in (1, 26000):
        # It comes with a signature, and leaves with what we found of it.
        with login(server) as client:
            client.sendmail("hanako@example.test", [TARGET], message(f"n{lines}", ("x" * 76 + "\r\n") * lines, sender="hanako@example.test", to=TARGET))
        count = len(there.messages)
        wait_for(lambda: len(there.messages) > count or len(there.messages) % 2 == 0)
        signed = arrived(there, len(there.messages))[2]
        deliver(server, ALIAS, signed)
        count = len(there.messages) + 1
        _, _, got = arrived(there, count)
        assert got.startswith(b"ARC-Seal: i=1;") and b"cv=none" in got and got.count(b"dkim=pass") == 2
        assert judge_arc(names, got) == ("pass", 1)
        said = judge_mailauth(names, got, node_modules)
        assert said["arc"] == "pass" and [one["result"] for one in said["dkim"]] == ["pass", "pass"]
    # By another alias: the second set covers the first.
    server.command("alias", "add", "further@example.test", "jiro@elsewhere.test")
    deliver(server, "further@example.test", got)
    _, _, twice = arrived(there, len(there.messages) + 1)
    assert b"i=2;" in twice and b"cv=pass" in twice and judge_arc(names, twice) == ("pass", 2)
    assert judge_mailauth(names, twice, node_modules)["arc"] == "pass"
    # Changed on its way: the seal says that the chain is broken, and all agree.
    server.command("alias", "add", "third@example.test", "jiro@elsewhere.test")
    deliver(server, "third@example.test", twice.replace(b"Subject: ", b"Subject: changed "))
    _, _, broken = arrived(there, len(there.messages) + 1)
    assert b"i=3;" in broken and b"cv=fail" in broken
    assert judge_mailauth(names, broken, node_modules)["arc"] == "fail"


def test_names_that_cannot_be_asked_delay_nothing(forwarding, names):  # noqa: F811
    server, there = forwarding
    sign_from_now_on(server, names)
    with login(server) as client:
        client.sendmail("hanako@example.test", [TARGET], message("signed", sender="hanako@example.test", to=TARGET))
    signed = arrived(there)[2]
    names.fails = True
    server.stop()
    server.start()
    assert deliver(server, ALIAS, signed)[0] == 250
    _, _, got = arrived(there, 2)
    assert b"dkim=temperror" in got or b"ARC-Seal" not in got
