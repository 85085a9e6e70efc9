"""Mail leaves signed: keys that the operator makes and publishes, and what verifiers of others say of the mail that arrives."""
import json
import os
import pathlib
import subprocess

import pytest

from mail import message, wait_for
from names import Names
from test_submission import login, queued, sender, sink, submit  # noqa: F401

dkim = pytest.importorskip("dkim")
import dns.message  # noqa: E402
import dns.query  # noqa: E402
import dns.rdatatype  # noqa: E402

DOMAIN = "example.test"


@pytest.fixture
def names():
    made = Names()
    yield made
    made.close()


def ask(names, name):
    """dkimpy's way to DNS: by our name server, like everybody else's."""
    name = name.decode() if isinstance(name, bytes) else name
    answer = dns.query.tcp(dns.message.make_query(name.rstrip("."), dns.rdatatype.TXT), "127.0.0.1", port=names.port, timeout=5)
    for rrset in answer.answer:
        for record in rrset:
            return b"".join(record.strings)
    return b""


def judge_dkimpy(names, data):
    """Whether it holds, of each signature."""
    count = sum(1 for name, _ in dkim.DKIM(data).headers if name.lower() == b"dkim-signature")
    held = []
    for i in range(count):
        try:
            held.append(dkim.DKIM(data).verify(idx=i, dnsfunc=lambda name, timeout=5: ask(names, name)))
        except dkim.ValidationError:
            held.append(False)
    return held


def judge_mailauth(names, data, node_modules, envelope_sender=""):
    done = subprocess.run(["node", "verify.js"], cwd=node_modules, input=data, capture_output=True, timeout=60,
                          env={**os.environ, "DNS_PORT": str(names.port), "SENDER": envelope_sender})
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout.splitlines()[-1])


def expect_two_signatures(names, data, node_modules, domain=DOMAIN):
    assert judge_dkimpy(names, data) == [True, True]
    said = judge_mailauth(names, data, node_modules)["dkim"]
    assert sorted((one["algorithm"], one["result"]) for one in said) == [("ed25519-sha256", "pass"), ("rsa-sha256", "pass")], said
    assert {one["domain"] for one in said} == {domain}


def publish(server, names, domain=DOMAIN):
    for row in server.command("domain", "dkim", "show", domain, json_rows=True):
        names.txt[row["name"]] = row["record"]


def sign_from_now_on(server, names, domain=DOMAIN):
    server.command("domain", "dkim", "create", domain)
    publish(server, names, domain)
    server.command("domain", "dkim", "rotate", domain)


def arrived(there, count=1):
    wait_for(lambda: len(there.messages) >= count)
    return there.messages[-1][2]


@pytest.fixture
def signing(new_server, tmp_path, sink, names):  # noqa: F811
    there = sink()
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{there.port}", more=f'resolver = "127.0.0.1@{names.port}"')
    return server, there


def test_a_key_is_made_published_and_signs(signing, names, node_modules):
    server, there = signing
    submit(server, "taro@elsewhere.test")
    assert b"DKIM-Signature" not in arrived(there)
    made = server.command("domain", "dkim", "create", DOMAIN, json_rows=True)
    assert [row["algorithm"] for row in made] == ["rsa", "ed25519"] and {row["state"] for row in made} == {"next"}
    # Not before the world can check it.
    submit(server, "taro@elsewhere.test")
    assert b"DKIM-Signature" not in arrived(there, 2)
    refused = server.command("domain", "dkim", "rotate", DOMAIN, check=False)
    assert refused.returncode == 1 and "missing in DNS" in refused.stderr
    publish(server, names)
    server.command("domain", "dkim", "check", DOMAIN)
    assert {row["state"] for row in server.command("domain", "dkim", "rotate", DOMAIN, json_rows=True)} == {"active"}
    body = "行頭の点:\r\n.\r\n..x  \t \r\n\r\n  end \r\n\r\n\r\n"
    submit(server, "taro@elsewhere.test", message("signed", body, sender="hanako@example.test", to="taro@elsewhere.test"))
    data = arrived(there, 3).replace(b"\r\n..", b"\r\n.")
    expect_two_signatures(names, data, node_modules)
    assert data.startswith(b"DKIM-Signature: ") and b"h=from:from:" in data.replace(b"\r\n\t ", b"")
    # A second From, or another body, and they hold no more.
    assert judge_dkimpy(names, b"From: other@example.test\r\n" + data) == [False, False]
    assert judge_dkimpy(names, data.replace(b"end", b"END")) == [False, False]


def test_large_messages_are_signed(signing, names, node_modules):
    server, there = signing
    sign_from_now_on(server, names)
    # In one record, in one record but for the signatures, an object; by DATA.
    for i, lines in enumerate((800, 826, 830, 845, 26000)):
        submit(server, ["a@elsewhere.test", "b@other.test"], message(f"n{i}", ("x" * 76 + "\r\n") * lines, sender="hanako@example.test"))
        wait_for(lambda: len(there.messages) == 2 * i + 2)
        for _, _, data in there.messages[-2:]:
            expect_two_signatures(names, data, node_modules)
    wait_for(lambda: not queued(server))


def test_signatures_outlive_a_restart(signing, names, node_modules):
    server, there = signing
    sign_from_now_on(server, names)
    there.answers["RCPT"] = "451 later"
    for lines in (10, 26000):
        submit(server, "a@elsewhere.test", message(f"n{lines}", ("x" * 76 + "\r\n") * lines, sender="hanako@example.test"))
    wait_for(lambda: all(row["tries"] for row in queued(server)))
    server.stop()
    del there.answers["RCPT"]
    server.start()
    wait_for(lambda: len(there.messages) == 2 or server.command("queue", "retry", "--all") and False)
    for _, _, data in there.messages:
        expect_two_signatures(names, data, node_modules)


def test_rotation_keeps_what_is_under_way_valid(signing, names, node_modules):
    server, there = signing
    sign_from_now_on(server, names)
    submit(server, "taro@elsewhere.test")
    before = arrived(there)
    server.command("domain", "dkim", "create", DOMAIN)
    assert server.command("domain", "dkim", "create", DOMAIN, check=False).returncode == 1
    publish(server, names)
    server.command("domain", "dkim", "rotate", DOMAIN)
    submit(server, "taro@elsewhere.test")
    after = arrived(there, 2)
    expect_two_signatures(names, before, node_modules)
    expect_two_signatures(names, after, node_modules)
    rows = server.command("domain", "dkim", "check", DOMAIN, json_rows=True)
    assert sorted(row["state"] for row in rows) == ["active", "active", "old", "old"]
    assert all("leave it in DNS" in row["advice"] for row in rows if row["state"] == "old")
    # A record that is gone or another one is told.
    active = next(row for row in server.command("domain", "dkim", "show", DOMAIN, json_rows=True) if row["state"] == "active")
    names.txt[active["name"]] = "v=DKIM1; k=rsa; p="
    wait_for(lambda: server.command("domain", "dkim", "check", DOMAIN, check=False).returncode == 1)
    server.command("domain", "dkim", "remove", DOMAIN, "--all")
    submit(server, "taro@elsewhere.test")
    assert b"DKIM-Signature" not in arrived(there, 3)


def test_private_keys_are_shown_to_nobody(signing, names):
    server, there = signing
    sign_from_now_on(server, names)
    submit(server, "taro@elsewhere.test")
    arrived(there)
    said = "".join(server.command(*words) for words in (("domain", "dkim", "show", DOMAIN), ("domain", "dkim", "check", DOMAIN), ("domain", "show", DOMAIN), ("domain", "list")))
    said += server.command("domain", "dkim", "show", DOMAIN, json_rows=False) + pathlib.Path(server.log).read_text()
    # PKCS #8 of an RSA and of an Ed25519 key, in base64.
    assert "private" not in said and "MIIEv" not in said and "MC4CAQAwBQYDK2Vw" not in said


def test_lines_of_dots_hold(signing, names, node_modules):
    server, there = signing
    sign_from_now_on(server, names)
    with login(server) as client:
        client.mail("hanako@example.test")
        client.rcpt("taro@elsewhere.test")
        client.docmd("DATA")
        client.send(b"From: hanako@example.test\r\nTo: taro@elsewhere.test\r\nSubject: ends\r\n\r\none\r\n.. two\r\nlast\r\n.\r\n")
        code, answer = client.getreply()
    assert code == 250, answer
    expect_two_signatures(names, arrived(there).replace(b"\r\n..", b"\r\n."), node_modules)
