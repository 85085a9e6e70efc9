"""The examples of RFCs about what changes: CONDSTORE, QRESYNC, NOTIFY, IDLE, UIDONLY, UIDBATCHES, limits, progress, compression."""
import zlib

import pytest
from imap_talk import mail, run_server, talk  # noqa: F401

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def imap_server(tmp_path_factory):
    server = run_server(tmp_path_factory.mktemp("imap"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def limited_server(tmp_path_factory):
    server = run_server(tmp_path_factory.mktemp("limited"), "access { message_limit = 3 save_limit = 2 }\n")
    yield server
    server.stop()


def test_condstore_rfc7162_3_1(talk):
    c, other = talk(*[mail(str(i)) for i in range(1, 10)]), talk()
    c.play(r"""
        C: A142 SELECT INBOX (CONDSTORE)
        S: * OK [CLOSED] %_%
        S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
        S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] %_%
        S: * 9 EXISTS
        S: * 0 RECENT
        S: * OK [UNSEEN 1] %_%
        S: * OK [UIDVALIDITY %validity%] %_%
        S: * OK [UIDNEXT 10] %_%
        S: * OK [HIGHESTMODSEQ %start%] %_%
        S: * OK [MAILBOXID (%_%)] %_%
        S: A142 OK [READ-WRITE] SELECT completed
        C: a103 UID STORE 6,4,8 (UNCHANGEDSINCE %start%) +FLAGS.SILENT (\Deleted)
        S: * 4 FETCH (UID 4 MODSEQ (%first%))
        S: * 6 FETCH (UID 6 MODSEQ (%first%))
        S: * 8 FETCH (UID 8 MODSEQ (%first%))
        S: a103 OK STORE completed
        C: a104 STORE * (UNCHANGEDSINCE %start%) +FLAGS.SILENT (\Deleted $Processed)
        S: * 9 FETCH (UID 9 MODSEQ (%second%))
        S: a104 OK STORE completed
        C: a102 STORE 3 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($MDNSent)
        S: a102 OK [MODIFIED 3] %_%""")
    other.play("C: s STORE 7,9 +FLAGS.SILENT (\\Flagged)\nS~ s OK STORE completed")
    c.play(r"""
        C: d105 STORE 7,5,9 (UNCHANGEDSINCE %second%) +FLAGS.SILENT (\Deleted)
        S: * 5 FETCH (UID 5 MODSEQ (%third%))
        S: * 5 FETCH (UID 5 MODSEQ (%third%) FLAGS (\Deleted))
        S: * 7 FETCH (UID 7 MODSEQ (%theirs%) FLAGS (\Flagged))
        S: * 9 FETCH (UID 9 MODSEQ (%theirs%) FLAGS (\Flagged \Deleted $Processed))
        S: d105 OK [MODIFIED 7,9] %_%
        C: s100 UID FETCH 1:* (FLAGS) (CHANGEDSINCE %second%)
        S: * 5 FETCH (UID 5 MODSEQ (%third%) FLAGS (\Deleted))
        S: * 7 FETCH (UID 7 MODSEQ (%theirs%) FLAGS (\Flagged))
        S: * 9 FETCH (UID 9 MODSEQ (%theirs%) FLAGS (\Flagged \Deleted $Processed))
        S: s100 OK FETCH completed
        C: a FETCH 1:3 (MODSEQ)
        S: * 1 FETCH (MODSEQ (%_%))
        S: * 2 FETCH (MODSEQ (%_%))
        S: * 3 FETCH (MODSEQ (%_%))
        S: a OK FETCH completed
        C: A042 STATUS INBOX (UIDNEXT MESSAGES HIGHESTMODSEQ)
        S: * STATUS INBOX (MESSAGES 9 UIDNEXT 10 HIGHESTMODSEQ %third%)
        S: A042 OK STATUS completed""")
    assert int(c.names["first"]) < int(c.names["second"]) < int(c.names["theirs"]) < int(c.names["third"])


def test_condstore_is_enabled_by_use_rfc7162_3_1(talk):
    """Until then MODSEQ is told to nobody."""
    c, other = talk(mail("1")), talk()
    other.play("C: s STORE 1 +FLAGS.SILENT (\\Flagged)\nS: s OK STORE completed")
    c.play(r"""
        C: a NOOP
        S: * 1 FETCH (FLAGS (\Flagged \Recent))
        S: a OK NOOP completed
        C: b FETCH 1 (MODSEQ)
        S: * 1 FETCH (MODSEQ (%_%))
        S: b OK FETCH completed""")
    other.play("C: s STORE 1 -FLAGS.SILENT (\\Flagged)\nS: s OK STORE completed")
    c.play("C: a NOOP\nS: * 1 FETCH (UID 1 MODSEQ (%_%) FLAGS (\\Recent))\nS: a OK NOOP completed")


def test_qresync_rfc7162_3_2(talk):
    c = talk(*[mail(str(i)) for i in range(1, 10)], enable="QRESYNC")
    c.play(r"""
        C: a STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ)
        S: * STATUS INBOX (UIDVALIDITY %validity% HIGHESTMODSEQ %then%)
        S: a OK STATUS completed
        C: b STORE 2:4,8 +FLAGS.SILENT (\Deleted)
        S~ b OK STORE completed
        C: A202 EXPUNGE
        S: * VANISHED 2:4,8
        S: A202 OK [HIGHESTMODSEQ %expunged%] EXPUNGE completed
        C: c STORE 2 +FLAGS (\Seen)
        S: * 2 FETCH (UID 5 MODSEQ (%seen%) FLAGS (\Seen \Recent))
        S: c OK STORE completed
        C: A02 SELECT INBOX (QRESYNC (1 %then% 1:9))
        S: * OK [CLOSED] %_%
        S~ * OK [HIGHESTMODSEQ %seen%] %_%
        S: * OK [MAILBOXID (%_%)] %_%
        S: A02 OK [READ-WRITE] SELECT completed
        C: A03 SELECT INBOX (QRESYNC (%validity% %then% 1:9))
        S: * OK [CLOSED] %_%
        S~ * OK [MAILBOXID (%_%)] %_%
        S: * VANISHED (EARLIER) 2:4,8
        S: * 2 FETCH (UID 5 MODSEQ (%seen%) FLAGS (\Seen))
        S: A03 OK [READ-WRITE] SELECT completed
        C: A04 SELECT INBOX (QRESYNC (%validity% %then%))
        S~ * VANISHED (EARLIER) 2:4,8
        S: * 2 FETCH (UID 5 MODSEQ (%seen%) FLAGS (\Seen))
        S: A04 OK [READ-WRITE] SELECT completed
        C: B04 SELECT INBOX (QRESYNC (%validity% %expunged% 1:9 (1,2,5 1,5,9)))
        S~ * OK [MAILBOXID (%_%)] %_%
        S: * 2 FETCH (UID 5 MODSEQ (%seen%) FLAGS (\Seen))
        S: B04 OK [READ-WRITE] SELECT completed
        C: s100 UID FETCH 1:6 (FLAGS) (CHANGEDSINCE %then% VANISHED)
        S: * VANISHED (EARLIER) 2:4
        S: * 2 FETCH (UID 5 MODSEQ (%seen%) FLAGS (\Seen))
        S: s100 OK FETCH completed
        C: s101 FETCH 1:2 (FLAGS) (CHANGEDSINCE %then% VANISHED)
        S: s101 BAD %_%
        C: s102 UID FETCH 1:2 (FLAGS) (VANISHED)
        S: s102 BAD %_%
        C: s103 UID STORE 9 +FLAGS.SILENT (\Deleted)
        S~ s103 OK STORE completed
        C: s104 UID EXPUNGE 9
        S: * VANISHED 9
        S: s104 OK [HIGHESTMODSEQ %_%] EXPUNGE completed
        C: s105 CLOSE
        S: s105 OK CLOSE completed""")
    talk(select=None).play("C: a SELECT INBOX (QRESYNC (1 1))\nS: a BAD %_%")


def test_idle_rfc2177(talk):
    c, other = talk(mail("1"), mail("2")), talk()
    c.play("C: A002 IDLE\nS: + idling")
    other.append("INBOX", mail("3")).play("C: s STORE 1 +FLAGS.SILENT (\\Deleted)\nS: s OK STORE completed")
    c.play("S: * 3 EXISTS\nS: * 3 RECENT\nS: * 1 FETCH (FLAGS (\\Deleted \\Recent))")
    other.play("C: x EXPUNGE\nS: * 1 EXPUNGE\nS: x OK EXPUNGE completed")
    c.play("S: * 1 EXPUNGE\nC: DONE\nS: A002 OK IDLE completed\nC: A003 IDLE\nS: + idling\nC: NOOP\nS: A003 BAD %_%")


def test_notify_rfc5465_3_1(talk):
    c, other = talk(select=None), talk(select=None)
    for name in ("Lists/Lemonade", "Lists/Im2000", "misc"):
        other.play(f"C: c CREATE {name}\nS: c OK [MAILBOXID (%_%)] CREATE completed")
    c.play("""
        C: b notify set status (selected (MessageNew (uid body.peek[header.fields (subject)]) MessageExpunge)) (subtree Lists (MessageNew MessageExpunge))
        S: * STATUS Lists (MESSAGES 0 UIDNEXT 1 UIDVALIDITY %_% UNSEEN 0)
        S: * STATUS Lists/Im2000 (MESSAGES 0 UIDNEXT 1 UIDVALIDITY %_% UNSEEN 0)
        S: * STATUS Lists/Lemonade (MESSAGES 0 UIDNEXT 1 UIDVALIDITY %lemonade% UNSEEN 0)
        S: b OK NOTIFY completed
        C: c select inbox
        S~ c OK [READ-WRITE] SELECT completed""")
    other.append("Lists/Lemonade", mail("1"))
    c.play("S: * STATUS Lists/Lemonade (MESSAGES 1 UIDNEXT 2 UIDVALIDITY %lemonade% UNSEEN 1)")
    other.append("misc", mail("1"))
    other.append("INBOX", mail("Re: good morning"))
    c.play("""
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * 1 FETCH (UID 1 BODY[HEADER.FIELDS (subject)] {29}
        S: Subject: Re: good morning
        S:
        S: )
        C: d STATUS misc (UIDVALIDITY UIDNEXT MESSAGES)
        S: * STATUS misc (MESSAGES 1 UIDNEXT 2 UIDVALIDITY %_%)
        S: d OK STATUS completed
        C: e notify set (selected (MessageNew (uid) MessageExpunge)) (subtree Lists (MessageNew MessageExpunge)) (mailboxes misc (MessageNew MessageExpunge))
        S: e OK NOTIFY completed""")
    other.append("misc", mail("2"))
    c.play("S: * STATUS misc (MESSAGES 2 UIDNEXT 3 UIDVALIDITY %_% UNSEEN 2)")
    other.play("C: s SELECT INBOX\nS~ s OK [READ-WRITE] SELECT completed\nC: f STORE 1 +FLAGS.SILENT (\\Flagged)\nS: f OK STORE completed")
    c.play("Q:\nC: n NOOP\nS: n OK NOOP completed")       # FlagChange was not asked for
    c.append("INBOX", mail("mine"))                          # told without what MessageNew asks for
    c.play("C: n NOOP\nS: n OK NOOP completed")
    other.append("INBOX", mail("theirs"))
    c.play("S: * 3 EXISTS\nS: * 3 RECENT\nS: * 3 FETCH (UID 3)")
    other.play("C: d STORE 2 +FLAGS.SILENT (\\Deleted)\nS~ d OK STORE completed\nC: e EXPUNGE\nS: * 2 EXPUNGE\nS: e OK EXPUNGE completed")
    c.play("S: * 2 EXPUNGE\nQ:")


def test_notify_tells_flags_with_uid_rfc5465_5_1(talk):
    c, other = talk(mail("1"), enable="QRESYNC"), talk()
    other.play("C: c CREATE Lists\nS: c OK [MAILBOXID (%_%)] CREATE completed").append("Lists", mail("1"))
    c.play("""
        C: a NOTIFY SET STATUS (selected (MessageNew MessageExpunge FlagChange)) (mailboxes Lists (MessageNew MessageExpunge FlagChange))
        S: * STATUS Lists (MESSAGES 1 UIDNEXT 2 UIDVALIDITY %v% UNSEEN 1 HIGHESTMODSEQ %_%)
        S: a OK NOTIFY completed""")
    other.play("C: s STORE 1 +FLAGS.SILENT ($Junk)\nS: s OK STORE completed")
    c.play("S: * FLAGS (%_% $Junk)\nS: * OK [PERMANENTFLAGS (%_% $Junk \\*)] %_%\nS: * 1 FETCH (UID 1 MODSEQ (%_%) FLAGS (\\Recent $Junk))")
    other.play("C: s SELECT Lists\nS~ s OK [READ-WRITE] SELECT completed\nC: s STORE 1 +FLAGS.SILENT (\\Flagged)\nS: s OK STORE completed")
    c.play("S: * STATUS Lists (MESSAGES 1 UIDNEXT 2 UIDVALIDITY %v% UNSEEN 1 HIGHESTMODSEQ %_%)")
    other.play("C: s SELECT INBOX\nS~ s OK [READ-WRITE] SELECT completed\nC: s STORE 1 +FLAGS.SILENT (\\Deleted)\nS: s OK STORE completed\nC: x EXPUNGE\nS: * 1 EXPUNGE\nS: x OK EXPUNGE completed")
    c.play("S~ * VANISHED 1\nQ:")


def test_notify_names_and_subscriptions_rfc5465_5_4(talk):
    c, other = talk(select=None), talk(select=None)
    c.play("C: a NOTIFY SET (personal (MailboxName SubscriptionChange))\nS: a OK NOTIFY completed")
    other.play("C: a CREATE NewMailbox\nS: a OK %_%")
    c.play('S: * LIST (\\HasNoChildren) "/" NewMailbox')
    other.play("C: a CREATE NewMailbox/below\nS: a OK %_%")
    c.play('S: * LIST (\\HasChildren) "/" NewMailbox\nS: * LIST (\\HasNoChildren) "/" NewMailbox/below')
    other.play("C: a SUBSCRIBE NewMailbox\nS: a OK %_%")
    c.play('S: * LIST (\\HasChildren \\Subscribed) "/" NewMailbox')
    other.play("C: a UNSUBSCRIBE NewMailbox\nS: a OK %_%")
    c.play('S: * LIST (\\HasChildren) "/" NewMailbox')
    other.play("C: a RENAME NewMailbox OldMailbox\nS: a OK %_%")
    c.play('S: * LIST (\\HasChildren) "/" OldMailbox ("OLDNAME" (NewMailbox))\nQ:')
    other.play("C: a DELETE OldMailbox/below\nS: a OK %_%")
    c.play('S: * LIST (\\NonExistent) "/" OldMailbox/below\nS: * LIST (\\HasNoChildren) "/" OldMailbox\nQ:')


def test_notify_groups_and_metadata_rfc5465_5_6_and_6(talk):
    c, other = talk(select=None), talk(select=None)
    other.play("C: c CREATE quiet\nS: c OK %_%")
    c.play("""
        C: a notify set (mailboxes INBOX (Messagenew messageExpunge)) (mailboxes INBOX (SubscriptionChange MailboxMetadataChange)) (mailboxes quiet (ServerMetadataChange))
        S: a OK NOTIFY completed""")
    other.append("INBOX", mail("1"))
    c.play("S: * STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY %_% UNSEEN 1)")
    other.play("C: a SUBSCRIBE INBOX\nS: a OK %_%")
    c.play('S: * LIST (\\HasNoChildren \\Subscribed) "/" INBOX')
    other.play("C: a SETMETADATA INBOX (/shared/comment \"x\")\nS: a OK %_%")
    c.play("S: * METADATA INBOX /shared/comment")
    other.play("C: a SETMETADATA \"\" (/private/comment \"x\")\nS: a OK %_%")
    c.play("S: * METADATA \"\" /private/comment")
    other.play("C: a SETMETADATA quiet (/private/comment \"x\")\nS: a OK %_%")
    c.play("""
        Q:
        C: b NOTIFY SET (personal (AnnotationChange MessageNew MessageExpunge))
        S: b NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)] %_%
        C: b NOTIFY SET (personal (X-Something))
        S: b NO [BADEVENT (%_%)] %_%
        C: b NOTIFY SET (personal (MessageNew))
        S: b BAD %_%
        C: b NOTIFY SET (personal (FlagChange))
        S: b BAD %_%
        C: b NOTIFY SET (selected (MailboxName))
        S: b BAD %_%
        C: b NOTIFY SET (selected NONE) (selected-delayed NONE)
        S: b BAD %_%
        C: b NOTIFY SET (personal (MessageNew (UID) MessageExpunge))
        S: b BAD %_%""")


def test_notify_none_and_idle_rfc5465_4(talk):
    c, other = talk(mail("1")), talk()
    c.play("C: a NOTIFY NONE\nS: a OK NOTIFY completed\nC: i IDLE\nS: + idling")
    other.append("INBOX", mail("2"))
    c.play("Q:\nC: DONE\nS: i OK IDLE completed\nC: b NOTIFY SET (selected-delayed (MessageNew MessageExpunge))\nS: * 2 EXISTS\nS: * 2 RECENT\nS: b OK NOTIFY completed")
    other.play("C: s STORE 1 +FLAGS.SILENT (\\Deleted)\nS: s OK STORE completed\nC: x EXPUNGE\nS: * 1 EXPUNGE\nS: x OK EXPUNGE completed")
    c.play("Q:\nC: i IDLE\nS: + idling\nS: * 1 EXPUNGE\nC: DONE\nS: i OK IDLE completed\nC: i IDLE\nS: + idling")
    other.play("C: s STORE 1 +FLAGS.SILENT (\\Deleted)\nS: s OK STORE completed\nC: x EXPUNGE\nS: * 1 EXPUNGE\nS: x OK EXPUNGE completed")
    c.play("S: * 1 EXPUNGE\nC: DONE\nS: i OK IDLE completed")


def test_uidonly_rfc9586(talk):
    c, other = talk(*[mail(str(i)) for i in range(1, 6)], enable="UIDONLY"), talk()
    c.play(r"""
        C: 07 FETCH 1:5 (UID FLAGS)
        S: 07 BAD [UIDREQUIRED] %_%
        C: 07 STORE 1 +FLAGS (\Seen)
        S: 07 BAD [UIDREQUIRED] %_%
        C: 07 SEARCH ALL
        S: 07 BAD [UIDREQUIRED] %_%
        C: 07 COPY 1 INBOX
        S: 07 BAD [UIDREQUIRED] %_%
        C: 07 MOVE 1 INBOX
        S: 07 BAD [UIDREQUIRED] %_%
        C: 07 SORT (DATE) UTF-8 ALL
        S: 07 BAD [UIDREQUIRED] %_%
        C: 07 THREAD REFERENCES UTF-8 ALL
        S: 07 BAD [UIDREQUIRED] %_%
        C: 07 REPLACE 1 INBOX {#+}
        C| x
        C:
        S: 07 BAD [UIDREQUIRED] %_%
        C: 08 UID SEARCH 1:3
        S: 08 BAD [UIDREQUIRED] %_%
        C: 08 ESEARCH IN (personal) 1:3
        S: 08 BAD [UIDREQUIRED] %_%
        C: 10 UID FETCH 2:3 (FLAGS)
        S: * 2 UIDFETCH (FLAGS (\Recent))
        S: * 3 UIDFETCH (FLAGS (\Recent))
        S: 10 OK FETCH completed
        C: 11 UID FETCH 2:3 (UID FLAGS)
        S: * 2 UIDFETCH (UID 2 FLAGS (\Recent))
        S: * 3 UIDFETCH (UID 3 FLAGS (\Recent))
        S: 11 OK FETCH completed
        C: 12 UID STORE 2 +FLAGS (\Answered)
        S: * 2 UIDFETCH (FLAGS (\Answered \Recent))
        S: 12 OK STORE completed
        C: 13 UID SEARCH UID 2:4 NOT ANSWERED
        S: * SEARCH 3 4
        S: 13 OK SEARCH completed
        C: 14 UID STORE 2,4 +FLAGS.SILENT (\Deleted)
        S: 14 OK STORE completed
        C: 15 EXPUNGE
        S: * VANISHED 2,4
        S: 15 OK EXPUNGE completed""")
    other.play("C: s UID STORE 3 +FLAGS.SILENT (\\Flagged)\nS~ s OK STORE completed\nC: s UID STORE 5 +FLAGS.SILENT (\\Deleted)\nS: s OK STORE completed\nC: x EXPUNGE\nS: * 3 EXPUNGE\nS: x OK EXPUNGE completed")
    c.play(r"""
        C: 16 NOOP
        S: * VANISHED 5
        S: * 3 UIDFETCH (FLAGS (\Flagged \Recent))
        S: 16 OK NOOP completed
        C: 17 UID MOVE 1 INBOX
        S: * OK [COPYUID %_% 1 6] Moved
        S: * VANISHED 1
        S: * 2 EXISTS
        S: * 2 RECENT
        S: 17 OK MOVE completed
        C: 18 NOTIFY SET (selected (MessageNew (FLAGS) MessageExpunge FlagChange))
        S: 18 OK NOTIFY completed""")
    other.append("INBOX", mail("new"))
    c.play(r"""
        S: * 3 EXISTS
        S: * 3 RECENT
        S: * 7 UIDFETCH (FLAGS (\Recent))
        C: 19 ENABLE QRESYNC
        S: * ENABLED QRESYNC
        S: 19 OK ENABLE completed
        C: 20 SELECT INBOX (QRESYNC (1 1 1:3 (1,2 1,2)))
        S: 20 BAD [UIDREQUIRED] %_%
        C: 21 SELECT INBOX
        S: * OK [CLOSED] %_%
        S: * FLAGS %_%
        S: * OK [PERMANENTFLAGS %_%
        S: * 3 EXISTS
        S: * %_% RECENT
        S: * OK [UIDVALIDITY %v%] %_%
        S: * OK [UIDNEXT 8] %_%
        S: * OK [HIGHESTMODSEQ %m%] %_%
        S: * OK [MAILBOXID (%_%)] %_%
        S: 21 OK [READ-WRITE] SELECT completed
        C: 22 SELECT INBOX (QRESYNC (%v% 1))
        S~ * VANISHED (EARLIER) 1:2,4:5
        S~ 22 OK [READ-WRITE] SELECT completed""")


def test_uidbatches_rfc10022(talk):
    c = talk(mail("1")).play("""
        C: a UIDBATCHES 500
        S: * UIDBATCHES (TAG "a") 1
        S: a OK UIDBATCHES completed""")
    have = 1
    while have < 1200:
        more = min(have, 1200 - have)
        c.play(f"C: c UID COPY {1}:{more} INBOX\nS~ c OK %_%")
        have += more
    c.play("""
        C: d UID STORE 1:100,700:750 +FLAGS.SILENT (\\Deleted)
        S: d OK STORE completed
        C: e EXPUNGE
        S~ e OK EXPUNGE completed
        C: A143 UIDBATCHES 500
        S: * UIDBATCHES (TAG "A143") 1200:701,699:151,150:101""".split("S: * UIDBATCHES")[0])
    line = c.expect('* UIDBATCHES (TAG "A143") %ranges%')
    c.expect("A143 OK UIDBATCHES completed")
    alive = [uid for uid in range(1, 1201) if not (uid <= 100 or 700 <= uid <= 750)]
    batches = [[int(n) for n in part.split(":")] for part in c.names["ranges"].split(",")]
    assert batches[0][0] == 1200 and len(batches) == 3, line
    assert all(a[-1] == b[0] + 1 for a, b in zip(batches, batches[1:])), line
    assert [sum(b[-1] <= uid <= b[0] for uid in alive) for b in batches] == [500, 500, len(alive) - 1000]
    c.play(f"""
        C: b UIDBATCHES 500 2:3
        S: * UIDBATCHES (TAG "b") {":".join(map(str, batches[1]))},{":".join(map(str, batches[2]))}
        S: b OK UIDBATCHES completed
        C: c UIDBATCHES 500 7:9
        S: * UIDBATCHES (TAG "c")
        S: c OK UIDBATCHES completed
        C: d UIDBATCHES 499
        S: d NO [TOOFEW] %_%
        C: e UIDBATCHES 500 3:2
        S: e BAD %_%
        C: f UIDBATCHES 0
        S: f BAD %_%
        C: g CREATE empty
        S: g OK %_%
        C: h SELECT empty
        S~ h OK %_%
        C: i UIDBATCHES 2000
        S: * UIDBATCHES (TAG "i")
        S: i OK UIDBATCHES completed
        C: j UNSELECT
        S: j OK UNSELECT completed
        C: k UIDBATCHES 2000
        S: k BAD %_%""")


def test_messagelimit_rfc9738(limited_server, request):
    from imap_talk import Talks
    c = Talks(limited_server, "limit")(*[mail(str(i)) for i in range(1, 6)])
    c.send("cap CAPABILITY\r\n")
    assert c.expect("* CAPABILITY %_%").endswith(" MESSAGELIMIT=3 SAVELIMIT=2")
    c.play(r"""
        S: cap OK CAPABILITY completed
        C: c CREATE Trash
        S: c OK %_%
        C: 03 FETCH 1:5 (UID)
        S: * 3 FETCH (UID 3)
        S: * 4 FETCH (UID 4)
        S: * 5 FETCH (UID 5)
        S: 03 OK [MESSAGELIMIT 3 3] %_%
        C: 04 UID SEARCH UID 1:5 UNDELETED
        S: * SEARCH 3 4 5
        S: 04 OK [MESSAGELIMIT 3 3] %_%
        C: 05 UID COPY 1:5 "Trash"
        S: 05 NO [MESSAGELIMIT 2 4] %_%
        C: 06 UID MOVE 1:5 "Trash"
        S: 06 NO [MESSAGELIMIT 2 4] %_%
        C: 07 UID STORE 1:5 +FLAGS (\Seen)
        S: * 3 FETCH (UID 3 FLAGS (\Seen \Recent))
        S: * 4 FETCH (UID 4 FLAGS (\Seen \Recent))
        S: * 5 FETCH (UID 5 FLAGS (\Seen \Recent))
        S: 07 OK [MESSAGELIMIT 3 3] %_%
        C: 08 UID SEARCH UIDBEFORE 3 UNSEEN
        S: * SEARCH 1 2
        S: 08 OK SEARCH completed
        C: 08 UID SEARCH UID 1:2 UNSEEN
        S: * SEARCH 1 2
        S: 08 OK SEARCH completed
        C: 09 UID SEARCH RETURN (SAVE) 1:5
        S: 09 OK [MESSAGELIMIT 3 3] %_%
        C: 10 APPEND INBOX {1+}
        C: x {1+}
        C: x {1+}
        C: x
        S: 10 NO [MESSAGELIMIT 2] %_%""".split("        C: 10 APPEND")[0])


def test_compress_rfc4978(talk):
    c = talk(mail("1")).play("""
        C: a COMPRESS LZW
        S: a BAD %_%
        C: b COMPRESS DEFLATE
        S: b OK DEFLATE active""")
    packer, unpacker, plain = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.decompressobj(-15), c.socket

    class Packed:
        def sendall(self, data):
            plain.sendall(packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))

        def recv(self, size):
            return unpacker.decompress(plain.recv(size))

        def settimeout(self, seconds):
            plain.settimeout(seconds)

        def close(self):
            plain.close()

    c.socket = Packed()
    c.play("""
        C: c COMPRESS DEFLATE
        S: c NO [COMPRESSIONACTIVE] %_%
        C: d IDLE
        S: + idling""")
    talk().append("INBOX", mail("2"))
    c.play("S: * 2 EXISTS\nS: * 2 RECENT\nC: DONE\nS: d OK IDLE completed\nC: e UNAUTHENTICATE\nS: e OK UNAUTHENTICATE completed\nC: f NOOP\nS: f OK NOOP completed")
