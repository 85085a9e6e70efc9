"""The examples of RFCs about messages: how they come, go elsewhere, are replaced and read."""
import pytest
from imap_talk import mail, run_server, talk  # noqa: F401

pytestmark = pytest.mark.local

SETTINGS = 'smtp { message = "100K" }\n'

FIRST = """
        C| Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)
        C| From: Fred Foobar <foobar@Blurdybloop.example.COM>
        C| Subject: afternoon meeting
        C| To: mooch@owatagu.example.net
        C| Message-Id: <B27397-0100000@Blurdybloop.example.COM>
        C| MIME-Version: 1.0
        C| Content-Type: TEXT/PLAIN; CHARSET=US-ASCII
        C|
        C| Hello Joe, do you think we can meet at 3:30 tomorrow?
        C|"""


@pytest.fixture(scope="module")
def imap_server(tmp_path_factory):
    server = run_server(tmp_path_factory.mktemp("imap"), SETTINGS)
    yield server
    server.stop()


def test_append_and_uidplus_rfc4315(talk):
    c = talk(mail("1"), mail("2"), mail("3"), mail("4"), mail("5"))
    c.play(rf"""
        C: c CREATE saved-messages
        S: c OK [MAILBOXID (%_%)] CREATE completed
        C: c CREATE meeting
        S: c OK [MAILBOXID (%_%)] CREATE completed
        C: A003 APPEND saved-messages (\Seen) {{#}}{FIRST}
        C:
        S: A003 OK [APPENDUID %saved% 1] APPEND completed
        C: A004 COPY 2:4 meeting
        S: A004 OK [COPYUID %meeting% 2:4 1:3] COPY completed
        C: A005 UID COPY 305:310 meeting
        S: A005 OK COPY completed
        C: A006 COPY 1 nowhere
        S: A006 NO [TRYCREATE] %_%
        C: A006 COPY 9 meeting
        S: A006 BAD %_%
        C: f STORE 2:5 +FLAGS.SILENT (\Deleted)
        S: f OK STORE completed
        C: A003 UID EXPUNGE 3:4,3000
        S: * 4 EXPUNGE
        S: * 3 EXPUNGE
        S: A003 OK EXPUNGE completed
        C: s STATUS meeting (UIDVALIDITY UIDNEXT MESSAGES)
        S: * STATUS meeting (MESSAGES 3 UIDNEXT 4 UIDVALIDITY %meeting%)
        S: s OK STATUS completed
        C: s SELECT saved-messages
        S~ s OK [READ-WRITE] SELECT completed
        C: f FETCH 1 (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])
        S: * 1 FETCH (FLAGS (\Seen \Recent) BODY[HEADER.FIELDS (SUBJECT)] {{30}}
        S: Subject: afternoon meeting
        S:
        S: )
        S: f OK FETCH completed""")


def test_multiappend_rfc3502(talk):
    talk(select=None).play(rf"""
        C: c CREATE saved-messages
        S: c OK [MAILBOXID (%_%)] CREATE completed
        C: A003 APPEND saved-messages (\Seen) {{#}}{FIRST}
        C:  (\Seen) " 7-Feb-1994 22:43:04 -0800" {{#}}
        C| Date: Mon, 7 Feb 1994 22:43:04 -0800 (PST)
        C| From: Joe Mooch <mooch@OWaTaGu.example.net>
        C| Subject: Re: afternoon meeting
        C|
        C| 3:30 is fine with me.
        C|
        C:
        S: A003 OK [APPENDUID %validity% %uids%] APPEND completed
        C: A004 APPEND bogusname (\Flagged) {{1023}}
        S: A004 NO [TRYCREATE] %_%
        C: A005 APPEND saved-messages (\Flagged) {{#}}
        C| From: Fred Foobar <fred@example.com>
        C:  {{350403}}
        S: A005 NO [TOOBIG] %_%
        C: A006 STATUS saved-messages (MESSAGES UNSEEN)
        S: * STATUS saved-messages (MESSAGES 2 UNSEEN 0)
        S: A006 OK STATUS completed
        C: A007 SELECT saved-messages
        S~ A007 OK [READ-WRITE] SELECT completed
        C: A008 FETCH 2 (INTERNALDATE)
        S: * 2 FETCH (INTERNALDATE " 8-Feb-1994 06:43:04 +0000")
        S: A008 OK FETCH completed
        C: A009 UID FETCH %uids% (UID)
        S~ A009 OK FETCH completed""")


def test_catenate_rfc4469(talk):
    c = talk(select=None).play(r"""
        C: c CREATE Drafts
        S: c OK [MAILBOXID (%_%)] CREATE completed
        C: a APPEND Drafts (\Seen \Draft) {#}
        C| From: Bob Ar <bar@example.org>
        C| Subject: About our holiday trip
        C| MIME-Version: 1.0
        C| Content-Type: multipart/mixed; boundary="bound"
        C|
        C| --bound
        C| Content-Type: text/plain
        C|
        C| Our travel agent has sent the schedule.
        C| --bound
        C| Content-Type: application/x-zip-compressed
        C|
        C| zip
        C| --bound--
        C:
        S: a OK [APPENDUID %validity% 1] APPEND completed
        C: a APPEND Drafts () {#}
        C| Content-Type: text/plain
        C|
        C| another attachment
        C:
        S: a OK [APPENDUID %validity% 2] APPEND completed
        C: A003 APPEND Drafts (\Seen \Draft $MDNSent) CATENATE (URL "/Drafts;UIDVALIDITY=%validity%/;UID=1/;section=HEADER" TEXT {#-}
        C| --bound
        C|
        C:  URL "/Drafts;UIDVALIDITY=%validity%/;UID=1/;section=1.MIME" URL "/Drafts;UIDVALIDITY=%validity%/;UID=1/;section=1" TEXT {#-}
        C|
        C| --bound
        C|
        C:  URL "/Drafts;UIDVALIDITY=%validity%/;UID=2" TEXT {#-}
        C| --bound--
        C|
        C: )
        S: A003 OK [APPENDUID %validity% 3] APPEND completed
        C: s SELECT Drafts
        S~ s OK [READ-WRITE] SELECT completed
        C: f UID FETCH 3 (FLAGS BODY.PEEK[])
        S: * 3 FETCH (UID 3 FLAGS (\Seen \Draft \Recent $MDNSent) BODY[] {%_%}
        S: From: Bob Ar <bar@example.org>
        S: Subject: About our holiday trip
        S: MIME-Version: 1.0
        S: Content-Type: multipart/mixed; boundary="bound"
        S:
        S: --bound
        S: Content-Type: text/plain
        S:
        S: Our travel agent has sent the schedule.
        S: --bound
        S: Content-Type: text/plain
        S:
        S: another attachment
        S: --bound--
        S: )
        S: f OK FETCH completed
        C: A004 APPEND Drafts CATENATE (URL ";UID=2/;SECTION=TEXT/;PARTIAL=0.7" URL "/Drafts/;UID=2/;section=text/;partial=7.100")
        S~ A004 OK [APPENDUID %validity% 4] APPEND completed
        C: f UID FETCH 4 (BODY.PEEK[])
        S: * 4 FETCH (UID 4 BODY[] {20}
        S: another attachment
        S: )
        S: f OK FETCH completed
        C: A003 APPEND Drafts (\Seen $MDNSent) CATENATE (TEXT {#}
        C| Subject: Digest of the mailing list for today
        C|
        C:  URL "/Drafts;UIDVALIDITY=%validity%/;UID=2" TEXT {#}
        C| --
        C:  URL "/Drafts;UIDVALIDITY=%validity%/;UID=113330/;section=1.5.9" TEXT {9}
        S: A003 NO [BADURL /Drafts;UIDVALIDITY=%validity%/;UID=113330/;section=1.5.9] %_%
        C: A005 APPEND Drafts CATENATE (URL "/Drafts;UIDVALIDITY=1/;UID=2")
        S: A005 NO [BADURL /Drafts;UIDVALIDITY=1/;UID=2] %_%
        C: A006 APPEND Drafts CATENATE (URL "imap://elsewhere.example.org/Drafts/;UID=2")
        S: A006 NO [BADURL imap://elsewhere.example.org/Drafts/;UID=2] %_%
        C: A007 APPEND Drafts CATENATE (TEXT {60000+}""")
    c.send("x" * 60000 + " TEXT {60000+}\r\n" + "y" * 60000 + ")\r\n")
    c.play("S: A007 NO [TOOBIG] %_%\nC: A008 STATUS Drafts (MESSAGES)\nS: * STATUS Drafts (MESSAGES 4)\nS: A008 OK STATUS completed")


def test_replace_rfc8508(talk):
    c = talk(select=None).play("C: c CREATE Drafts\nS: c OK [MAILBOXID (%_%)] CREATE completed\nC: c CREATE Sent\nS: c OK [MAILBOXID (%_%)] CREATE completed")
    c.append("Drafts", mail("1"), mail("2"), mail("3"), mail("4"))
    c.play(r"""
        C: s SELECT Drafts
        S~ s OK [READ-WRITE] SELECT completed
        C: e FETCH 4 (EMAILID)
        S: * 4 FETCH (EMAILID (%before%))
        S: e OK FETCH completed
        C: A003 REPLACE 4 Drafts (\Seen \Draft) {#}
        C| Date: Thu, 1 Jan 2015 00:05:00 -0500 (EST)
        C| From: Fritz Schmidt <fritz.ze@example.org>
        C| Subject: happy new year !!
        C|
        C| Just saw the best fireworks show. Wish you were here.
        C:
        S: * OK [APPENDUID %validity% 5] Replacement message ready
        S: * 4 EXPUNGE
        S: * 4 EXISTS
        S: * 4 RECENT
        S: A003 OK REPLACE completed
        C: e FETCH 4 (UID FLAGS EMAILID)
        S: * 4 FETCH (UID 5 FLAGS (\Seen \Draft \Recent) EMAILID (%after%))
        S: e OK FETCH completed
        C: A004 UID REPLACE 5 Drafts (\Seen \Draft) {#+}
        C| Subject: happy new year !!
        C|
        C| Hopefully next year you can join us.
        C:
        S: * OK [APPENDUID %validity% 6] Replacement message ready
        S: * 4 EXPUNGE
        S: * 4 EXISTS
        S: * 4 RECENT
        S: A004 OK REPLACE completed
        C: A005 UID REPLACE 2000 Drafts {5}
        S: A005 NO [NONEXISTENT] %_%
        C: A006 REPLACE 9 Drafts {5}
        S: A006 BAD %_%
        C: A007 REPLACE 1 nowhere {5}
        S: A007 NO [TRYCREATE] %_%
        C: A008 REPLACE 1 Drafts {350403}
        S: A008 NO [TOOBIG] %_%
        C: A009 REPLACE 1:2 Drafts {#+}
        C| x
        C:
        S: A009 BAD %_%
        C: A011 UID REPLACE 6 Drafts CATENATE (TEXT {#}
        C| To: Mitzy <miss.mitzy@example.org>
        C:  URL "/Drafts/;UID=6")
        S: * OK [APPENDUID %validity% 7] Replacement message ready
        S: * 4 EXPUNGE
        S: * 4 EXISTS
        S: * 4 RECENT
        S: A011 OK REPLACE completed
        C: A012 UID FETCH 7 (BODY.PEEK[HEADER])
        S: * 4 FETCH (UID 7 BODY[HEADER] {%_%}
        S: To: Mitzy <miss.mitzy@example.org>
        S: Subject: happy new year !!
        S:
        S: )
        S: A012 OK FETCH completed
        C: A013 UID REPLACE 7 Sent (\Seen) CATENATE (URL "/Drafts/;UID=7")
        S: * OK [APPENDUID %sent% 1] Replacement message ready
        S: * 4 EXPUNGE
        S: A013 OK REPLACE completed
        C: q ENABLE QRESYNC
        S: * ENABLED QRESYNC
        S: q OK ENABLE completed
        C: A014 UID REPLACE 3 Sent {#}
        C| Subject: x
        C|
        C:
        S: * OK [APPENDUID %sent% 2] Replacement message ready
        S: * VANISHED 3
        S: A014 OK [HIGHESTMODSEQ %_%] REPLACE completed
        C: A015 EXAMINE Drafts
        S~ A015 OK [READ-ONLY] EXAMINE completed
        C: A016 REPLACE 1 Drafts {5}
        S: A016 NO [READ-ONLY] %_%""")
    assert c.names["before"] != c.names["after"]


def test_move_rfc6851(talk):
    talk(*[mail(str(i)) for i in range(1, 6)]).play(r"""
        C: c CREATE foo
        S: c OK [MAILBOXID (%_%)] CREATE completed
        C: a UID MOVE 2:3,69 foo
        S: * OK [COPYUID %foo% 2:3 1:2] Moved
        S: * 3 EXPUNGE
        S: * 2 EXPUNGE
        S: a OK MOVE completed
        C: b MOVE 1 nowhere
        S: b NO [TRYCREATE] %_%
        C: c MOVE 1 foo
        S: * OK [COPYUID %foo% 1 3] Moved
        S: * 1 EXPUNGE
        S: c OK MOVE completed
        C: d UID MOVE 69 foo
        S: d OK MOVE completed
        C: q ENABLE QRESYNC
        S: * ENABLED QRESYNC
        S: q OK ENABLE completed
        C: e MOVE 1 foo
        S: * OK [COPYUID %foo% 4 4] Moved
        S: * VANISHED 4
        S: e OK [HIGHESTMODSEQ %_%] MOVE completed
        C: f EXAMINE foo
        S~ f OK [READ-ONLY] EXAMINE completed
        C: g MOVE 1 INBOX
        S: g NO [READ-ONLY] %_%""")


def test_objectid_rfc8474_messages(talk):
    c = talk(mail("Message A"), mail("Re: Message A", more="References: <Message.A@example.org>\n"), mail("Message C"))
    c.play(r"""
        C: c CREATE foo
        S: c OK [MAILBOXID (%_%)] CREATE completed
        C: 22 fetch 1:* (emailid threadid)
        S: * 1 FETCH (EMAILID (%a%) THREADID (%ta%))
        S: * 2 FETCH (EMAILID (%b%) THREADID (%ta%))
        S: * 3 FETCH (EMAILID (%c%) THREADID (%tc%))
        S: 22 OK FETCH completed
        C: 27 search emailid %a%
        S: * SEARCH 1
        S: 27 OK SEARCH completed
        C: 28 search threadid %ta%
        S: * SEARCH 1 2
        S: 28 OK SEARCH completed
        C: 28 search or emailid %a% emailid %c%
        S: * SEARCH 1 3
        S: 28 OK SEARCH completed
        C: 28 search emailid nothing
        S: * SEARCH
        S: 28 OK SEARCH completed
        C: 23 move 2 foo
        S: * OK [COPYUID %_% 2 1] Moved
        S: * 2 EXPUNGE
        S: 23 OK MOVE completed
        C: 24 fetch 1:* (emailid threadid)
        S: * 1 FETCH (EMAILID (%a%) THREADID (%ta%))
        S: * 2 FETCH (EMAILID (%c%) THREADID (%tc%))
        S: 24 OK FETCH completed
        C: 24 copy 1 foo
        S: 24 OK [COPYUID %_%] COPY completed
        C: 25 rename foo bar
        S: 25 OK RENAME completed
        C: 25 select "bar"
        S~ 25 OK [READ-WRITE] SELECT completed
        C: 26 fetch 1:* (emailid threadid)
        S: * 1 FETCH (EMAILID (%b%) THREADID (%ta%))
        S: * 2 FETCH (EMAILID (%a%) THREADID (%ta%))
        S: 26 OK FETCH completed
        C: 29 rename INBOX old
        S: 29 OK RENAME completed
        C: 30 select old
        S~ 30 OK [READ-WRITE] SELECT completed
        C: 31 fetch 1:* (emailid threadid)
        S: * 1 FETCH (EMAILID (%a%) THREADID (%ta%))
        S: * 2 FETCH (EMAILID (%c%) THREADID (%tc%))
        S: 31 OK FETCH completed""")
    assert len({c.names[name] for name in ("a", "b", "c")}) == 3 and c.names["ta"] != c.names["tc"]
    assert not {c.names[name] for name in ("a", "b", "c")} & {c.names["ta"], c.names["tc"]}


def test_preview_rfc8970(talk):
    lorem = "Lorem ipsum dolor sit amet, consectetur adipiscing elit.\nCurabitur aliquam turpis et ante dictum, et pulvinar dui congue.\n" + "nulla " * 100
    c = talk(mail("one", body="Preview text!"), mail("two", body=lorem), mail("three", body="", more="Content-Type: image/png\n"),
             mail("four", body="<html><style>p {}</style><p>Some <b>markup</b></p></html>", more="Content-Type: text/html\n"))
    c.play(r"""
        C: A1 FETCH 1 (PREVIEW)
        S: * 1 FETCH (PREVIEW "Preview text!")
        S: A1 OK FETCH completed
        C: A2 FETCH 2 (RFC822.SIZE PREVIEW)
        S: * 2 FETCH (RFC822.SIZE %_% PREVIEW "%preview%")
        S: A2 OK FETCH completed
        C: B1 FETCH 3:4 (UID PREVIEW (LAZY))
        S: * 3 FETCH (UID 3 PREVIEW "")
        S: * 4 FETCH (UID 4 PREVIEW "Some markup")
        S: B1 OK FETCH completed
        C: C2 SEARCH RETURN (SAVE) SUBJECT "one"
        C: C3 FETCH $ (UID PREVIEW (LAZY))
        S: C2 OK SEARCH completed
        S: * 1 FETCH (UID 1 PREVIEW "Preview text!")
        S: C3 OK FETCH completed
        C: D FETCH 1 (PREVIEW (EAGER))
        S: D BAD %_%""".replace('"%preview%"', '"%_%"'))
    c.send("x FETCH 2 (PREVIEW)\r\n")
    line = c.expect('* 2 FETCH (PREVIEW "Lorem ipsum dolor sit amet, %_%")')
    assert len(line) - len('* 2 FETCH (PREVIEW "")') <= 256
    c.expect("x OK FETCH completed")


def test_binary_rfc3516(talk):
    c = talk().play(r"""
        C: a APPEND INBOX {#}
        C| MIME-Version: 1.0
        C| Content-Type: multipart/mixed; boundary=b
        C|
        C| --b
        C| Content-Type: text/plain
        C| Content-Transfer-Encoding: quoted-printable
        C|
        C| caf=E9 =
        C| ole
        C| --b
        C| Content-Type: application/octet-stream
        C| Content-Transfer-Encoding: base64
        C|
        C| AAECAwQ=
        C| --b
        C| Content-Type: application/octet-stream
        C| Content-Transfer-Encoding: x-strange
        C|
        C| what
        C| --b--
        C:
        S: * 1 EXISTS
        S: * 1 RECENT
        S: a OK [APPENDUID %_% 1] APPEND completed
        C: b FETCH 1 (BINARY.SIZE[1] BINARY.SIZE[2] BINARY.PEEK[1]<0.4>)
        S: * 1 FETCH (BINARY.SIZE[1] 8 BINARY.SIZE[2] 5 BINARY[1]<0> {4}
        S: %_%)
        S: b OK FETCH completed
        C: c FETCH 1 (BINARY.PEEK[1]<5.100>)
        S: * 1 FETCH (BINARY[1]<5> {3}
        S: ole)
        S: c OK FETCH completed
        C: d FETCH 1 (BINARY.PEEK[2])
        S: * 1 FETCH (BINARY[2] ~{5}
        S: %nul%)
        S: d OK FETCH completed
        C: e FETCH 1 (BINARY.PEEK[2]<1.3>)
        S: * 1 FETCH (BINARY[2]<1> ~{3}
        S: %_%)
        S: e OK FETCH completed
        C: f FETCH 1 (BINARY.PEEK[3])
        S: * 1 FETCH (BINARY[3] NIL)
        S: f NO [UNKNOWN-CTE] %_%
        C: g FETCH 1 (BINARY.SIZE[3])
        S: * 1 FETCH (BINARY.SIZE[3] 0)
        S: g NO [UNKNOWN-CTE] %_%
        C: h FETCH 1 (FLAGS)
        S: * 1 FETCH (FLAGS (\Recent))
        S: h OK FETCH completed
        C: i FETCH 1 (BINARY[1]<5.3>)
        S: * 1 FETCH (FLAGS (\Seen \Recent) BINARY[1]<5> {3}
        S: ole)
        S: i OK FETCH completed""")
    assert c.names["nul"] == "\0\1\2\3\4"
    c.send(b"j APPEND INBOX ~{16+}\r\nSubject: x\r\n\r\n\0\1\r\n")
    c.play("""
        S: * 2 EXISTS
        S: * 2 RECENT
        S: j OK [APPENDUID %_% 2] APPEND completed
        C: k FETCH 2 (BINARY.PEEK[])
        S: * 2 FETCH (BINARY[] ~{16}
        S: Subject: x
        S:
        S: %raw%)
        S: k OK FETCH completed""")
    assert c.names["raw"] == "\0\1"


def test_literals_rfc7888_and_appendlimit_rfc7889(talk):
    c = talk()
    c.play(r"""
        C: c CREATE {#+-}
        C| FRED FOOBAR
        C:
        S: c OK [MAILBOXID (%_%)] CREATE completed
        C: d LIST "" {#-}
        C| FRED*
        C:
        S: * LIST (\HasNoChildren) "/" "FRED FOOBAR"
        S: d OK LIST completed
        C: A1 STATUS INBOX (APPENDLIMIT)
        S: * STATUS INBOX (APPENDLIMIT 102400)
        S: A1 OK STATUS completed
        C: A2 APPEND INBOX {102401}
        S: A2 NO [TOOBIG] %_%""")
    c.send("A3 APPEND INBOX {102401+}\r\n" + "x" * 102401 + "\r\n")
    c.play("S: A3 NO [TOOBIG] %_%\nC: A4 NOOP\nS: A4 OK NOOP completed")


def test_utf8_accept_rfc6855(talk):
    plain, utf8 = talk(), talk(enable="UTF8=ACCEPT")
    utf8.play(r"""
        C: a CREATE "受信箱"
        S: a OK [MAILBOXID (%_%)] CREATE completed
        C: b LIST "" "受*"
        S: * LIST (\HasNoChildren) "/" "受信箱"
        S: b OK LIST completed
        C: c APPEND "受信箱" UTF8 (~{#+}
        C| From: =?UTF-8?B?6Iqx5a2Q?= <hanako@example.test>
        C| Subject: 便り
        C|
        C| x
        C: )
        S: c OK [APPENDUID %_% 1] APPEND completed
        C: d APPEND "受信箱" CATENATE (UTF8 (~{#+}
        C| Subject: 頼り
        C|
        C: ) URL "/%E5%8F%97%E4%BF%A1%E7%AE%B1/;UID=1/;SECTION=TEXT")
        S: d OK [APPENDUID %_% 2] APPEND completed
        C: e SELECT "受信箱"
        S~ e OK [READ-WRITE] SELECT completed
        C: f FETCH 1 (ENVELOPE)
        S: * 1 FETCH (ENVELOPE (NIL "便り" (("花子" NIL "hanako" "example.test")) %_%))
        S: f OK FETCH completed
        C: g SEARCH SUBJECT "頼り"
        S: * SEARCH 2
        S: g OK SEARCH completed
        C: h FETCH 2 (BODY.PEEK[])
        S: * 2 FETCH (BODY[] {%_%}
        S: Subject: 頼り
        S:
        S: x
        S: )
        S: h OK FETCH completed""".replace("\"花子\"", "\"%_%\""))
    utf8.send(b'x CREATE "\xff"\r\n')
    utf8.expect("x BAD %_%")
    plain.play(r"""
        C: a LIST "" "*"
        S: * LIST (\HasNoChildren) "/" INBOX
        S: * LIST (\HasNoChildren) "/" &U9dP4Xux-
        S: a OK LIST completed
        C: b SELECT &U9dP4Xux-
        S~ b OK [READ-WRITE] SELECT completed
        C: c FETCH 1 (ENVELOPE)
        S: * 1 FETCH (ENVELOPE (NIL {6}
        S: 便り (%_%))
        S: c OK FETCH completed""")
