"""Mail goes out over TLS that is verified: DANE and MTA-STS, with real zones, policies over HTTPS, and a real Postfix on the other side."""
import email
import gzip
import json

import pytest

from conftest import free_port_base
from mail import fetch_all, imap, message, wait_for
from mail_lab import NET, Certificate, Lab, Policies
from test_submission import inbox, login, queued, sender

pytestmark = pytest.mark.local

SIGNED, PLAIN, FORGED = "signed.example", "plain.example", "forged.example"


REPORTS = f"v=TLSRPTv1; rua=mailto:tls@reports.{PLAIN},https://reports.{PLAIN}/v1"
# Domains with a policy: MX, its number, the mode, and the mx that the policy allows.
STS = {"good": ("mx2", 2, "enforce", "mx2.sts.example"), "wild": ("mx2", 2, "enforce", "*.sts.example"), "outside": ("mx2", 2, "enforce", "mx9.sts.example"),
       "untrusted": ("mx1", 1, "enforce", "mx1.sts.example"), "expired": ("mx4", 4, "enforce", "mx4.sts.example"), "stripped": ("mx3", 3, "enforce", "mx3.sts.example"),
       "testing": ("mx1", 1, "testing", "mx9.sts.example"), "none": ("mx3", 3, "none", "mx9.sts.example"), "badweb": ("mx3", 3, "enforce", "mx9.sts.example"),
       "broken": ("mx3", 3, "Enforce!", "mx9.sts.example")}


def mx(domain, host, number, *tlsa):
    """Lines of a zone: a domain, its MX, and what is promised of it."""
    return [f"{domain} MX 10 {host}", f"{host} A {NET}.{number}", *(f"_25._tcp.{host} TLSA {record}" for record in tlsa)]


@pytest.fixture(scope="module")
def lab():
    made = Lab()
    try:
        build(made)
        made.start()
        yield made
    finally:
        made.stop()


def build(lab):
    """Hosts by number: 1 a self-made certificate, expired, for another name. 2 one by the lab's authority. 3 no TLS. 4 expired, by the authority."""
    own = Certificate("whatever", ["whatever.invalid"], days=-1)
    good = Certificate("mx2", [f"mx2.{SIGNED}", f"mx2.{PLAIN}", f"alias.{SIGNED}", "mx2.sts.example"], issuer=lab.authority)
    expired = Certificate("mx4", [f"mx4.{SIGNED}", f"mx4.{PLAIN}", "mx4.sts.example"], issuer=lab.authority, days=-1)
    other = Certificate("other", ["other.invalid"])
    for number, certificate in ((1, own), (2, good), (3, None), (4, expired)):
        lab.postfix.add(number, certificate)
    wrong = other.tlsa(3)
    lines = [
        *mx("ee", "mx1", 1, own.tlsa(3)),
        *mx("ee-full", "mx1full", 1, own.tlsa(3, 0, 0)),
        *mx("ee-512", "mx1long", 1, own.tlsa(3, 0, 2), wrong),
        *mx("ta", "mx2", 2, lab.authority.tlsa(2, 0, 1)),
        *mx("ta-name", "mx2x", 2, lab.authority.tlsa(2, 0, 1)),
        *mx("ta-expired", "mx4", 4, lab.authority.tlsa(2, 0, 1)),
        *mx("wrong", "mxwrong", 1, wrong),
        *mx("stripped", "mxclear", 3, own.tlsa(3)),
        *mx("unusable", "mxold", 1, "1 1 1 " + "ab" * 32, "3 9 1 " + "cd" * 32),
        *mx("unusable-clear", "mxoldclear", 3, "0 1 1 " + "ab" * 32),
        *mx("second", "mxfirst", 3, own.tlsa(3)), "second MX 20 mx1",
        *mx("clear", "mx3", 3),
        "aliased MX 10 cname", "cname CNAME mx1",
        "aliased-own MX 10 cname2", "cname2 CNAME mx3", f"_25._tcp.cname2 TLSA {own.tlsa(3)}",
        *mx("nodata", "mxnodata", 1), "_25._tcp.mxnodata TXT nothing",
    ]
    own_server = Certificate("own", ["mx5.invalid"])
    own_server.write(lab.folder / "5.pem")
    lines += mx("next", "mx5", 5, own_server.tlsa(3))
    lines += [f'_smtp._tls.{name} TXT "{REPORTS}"' for name in ("ee", "wrong")]
    lab.names.add(SIGNED, lines)
    lab.names.add(PLAIN, [*mx("wrong", "mxwrong", 1, wrong), *mx("clear", "mx3", 3), f"half MX 10 mxwrong.{SIGNED}.",
                          *mx("verified", "mx2", 2), *mx("reports", "mx2", 2), f"reports A {NET}.80", *mx("unverified", "mx1", 1), *mx("expired", "mx4", 4)], signed=False)
    sts = []
    for name, (host, number, *_) in STS.items():
        sts += [f"{name} MX 10 {host}", f'_mta-sts.{name} TXT "v=STSv1; id=1;"', f"mta-sts.{name} A {NET}.80"]
    sts += [f'_smtp._tls.{name} TXT "{REPORTS}"' for name in ("good", "untrusted", "none")]
    lab.names.add("sts.example", [*sts, f"mx1 A {NET}.1", f"mx2 A {NET}.2", f"mx3 A {NET}.3", f"mx4 A {NET}.4"], signed=False)
    lab.names.add(FORGED, [*mx("any", "mx1", 1)], signed="forged")


def settings(lab):
    return f'resolver = "127.0.0.1@{lab.names.port}" trust_anchor = "{lab.names.anchor_file()}" authorities = "{lab.authority_file}" retry_min = "1s"'


@pytest.fixture
def server(new_server, tmp_path, lab):
    return sender(new_server, tmp_path, "", settings(lab))


serial = iter(range(1, 1000))


def send(server, domain, field="", options=()):
    """Submits to the domain; the subject, by which it is found."""
    subject = f"letter {next(serial)} to {domain}"
    with login(server) as client:
        client.sendmail("hanako@example.test", [f"taro@{domain}"], field.encode() + message(subject, sender="hanako@example.test", to=f"taro@{domain}"), options)
    return subject


def arrived(lab, subject):
    return [data for data in lab.postfix.messages() if f"Subject: {subject}\n".encode() in data.replace(b"\r\n", b"\n")]


def how_it_came(lab, server, subject):
    """The Received field of Postfix."""
    try:
        data = wait_for(lambda: arrived(lab, subject), 20)[0]
    except AssertionError:
        raise AssertionError(f"{server.command('queue', 'destinations')}\n{server.log_text()[-2000:]}\n{lab.postfix.log()[-2000:]}") from None
    return data.split(b"\nReceived:")[1].decode()


def delivered(lab, server, domain):
    return how_it_came(lab, server, send(server, domain))


def why_it_waits(lab, server, domain, subject):
    """It is not sent, and the queue says why."""
    rows = wait_for(lambda: [row for row in server.command("queue", "destinations", json_rows=True) if row["domain"] == domain and row["reason"]], 20)
    assert not arrived(lab, subject) and any(row["recipient"] == f"taro@{domain}" for row in queued(server))
    return rows[0]["reason"]


def deferred(lab, server, domain):
    return why_it_waits(lab, server, domain, send(server, domain))


def test_what_tlsa_promises_is_used(lab, server):
    names = ("ee", "ee-full", "ee-512", "ta", "unusable", "aliased", "nodata", "second")
    subjects = {name: send(server, f"{name}.{SIGNED}") for name in names}
    for name, subject in subjects.items():
        assert "using TLSv1.3" in how_it_came(lab, server, subject), name


def test_what_breaks_a_promise_is_deferred(lab, server):
    reasons = {"wrong": "certificate", "stripped": "STARTTLS", "unusable-clear": "STARTTLS", "ta-name": "ostname mismatch", "ta-expired": "expired",
               "aliased-own": "STARTTLS"}
    subjects = {name: send(server, f"{name}.{SIGNED}") for name in reasons}
    for name, reason in reasons.items():
        assert reason in why_it_waits(lab, server, f"{name}.{SIGNED}", subjects[name]), name


def test_without_dnssec_nothing_is_promised(lab, server):
    assert "using TLS" in delivered(lab, server, f"wrong.{PLAIN}")
    assert "using TLS" not in delivered(lab, server, f"clear.{PLAIN}")
    assert "using TLS" not in delivered(lab, server, f"clear.{SIGNED}")
    # A host under DNSSEC keeps its promise to domains without.
    assert "certificate" in deferred(lab, server, f"half.{PLAIN}")


def test_forged_answers_are_no_answers(lab, server):
    assert "bogus" in deferred(lab, server, f"any.{FORGED}")


def test_routes_demand_or_forbid_tls(new_server, tmp_path, lab):
    routes = [f"clear.{PLAIN}=,tls=required", f"verified.{PLAIN}=,tls=verified", f"unverified.{PLAIN}=,tls=verified", f"expired.{PLAIN}=,tls=verified",
              f"never.{PLAIN}={NET}.2:25,tls=never", f"literal.{PLAIN}={NET}.2:25,tls=verified", f"fixed.{PLAIN}=mx2.{PLAIN}:25,tls=verified"]
    server = sender(new_server, tmp_path, " ".join(routes), settings(lab))
    assert "STARTTLS" in deferred(lab, server, f"clear.{PLAIN}")
    assert "using TLS" in delivered(lab, server, f"verified.{PLAIN}")
    assert "using TLS" in delivered(lab, server, f"fixed.{PLAIN}")
    assert "using TLS" not in delivered(lab, server, f"never.{PLAIN}")
    assert "no name" in deferred(lab, server, f"literal.{PLAIN}")
    assert "expired" in deferred(lab, server, f"expired.{PLAIN}")
    assert "certificate" in deferred(lab, server, f"unverified.{PLAIN}")


@pytest.fixture
def policies(lab):
    web = Policies(lab.folder, f"{NET}.80", Certificate("web", [f"mta-sts.{name}.sts.example" for name in STS if name != "badweb"] + [f"reports.{PLAIN}"], issuer=lab.authority))
    for name, (_, _, mode, allowed) in STS.items():
        web.documents[f"mta-sts.{name}.sts.example"] = f"version: STSv1\r\nmode: {mode}\r\nmx: {allowed}\r\nmax_age: 86400\r\n"
    yield web
    web.stop()


def test_policies_of_mta_sts_are_kept_to(lab, server, policies):
    domains = {name: f"{name}.sts.example" for name in STS}
    subjects = {name: send(server, domain) for name, domain in domains.items()}
    for name in ("good", "wild", "testing"):
        assert "using TLS" in how_it_came(lab, server, subjects[name]), name
    for name in ("none", "badweb", "broken"):
        assert "using TLS" not in how_it_came(lab, server, subjects[name]), name
    for name, reason in {"outside": "not in the policy", "untrusted": "certificate", "expired": "expired", "stripped": "STARTTLS"}.items():
        assert reason in why_it_waits(lab, server, domains[name], subjects[name]), name


def test_an_open_connection_is_used_for_other_domains_that_demand_no_more(lab, server, policies):
    """Three domains with one MX without TLS: two demand nothing, the third enforces a policy. Connections that linger are there on both loops."""
    before = lab.postfix.log().count(": connect from")
    subjects = [send(server, f"{name}.sts.example") for name in ("badweb", "broken") * 4]
    for subject in subjects:
        how_it_came(lab, server, subject)
    connections = lab.postfix.log().count(": connect from") - before
    assert connections < len(subjects)
    strict = [send(server, "stripped.sts.example") for _ in range(6)]
    for subject in strict:
        assert "STARTTLS" in why_it_waits(lab, server, "stripped.sts.example", subject)


def test_a_policy_outlives_the_server_that_published_it_and_ours(lab, server, policies):
    subject = send(server, "stripped.sts.example")
    assert "STARTTLS" in why_it_waits(lab, server, "stripped.sts.example", subject)
    asked = len(policies.asked)
    policies.documents.clear()
    server.stop()
    server.start()
    assert "STARTTLS" in why_it_waits(lab, server, "stripped.sts.example", subject)
    assert len(policies.asked) == asked


def bounce(server):
    return email.message_from_bytes(wait_for(lambda: inbox(server), 20).pop()).get_payload()[1].get_payload()[1]


NEXT = """
server {{ name = "mx5.test" }}
listener "smtp" {{ protocol = "smtp" address = "{net}.5" port = 25 tls = "starttls" }}
listener "imap" {{ protocol = "imap" address = "127.0.0.1" port = {imap} }}
listener "metrics" {{ protocol = "http" address = "127.0.0.1" port = {http} }}
tls {{ certificate = "{pem}" key = "{pem}" }}
"""


def test_requiretls_goes_on_only_where_it_is_kept(new_server, tmp_path, lab, server):
    base, path = free_port_base(), tmp_path / "next.conf"
    path.write_text(NEXT.format(net=NET, imap=base + 43, http=base + 80, pem=lab.folder / "5.pem"))
    following = new_server("next", config=path)
    following.base = base
    following.start()
    following.add_domain(f"next.{SIGNED}")
    following.add_account(f"taro@next.{SIGNED}")
    send(server, f"next.{SIGNED}", options=["REQUIRETLS"])

    def arrived_there():
        with imap(following, f"taro@next.{SIGNED}") as client:
            return list(fetch_all(client).values())

    assert b"ESMTPS" in wait_for(arrived_there, 20)[0]
    for domain, status in ((f"ee.{SIGNED}", "5.7.30"), (f"clear.{SIGNED}", "5.7.10"), (f"verified.{PLAIN}", "5.7.10"), (f"wrong.{SIGNED}", "5.7.10")):
        subject = send(server, domain, options=["REQUIRETLS"])
        assert bounce(server)["Status"] == status, domain
        assert not arrived(lab, subject)
        with imap(server) as client:
            client.select("INBOX")
            client.store("1:*", "+FLAGS", "\\Deleted")
            client.expunge()


def test_a_sender_can_do_without_tls(lab, server):
    assert "using TLS" in how_it_came(lab, server, send(server, f"wrong.{SIGNED}", "TLS-Required: No\r\n"))
    assert "using TLS" not in how_it_came(lab, server, send(server, f"stripped.{SIGNED}", "TLS-Required: no\r\n"))
    # Who asks for both wants it protected (RFC 8689 section 3).
    send(server, f"stripped.{SIGNED}", "TLS-Required: No\r\n", ["REQUIRETLS"])
    assert bounce(server)["Status"] == "5.7.10"


def test_reports_tell_how_it_went(lab, server, policies):
    # Of the domain above the server's name.
    server.command("domain", "dkim", "create", "example.test")
    server.command("domain", "dkim", "rotate", "example.test", "--unchecked")
    subjects = {domain: send(server, domain) for domain in (f"ee.{SIGNED}", f"wrong.{SIGNED}", "good.sts.example", "untrusted.sts.example", "none.sts.example")}
    for domain in (f"ee.{SIGNED}", "good.sts.example", "none.sts.example"):
        how_it_came(lab, server, subjects[domain])
    for domain in (f"wrong.{SIGNED}", "untrusted.sts.example"):
        why_it_waits(lab, server, domain, subjects[domain])
    rows = {row["domain"]: row for row in server.command("transport", "reports", json_rows=True)}
    assert {domain: (row["policy"], row["successes"], row["failures"]) for domain, row in rows.items()} == {
        f"ee.{SIGNED}": ("tlsa", 1, 0), f"wrong.{SIGNED}": ("tlsa", 0, 1), "good.sts.example": ("sts", 1, 0), "untrusted.sts.example": ("sts", 0, 1),
        "none.sts.example": ("sts", 0, 1)}
    assert server.command("transport", "send-reports", json_rows=True) == [{"domains": 0}]
    assert server.command("transport", "send-reports", "--today", json_rows=True) == [{"domains": 5}]
    assert not server.command("transport", "reports", json_rows=True)
    mails = wait_for(lambda: [data for data in lab.postfix.messages() if b"TLS-Report-Domain: untrusted.sts.example" in data], 20)
    mail = email.message_from_bytes(mails[0])
    assert mail.get_content_type() == "multipart/report" and mail.get_param("report-type") == "tlsrpt" and mail["TLS-Report-Submitter"] == "out.example.test"
    assert "d=example.test" in mail["DKIM-Signature"]
    part = mail.get_payload()[1]
    assert part.get_content_type() == "application/tlsrpt+gzip"
    report = json.loads(gzip.decompress(part.get_payload(decode=True)))
    assert report["organization-name"] == "out.example.test" and report["contact-info"] == "postmaster@out.example.test"
    policy = report["policies"][0]
    assert policy["policy"]["policy-type"] == "sts" and policy["policy"]["mx-host"] == ["mx1.sts.example"] and "mode: enforce" in policy["policy"]["policy-string"]
    assert policy["summary"] == {"total-successful-session-count": 0, "total-failure-session-count": 1}
    detail = policy["failure-details"][0]
    assert detail["result-type"] == "certificate-not-trusted" and detail["receiving-ip"] == f"{NET}.1" and detail["receiving-mx-hostname"] == "mx1.sts.example"
    posted = [json.loads(gzip.decompress(body)) for _, body in policies.posted]
    assert len(posted) == 5 and all(headers["Content-Type"] == "application/tlsrpt+gzip" for headers, _ in policies.posted)
    assert any("_25._tcp.mx1.signed.example. IN TLSA 3 1 1 " in string for one in posted for string in one["policies"][0]["policy"].get("policy-string", []))


def test_what_is_demanded_can_be_asked_for(lab, server, policies):
    def show(domain):
        return server.command("transport", "show", domain, json_rows=True)[0]

    ee = show(f"ee.{SIGNED}")
    assert (ee["tls"], ee["by"], ee["dnssec"], ee["addresses"]) == ("verified", "DANE", True, f"{NET}.1") and "TLSA 3 1 1" in ee["detail"]
    assert (show(f"clear.{PLAIN}")["tls"], show(f"unusable.{SIGNED}")["tls"]) == ("opportunistic", "encrypted")
    assert show("good.sts.example")["by"] == "MTA-STS (enforce)" and "not in the policy" in show("outside.sts.example")["detail"]
