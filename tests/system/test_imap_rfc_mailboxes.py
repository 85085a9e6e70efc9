"""The examples of RFCs about mailboxes: LIST in all its forms, special uses, annotations, ids, quota."""
import base64

import pytest
from conftest import PASSWORD
from imap_talk import Talk, mail, run_server, talk  # noqa: F401

pytestmark = pytest.mark.local

SETTINGS = 'access { server_comment = "Shared comment" server_admin = "mailto:postmaster@example.test" }\n'


@pytest.fixture(scope="module")
def imap_server(tmp_path_factory):
    server = run_server(tmp_path_factory.mktemp("imap"), SETTINGS)
    yield server
    server.stop()


def make(session, *names, subscribed=()):
    for name in names:
        session.play(f'C: c CREATE "{name}"\nS: c OK [MAILBOXID (%_%)] CREATE completed')
    for name in subscribed:
        session.play(f'C: c SUBSCRIBE "{name}"\nS: c OK SUBSCRIBE completed')
    return session


def test_list_extended_rfc5258_examples_1_to_6(talk):
    c = make(talk(select=None), "Fruit", "Fruit/Apple", "Fruit/Banana", "Tofu", "Vegetable", "Vegetable/Broccoli", "Vegetable/Corn",
             subscribed=["INBOX", "Fruit/Banana", "Fruit/Peach", "Vegetable", "Vegetable/Broccoli"])
    c.play(r"""
        C: A01 LIST "" "*"
        S: * LIST (\HasNoChildren) "/" INBOX
        S: * LIST (\HasChildren) "/" Fruit
        S: * LIST (\HasNoChildren) "/" Fruit/Apple
        S: * LIST (\HasNoChildren) "/" Fruit/Banana
        S: * LIST (\HasNoChildren) "/" Tofu
        S: * LIST (\HasChildren) "/" Vegetable
        S: * LIST (\HasNoChildren) "/" Vegetable/Broccoli
        S: * LIST (\HasNoChildren) "/" Vegetable/Corn
        S: A01 OK LIST completed
        C: A02 LIST (SUBSCRIBED) "" "*"
        S: * LIST (\HasNoChildren \Subscribed) "/" INBOX
        S: * LIST (\HasNoChildren \Subscribed) "/" Fruit/Banana
        S: * LIST (\HasChildren \Subscribed) "/" Vegetable
        S: * LIST (\HasNoChildren \Subscribed) "/" Vegetable/Broccoli
        S: * LIST (\NonExistent \Subscribed) "/" Fruit/Peach
        S: A02 OK LIST completed
        C: A03 LIST () "" "%" RETURN (CHILDREN)
        S: * LIST (\HasNoChildren) "/" INBOX
        S: * LIST (\HasChildren) "/" Fruit
        S: * LIST (\HasNoChildren) "/" Tofu
        S: * LIST (\HasChildren) "/" Vegetable
        S: A03 OK LIST completed
        C: A05 LIST (REMOTE SUBSCRIBED) "" "V*"
        S: * LIST (\HasChildren \Subscribed) "/" Vegetable
        S: * LIST (\HasNoChildren \Subscribed) "/" Vegetable/Broccoli
        S: A05 OK LIST completed
        C: A06 LIST (REMOTE) "" "Vegetable/%" RETURN (SUBSCRIBED)
        S: * LIST (\HasNoChildren \Subscribed) "/" Vegetable/Broccoli
        S: * LIST (\HasNoChildren) "/" Vegetable/Corn
        S: A06 OK LIST completed
        C: BBB LIST "" ("INBOX" "Tofu" "Fruit/%")
        S: * LIST (\HasNoChildren) "/" INBOX
        S: * LIST (\HasNoChildren) "/" Fruit/Apple
        S: * LIST (\HasNoChildren) "/" Fruit/Banana
        S: * LIST (\HasNoChildren) "/" Tofu
        S: BBB OK LIST completed
        C: BAD1 LIST (RECURSIVEMATCH) "" "*"
        S: BAD1 BAD %_%
        C: BAD2 LIST (REMOTE RECURSIVEMATCH) "" "*"
        S: BAD2 BAD %_%""")


def test_list_extended_rfc5258_example_8_childinfo(talk):
    c = make(talk(select=None), "Foo", "Foo/Bar", "Foo/Baz", "Moo", subscribed=["Foo/Baz"])
    c.play(r"""
        C: CA3 LIST "" "%" RETURN (CHILDREN)
        S: * LIST (\HasNoChildren) "/" INBOX
        S: * LIST (\HasChildren) "/" Foo
        S: * LIST (\HasNoChildren) "/" Moo
        S: CA3 OK LIST completed
        C: C02 LIST (SUBSCRIBED) "" "*"
        S: * LIST (\HasNoChildren \Subscribed) "/" Foo/Baz
        S: C02 OK LIST completed
        C: C03 LIST (SUBSCRIBED) "" "%"
        S: C03 OK LIST completed
        C: C04 LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"
        S: * LIST (\HasChildren) "/" Foo ("CHILDINFO" ("SUBSCRIBED"))
        S: C04 OK LIST completed
        C: C05 SUBSCRIBE Foo
        S: C05 OK SUBSCRIBE completed
        C: C04 LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"
        S: * LIST (\HasChildren \Subscribed) "/" Foo ("CHILDINFO" ("SUBSCRIBED"))
        S: C04 OK LIST completed
        C: C06 UNSUBSCRIBE Foo/Baz
        S: C06 OK UNSUBSCRIBE completed
        C: C07 SUBSCRIBE Moo
        S: C07 OK SUBSCRIBE completed
        C: C08 LIST (SUBSCRIBED RECURSIVEMATCH) "" "%" RETURN (CHILDREN)
        S: * LIST (\HasChildren \Subscribed) "/" Foo
        S: * LIST (\HasNoChildren \Subscribed) "/" Moo
        S: C08 OK LIST completed""")


def test_list_extended_rfc5258_examples_9_and_10(talk):
    c = make(talk(select=None), "foo2", "foo2/bar1", "foo2/bar2", "baz2/bar2", "eps2", "eps2/mamba", "foo",
             subscribed=["foo2/bar1", "foo2/bar2", "baz2/bar2", "eps2", "eps2/mamba", "qux2/bar2", "foo/bar"])
    c.play(r"""
        C: D03 LIST (RECURSIVEMATCH SUBSCRIBED) "" "*2"
        S: * LIST (\HasNoChildren \Subscribed) "/" baz2/bar2
        S: * LIST (\HasChildren \Subscribed) "/" eps2 ("CHILDINFO" ("SUBSCRIBED"))
        S: * LIST (\HasChildren) "/" foo2 ("CHILDINFO" ("SUBSCRIBED"))
        S: * LIST (\HasNoChildren \Subscribed) "/" foo2/bar2
        S: * LIST (\NonExistent \Subscribed) "/" qux2/bar2
        S: D03 OK LIST completed
        C: a1 LIST "" ("foo" "foo/*")
        S: * LIST (\HasNoChildren) "/" foo
        S: a1 OK LIST completed
        C: a2 LIST (SUBSCRIBED) "" "foo/*"
        S: * LIST (\NonExistent \Subscribed) "/" foo/bar
        S: a2 OK LIST completed
        C: a3 LIST (SUBSCRIBED RECURSIVEMATCH) "" foo RETURN (CHILDREN)
        S: * LIST (\HasNoChildren) "/" foo ("CHILDINFO" ("SUBSCRIBED"))
        S: a3 OK LIST completed
        C: a3.1 LIST "" (% baz2/bar2)
        S~ * LIST (\HasNoChildren) "/" baz2/bar2
        S~ a3.1 OK LIST completed""")


def test_list_status_rfc5819(talk):
    c = make(talk(select=None), "foo", "bar/below").append("foo", mail("one"), mail("two")).append("INBOX", mail("three"), flags="(\\Seen)")
    c.play(r"""
        C: d DELETE bar
        S: d OK DELETE completed
        C: A01 LIST "" % RETURN (STATUS (MESSAGES UNSEEN))
        S: * LIST (\HasNoChildren) "/" INBOX
        S: * STATUS INBOX (MESSAGES 1 UNSEEN 0)
        S: * LIST (\Noselect \HasChildren) "/" bar
        S: * LIST (\HasNoChildren) "/" foo
        S: * STATUS foo (MESSAGES 2 UNSEEN 2)
        S: A01 OK LIST completed
        C: s SUBSCRIBE INBOX
        S: s OK SUBSCRIBE completed
        C: s SUBSCRIBE bar/below
        S: s OK SUBSCRIBE completed
        C: A02 LIST (SUBSCRIBED RECURSIVEMATCH) "" % RETURN (STATUS (MESSAGES))
        S: * LIST (\HasNoChildren \Subscribed) "/" INBOX
        S: * STATUS INBOX (MESSAGES 1)
        S: * LIST (\Noselect \HasChildren) "/" bar ("CHILDINFO" ("SUBSCRIBED"))
        S: A02 OK LIST completed
        C: A03 STATUS foo (SIZE MESSAGES RECENT DELETED APPENDLIMIT)
        S: * STATUS foo (MESSAGES 2 RECENT 2 DELETED 0 SIZE %size% APPENDLIMIT %limit%)
        S: A03 OK STATUS completed""")
    assert int(c.names["size"]) == sum(len(mail(name).replace("\n", "\r\n")) for name in ("one", "two"))
    assert f" APPENDLIMIT={c.names['limit']} " in capabilities(c)


def capabilities(session):
    session.send("cap CAPABILITY\r\n")
    line = session.expect("* CAPABILITY %_%")
    session.expect("cap OK CAPABILITY completed")
    return line + " "


def test_special_use_rfc6154_and_8457(talk):
    c = talk(select=None)
    c.play(r"""
        C: t2 CREATE MySpecial (USE (\Drafts \Sent))
        S: t2 OK [MAILBOXID (%_%)] CREATE completed
        C: t3 CREATE Everything (USE (\All))
        S: t3 NO [USEATTR] %_%
        C: t3 CREATE "Important Messages" (USE (\Important))
        S: t3 NO [USEATTR] %_%
        C: t3 CREATE Odd (USE (\Strange))
        S: t3 NO [USEATTR] %_%
        C: t4 CREATE Trash (USE (\Trash))
        S: t4 OK [MAILBOXID (%_%)] CREATE completed
        C: t4 CREATE ToDo
        S: t4 OK [MAILBOXID (%_%)] CREATE completed
        C: t2 LIST "" "%" RETURN (SPECIAL-USE)
        S: * LIST (\HasNoChildren) "/" INBOX
        S: * LIST (\HasNoChildren \Drafts \Sent) "/" MySpecial
        S: * LIST (\HasNoChildren) "/" ToDo
        S: * LIST (\HasNoChildren \Trash) "/" Trash
        S: t2 OK LIST completed
        C: t3 LIST (SPECIAL-USE) "" "*"
        S: * LIST (\HasNoChildren \Drafts \Sent) "/" MySpecial
        S: * LIST (\HasNoChildren \Trash) "/" Trash
        S: t3 OK LIST completed""")


def test_special_use_as_an_annotation_rfc6154_5_4(talk):
    c = talk(select=None)
    c.play(r"""
        C: c CREATE SentMail (USE (\Sent))
        S: c OK [MAILBOXID (%_%)] CREATE completed
        C: c CREATE MyDrafts (USE (\Drafts))
        S: c OK [MAILBOXID (%_%)] CREATE completed
        C: c CREATE SavedDrafts
        S: c OK [MAILBOXID (%_%)] CREATE completed
        C: t2 GETMETADATA "MyDrafts" /private/specialuse
        S: * METADATA MyDrafts (/private/specialuse "\\Drafts")
        S: t2 OK GETMETADATA completed
        C: t3 SETMETADATA "SavedDrafts" (/private/specialuse "\\Drafts")
        S: t3 OK SETMETADATA completed
        C: t3 SETMETADATA "MyDrafts" (/private/specialuse NIL)
        S: t3 OK SETMETADATA completed
        C: t4 SETMETADATA "SentMail" (/private/specialuse NIL)
        S: t4 OK SETMETADATA completed
        C: t5 LIST "" "S*" RETURN (SPECIAL-USE)
        S: * LIST (\HasNoChildren \Drafts) "/" SavedDrafts
        S: * LIST (\HasNoChildren) "/" SentMail
        S: t5 OK LIST completed
        C: t6 GETMETADATA (DEPTH infinity) SavedDrafts /private/specialuse
        S: * METADATA SavedDrafts (/private/specialuse "\\Drafts")
        S: t6 OK GETMETADATA completed
        C: t7 GETMETADATA SentMail /private/specialuse
        S: * METADATA SentMail (/private/specialuse NIL)
        S: t7 OK GETMETADATA completed
        C: t8 SETMETADATA SentMail (/private/specialuse "\\All")
        S: t8 NO [USEATTR] %_%
        C: t9 SETMETADATA SentMail (/private/specialuse "\\Sent" /private/comment "x")
        S: t9 NO [CANNOT] %_%""")


def test_metadata_rfc5464(talk):
    c = make(talk(select=None), "other")
    c.play(r"""
        C: a GETMETADATA "" /shared/comment
        S: * METADATA "" (/shared/comment "Shared comment")
        S: a OK GETMETADATA completed
        C: a GETMETADATA "" /shared/admin
        S: * METADATA "" (/shared/admin "mailto:postmaster@example.test")
        S: a OK GETMETADATA completed
        C: a SETMETADATA "" (/shared/comment "mine")
        S: a NO [NOPERM] %_%
        C: a SETMETADATA INBOX (/private/comment {#-}
        C| My new comment across
        C| two lines.
        C: )
        S: a OK SETMETADATA completed
        C: a GETMETADATA "INBOX" /private/comment
        S: * METADATA INBOX (/private/comment {33}
        S: My new comment across
        S: two lines.)
        S: a OK GETMETADATA completed
        C: a SETMETADATA INBOX (/private/comment NIL)
        S: a OK SETMETADATA completed
        C: a SETMETADATA INBOX (/private/comment "My own comment" /shared/comment "Its sunny outside!")
        S: a OK SETMETADATA completed
        C: a GETMETADATA "INBOX" (/shared/comment /private/comment)
        S: * METADATA INBOX (/shared/comment "Its sunny outside!" /private/comment "My own comment")
        S: a OK GETMETADATA completed
        C: a GETMETADATA "INBOX" /private/comment /shared/comment
        S: * METADATA INBOX (/private/comment "My own comment" /shared/comment "Its sunny outside!")
        S: a OK GETMETADATA completed
        C: a GETMETADATA "INBOX" (MAXSIZE 14) (/shared/comment /private/comment)
        S: * METADATA INBOX (/private/comment "My own comment")
        S: a OK [METADATA LONGENTRIES 18] GETMETADATA completed
        C: a SETMETADATA "INBOX" (/private/filters/values/small "SMALLER 5000" /private/filters/values/boss "FROM \"boss@example.com\"" /private/filters/values/x/y "z")
        S: a OK SETMETADATA completed
        C: a GETMETADATA "INBOX" (DEPTH 1) (/private/filters/values)
        S: * METADATA INBOX (/private/filters/values/boss "FROM \"boss@example.com\"" /private/filters/values/small "SMALLER 5000")
        S: a OK GETMETADATA completed
        C: a GETMETADATA nowhere /private/comment
        S: a NO [NONEXISTENT] %_%
        C: a GETMETADATA INBOX /private/a*
        S: a BAD %_%
        C: a SETMETADATA INBOX (/private/vendor/one "x")
        S: a BAD %_%
        C: a SETMETADATA INBOX (/private/vendor/one/two "x")
        S: a OK SETMETADATA completed
        C: a RENAME other another
        S: a OK RENAME completed""")


def test_metadata_limits_rfc5464(talk):
    c = talk(select=None)
    values = " ".join(f'/private/{i} "v"' for i in range(256))
    c.play(f"""
        C: a SETMETADATA INBOX ({values})
        S: a OK SETMETADATA completed
        C: a SETMETADATA INBOX (/private/one-more "v")
        S: a NO [METADATA TOOMANY] %_%
        C: a SETMETADATA INBOX (/private/1 "w" /private/2 {{#+}}
        C| {"x" * 65537}
        C: )
        S: a NO [METADATA MAXSIZE 65536] %_%
        C: a GETMETADATA INBOX /private/1
        S: * METADATA INBOX (/private/1 "v")
        S: a OK GETMETADATA completed""")


def test_metadata_is_told_to_others_rfc5464_4_4_2(talk):
    one, other, deaf = talk(select=None, enable="METADATA"), talk(select=None), talk(select=None)
    other.play("""
        C: a SETMETADATA "" (/private/comment "x")
        S: a OK SETMETADATA completed
        C: a SETMETADATA INBOX (/shared/comment "a" /private/comment "b")
        S: a OK SETMETADATA completed
        C: a SETMETADATA INBOX (/shared/comment NIL)
        S: a OK SETMETADATA completed""")
    one.play("""
        C: a NOOP
        S: * METADATA "" /private/comment
        S: * METADATA INBOX /shared/comment /private/comment
        S: a OK NOOP completed
        C: b SETMETADATA INBOX (/private/comment "mine")
        S: b OK SETMETADATA completed
        C: c NOOP
        S: c OK NOOP completed
        C: i IDLE
        S: + idling""")
    deaf.play("C: a NOOP\nS: a OK NOOP completed")
    other.play("C: a SETMETADATA INBOX (/private/comment NIL)\nS: a OK SETMETADATA completed")
    one.play("S: * METADATA INBOX /private/comment\nC: DONE\nS: i OK IDLE completed")


def test_metadata_follows_names_rfc5464_4_1(talk):
    c = make(talk(select=None), "a", "a/b")
    c.play("""
        C: a SETMETADATA a/b (/private/comment "of b")
        S: a OK SETMETADATA completed
        C: a RENAME a c
        S: a OK RENAME completed
        C: a GETMETADATA c/b /private/comment
        S: * METADATA c/b (/private/comment "of b")
        S: a OK GETMETADATA completed
        C: a SETMETADATA c (/private/comment "of c")
        S: a OK SETMETADATA completed
        C: a DELETE c
        S: a OK DELETE completed
        C: a GETMETADATA c /private/comment
        S: * METADATA c (/private/comment NIL)
        S: a OK GETMETADATA completed
        C: a SETMETADATA c (/private/comment "of a name alone")
        S: a OK SETMETADATA completed
        C: a SETMETADATA INBOX (/private/comment "of INBOX")
        S: a OK SETMETADATA completed
        C: a RENAME INBOX old
        S: a OK RENAME completed
        C: a GETMETADATA INBOX /private/comment
        S: * METADATA INBOX (/private/comment "of INBOX")
        S: a OK GETMETADATA completed
        C: a GETMETADATA old /private/comment
        S: * METADATA old (/private/comment "of INBOX")
        S: a OK GETMETADATA completed""")


def test_list_metadata_rfc9590(talk):
    c = make(talk(select=None), "foo", "bar/baz")
    c.play(r"""
        C: a SETMETADATA INBOX (/shared/vendor/cmu/cyrus-imapd/color "#b71c1c")
        S: a OK SETMETADATA completed
        C: A00 LIST "" % RETURN (METADATA ("/shared/vendor/cmu/cyrus-imapd/color"))
        S: * LIST (\HasNoChildren) "/" INBOX
        S: * METADATA INBOX (/shared/vendor/cmu/cyrus-imapd/color "#b71c1c")
        S: * LIST (\HasChildren) "/" bar
        S: * METADATA bar (/shared/vendor/cmu/cyrus-imapd/color NIL)
        S: * LIST (\HasNoChildren) "/" foo
        S: * METADATA foo (/shared/vendor/cmu/cyrus-imapd/color NIL)
        S: A00 OK LIST completed
        C: A01 LIST "" INBOX RETURN (METADATA ("/shared/vendor/cmu/cyrus-imapd/color" /private/comment) SPECIAL-USE STATUS (MESSAGES))
        S: * LIST (\HasNoChildren) "/" INBOX
        S: * STATUS INBOX (MESSAGES 0)
        S: * METADATA INBOX (/shared/vendor/cmu/cyrus-imapd/color "#b71c1c" /private/comment NIL)
        S: A01 OK LIST completed""")


def test_objectid_rfc8474_mailboxes(talk):
    talk(select=None).play(r"""
        C: 3 create foo
        S: 3 OK [MAILBOXID (%foo%)] CREATE completed
        C: 4 create bar
        S: 4 OK [MAILBOXID (%bar%)] CREATE completed
        C: 5 create foo
        S: 5 NO [ALREADYEXISTS] %_%
        C: 27 select "foo"
        S~ * OK [MAILBOXID (%foo%)] Id
        S~ 27 OK [READ-WRITE] SELECT completed
        C: 28 unselect
        S: 28 OK UNSELECT completed
        C: 6 status foo (mailboxid)
        S: * STATUS foo (MAILBOXID (%foo%))
        S: 6 OK STATUS completed
        C: 8 rename foo renamed
        S: 8 OK RENAME completed
        C: 9 status renamed (mailboxid)
        S: * STATUS renamed (MAILBOXID (%foo%))
        S: 9 OK STATUS completed
        C: 10 status bar (mailboxid)
        S: * STATUS bar (MAILBOXID (%bar%))
        S: 10 OK STATUS completed
        C: 11 list "" "*" return (status (mailboxid))
        S: * LIST (\HasNoChildren) "/" INBOX
        S: * STATUS INBOX (MAILBOXID (%inbox%))
        S: * LIST (\HasNoChildren) "/" bar
        S: * STATUS bar (MAILBOXID (%bar%))
        S: * LIST (\HasNoChildren) "/" renamed
        S: * STATUS renamed (MAILBOXID (%foo%))
        S: 11 OK LIST completed
        C: 12 rename INBOX old
        S: 12 OK RENAME completed
        C: 13 status INBOX (mailboxid)
        S: * STATUS INBOX (MAILBOXID (%inbox%))
        S: 13 OK STATUS completed
        C: 14 delete bar
        S: 14 OK DELETE completed
        C: 15 create bar
        S: 15 OK [MAILBOXID (%again%)] CREATE completed""")


def test_quota_rfc9208(talk, imap_server):
    c = talk(select=None)
    c.play("C: G1 GETQUOTAROOT INBOX\nS: * QUOTAROOT INBOX\nS: G1 OK GETQUOTAROOT completed")
    imap_server.command("account", "set", talk.user, "--quota", "10K", "--quota-messages", "3")
    c = make(talk(select=None), "other").append("INBOX", mail("one"), mail("two"), flags="(\\Deleted)")
    c.play("""
        C: G0001 GETQUOTA ""
        S: * QUOTA "" (STORAGE 1 10 MESSAGE 2 3)
        S: G0001 OK GETQUOTA completed
        C: G0002 GETQUOTAROOT INBOX
        S: * QUOTAROOT INBOX ""
        S: * QUOTA "" (STORAGE 1 10 MESSAGE 2 3)
        S: G0002 OK GETQUOTAROOT completed
        C: G0003 GETQUOTAROOT not.there.yet
        S: * QUOTAROOT not.there.yet ""
        S: * QUOTA "" (STORAGE 1 10 MESSAGE 2 3)
        S: G0003 OK GETQUOTAROOT completed
        C: G0004 GETQUOTA "!partition/sda4"
        S: G0004 NO [NONEXISTENT] %_%
        C: S0003 STATUS INBOX (MESSAGES DELETED DELETED-STORAGE)
        S: * STATUS INBOX (MESSAGES 2 DELETED 2 DELETED-STORAGE %size%)
        S: S0003 OK STATUS completed
        C: A003 APPEND INBOX (\\Seen) {20000}
        S: A003 NO [OVERQUOTA] %_%
        C: s SELECT INBOX
        S~ s OK [READ-WRITE] SELECT completed
        C: A004 COPY 1:2 other
        S: A004 NO [OVERQUOTA] %_%
        C: A005 MOVE 1:2 other
        S: * OK [COPYUID %_% 1:2 1:2] Moved
        S: * 2 EXPUNGE
        S: * 1 EXPUNGE
        S: A005 OK MOVE completed""")
    assert int(c.names["size"]) == sum(len(mail(name).replace("\n", "\r\n")) for name in ("one", "two"))
    for name in ("QUOTA", "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE"):
        assert f" {name} " in capabilities(c)
    assert "QUOTASET" not in capabilities(c)


def test_namespace_id_enable_unselect(talk):
    talk().play(r"""
        C: A001 NAMESPACE
        S: * NAMESPACE (("" "/")) NIL NIL
        S: A001 OK NAMESPACE completed
        C: a023 ID ("name" "sodr" "version" "19.34" "vendor" "Pink Floyd Music Limited")
        S: * ID ("name" "Tayori")
        S: a023 OK ID completed
        C: a042 ID NIL
        S: * ID ("name" "Tayori")
        S: a042 OK ID completed
        C: t2 ENABLE CONDSTORE X-GOOD-IDEA
        S: * ENABLED CONDSTORE
        S: t2 OK ENABLE completed
        C: t3 ENABLE CONDSTORE
        S: * ENABLED
        S: t3 OK ENABLE completed
        C: A341 UNSELECT
        S: A341 OK UNSELECT completed
        C: A342 UNSELECT
        S: A342 BAD [CLIENTBUG] %_%""")


def test_log_in_rfc4959_and_unauthenticate_rfc8437(talk, imap_server):
    c = Talk(imap_server)
    response = base64.b64encode(f"\0{talk.user}\0{PASSWORD}".encode()).decode()
    c.play(f"""
        C: A00 UNAUTHENTICATE
        S: A00 BAD %_%
        C: A01 AUTHENTICATE PLAIN
        S: + \nC: {response}
        S: A01 OK [CAPABILITY %_%] Logged in
        C: A02 ENABLE CONDSTORE UTF8=ACCEPT UIDONLY METADATA
        S: * ENABLED CONDSTORE UTF8=ACCEPT UIDONLY METADATA
        S: A02 OK ENABLE completed
        C: A03 SELECT INBOX
        S~ A03 OK [READ-WRITE] SELECT completed
        C: A04 NOTIFY NONE
        S: A04 OK NOTIFY completed
        C: A05 UNAUTHENTICATE
        S: A05 OK UNAUTHENTICATE completed
        C: A06 NOOP
        S: A06 OK NOOP completed
        C: A07 LIST "" "*"
        S: A07 BAD [CLIENTBUG] %_%
        C: A08 AUTHENTICATE PLAIN {response}
        S: A08 OK [CAPABILITY %_%] Logged in
        C: A09 ENABLE CONDSTORE UTF8=ACCEPT
        S: * ENABLED CONDSTORE UTF8=ACCEPT
        S: A09 OK ENABLE completed
        C: A10 CLOSE
        S: A10 BAD [CLIENTBUG] %_%""")


def test_imap4rev2_rfc9051(talk):
    """What ENABLE IMAP4rev2 changes."""
    c = talk(mail("one"), mail("two"), select=None, enable="IMAP4rev2")
    c.play(r"""
        C: a CREATE "受信箱"
        S: a OK %_%
        C: A142 SELECT INBOX
        S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
        S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] %_%
        S: * 2 EXISTS
        S: * OK [UIDVALIDITY %validity%] %_%
        S: * OK [UIDNEXT 3] %_%
        S: * OK [HIGHESTMODSEQ %_%] %_%
        S: * OK [MAILBOXID (%_%)] %_%
        S: * LIST () "/" INBOX
        S: A142 OK [READ-WRITE] SELECT completed
        C: b SEARCH SUBJECT two
        S: * ESEARCH (TAG "b") ALL 2
        S: b OK SEARCH completed
        C: c UID SEARCH DELETED
        S: * ESEARCH (TAG "c") UID
        S: c OK SEARCH completed
        C: d FETCH 1 (FLAGS)
        S: * 1 FETCH (FLAGS ())
        S: d OK FETCH completed
        C: e APPEND INBOX {#}
        C| Subject: three
        C|
        C:
        S: * 3 EXISTS
        S: e OK [APPENDUID %validity% 3] APPEND completed
        C: f LIST "" "%" RETURN (STATUS (MESSAGES DELETED SIZE))
        S: * LIST (\HasNoChildren) "/" INBOX
        S: * STATUS INBOX (MESSAGES 3 DELETED 0 SIZE %_%)
        S: * LIST (\HasNoChildren) "/" "受信箱"
        S: * STATUS "受信箱" (MESSAGES 0 DELETED 0 SIZE 0)
        S: f OK LIST completed
        C: g SELECT nowhere
        S: * OK [CLOSED] %_%
        S: g NO [NONEXISTENT] %_%""")
