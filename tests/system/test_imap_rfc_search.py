"""The examples of RFCs about searching, sorting and threads."""
import pytest
from imap_talk import mail, run_server, talk  # noqa: F401

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def imap_server(tmp_path_factory):
    server = run_server(tmp_path_factory.mktemp("imap"))
    yield server
    server.stop()


@pytest.fixture
def seven(talk):
    """Smith's are 1, 4 and 6; 2, 3 and 7 are flagged; 1 and 2 are deleted."""
    c = talk(*[mail(f"subject {i}", sender="Smith <smith@example.org>" if i in (1, 4, 6) else "fred@example.org") for i in range(1, 8)])
    return c.play(r"""
        C: f STORE 2,3,7 +FLAGS.SILENT (\Flagged)
        S: f OK STORE completed
        C: f STORE 1:2 +FLAGS.SILENT (\Deleted)
        S: f OK STORE completed
        C: f STORE 1:3 +FLAGS.SILENT (\Seen $Junk)
        S: f OK STORE completed""")


def test_esearch_rfc4731(seven):
    seven.play(r"""
        C: A282 SEARCH RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"
        S: * ESEARCH (TAG "A282") MIN 2 COUNT 3
        S: A282 OK SEARCH completed
        C: A283 SEARCH RETURN () FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"
        S: * ESEARCH (TAG "A283") ALL 2:3,7
        S: A283 OK SEARCH completed
        C: A284 SEARCH RETURN (MIN) UNSEEN
        S: * ESEARCH (TAG "A284") MIN 4
        S: A284 OK SEARCH completed
        C: x STORE 1 +FLAGS.SILENT (\Deleted)
        S: x OK STORE completed
        C: x UID EXPUNGE 1
        S: * 1 EXPUNGE
        S: x OK EXPUNGE completed
        C: A285 UID SEARCH RETURN (MIN MAX) 1:5000
        S: * ESEARCH (TAG "A285") UID MIN 2 MAX 7
        S: A285 OK SEARCH completed
        C: A286 SEARCH RETURN (COUNT) DELETED
        S: * ESEARCH (TAG "A286") COUNT 1
        S: A286 OK SEARCH completed
        C: A287 SEARCH RETURN (MIN MAX ALL COUNT) DRAFT
        S: * ESEARCH (TAG "A287") COUNT 0
        S: A287 OK SEARCH completed
        C: A288 SEARCH RETURN (MIN MAX ALL) DRAFT
        S: * ESEARCH (TAG "A288")
        S: A288 OK SEARCH completed
        C: A289 SEARCH RETURN (WHATEVER) ALL
        S: A289 BAD %_%""")


def test_esearch_with_condstore_rfc4731_3_2_and_7162(seven):
    seven.play(r"""
        C: e ENABLE CONDSTORE
        S: * ENABLED CONDSTORE
        S: e OK ENABLE completed
        C: a FETCH 1:7 (MODSEQ)
        S: * 1 FETCH (MODSEQ (%one%))
        S: * 2 FETCH (MODSEQ (%one%))
        S: * 3 FETCH (MODSEQ (%one%))
        S: * 4 FETCH (MODSEQ (%four%))
        S: * 5 FETCH (MODSEQ (%five%))
        S: * 6 FETCH (MODSEQ (%six%))
        S: * 7 FETCH (MODSEQ (%seven%))
        S: a OK FETCH completed
        C: a SEARCH MODSEQ "/flags/\\draft" all %six%
        S: * SEARCH 1 2 3 6 7 (MODSEQ %one%)
        S: a OK SEARCH completed
        C: t SEARCH OR NOT MODSEQ 1 LARGER 50000
        S: * SEARCH
        S: t OK SEARCH completed
        C: a1 SEARCH RETURN (MIN) MODSEQ %six%
        S: * ESEARCH (TAG "a1") MIN 1 MODSEQ %one%
        S: a1 OK SEARCH completed
        C: a2 SEARCH RETURN (MAX) MODSEQ %four%
        S: * ESEARCH (TAG "a2") MAX 7 MODSEQ %seven%
        S: a2 OK SEARCH completed
        C: a3 SEARCH RETURN (MIN MAX) MODSEQ %four%
        S: * ESEARCH (TAG "a3") MIN 1 MAX 7 MODSEQ %one%
        S: a3 OK SEARCH completed
        C: a4 SEARCH RETURN (MIN COUNT) MODSEQ %four% UNSEEN
        S: * ESEARCH (TAG "a4") MIN 4 COUNT 4 MODSEQ %seven%
        S: a4 OK SEARCH completed
        C: a SEARCH RETURN (ALL) MODSEQ %seven%
        S: * ESEARCH (TAG "a") ALL 1:3,7 MODSEQ %one%
        S: a OK SEARCH completed
        C: a SORT RETURN (ALL) (REVERSE ARRIVAL) UTF-8 MODSEQ %seven%
        S: * ESEARCH (TAG "a") ALL %_% MODSEQ %one%
        S: a OK SORT completed""")


def test_searchres_rfc5182(seven):
    seven.append("INBOX", mail("other"))
    seven.play(r"""
        C: c CREATE "Other Messages"
        S: c OK [MAILBOXID (%_%)] CREATE completed
        C: A281 FETCH $ (UID)
        S: A281 OK FETCH completed
        C: A282 SEARCH RETURN (SAVE) FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"
        C: A283 FETCH $ (UID FLAGS)
        S: A282 OK SEARCH completed
        S: * 2 FETCH (UID 2 FLAGS (\Flagged \Deleted \Seen \Recent $Junk))
        S: * 3 FETCH (UID 3 FLAGS (\Flagged \Seen \Recent $Junk))
        S: * 7 FETCH (UID 7 FLAGS (\Flagged \Recent))
        S: A283 OK FETCH completed
        C: A301 UID SEARCH UID $ SMALLER 4096
        S: * SEARCH 2 3 7
        S: A301 OK SEARCH completed
        C: P283 SEARCH CHARSET UTF-8 (OR $ 1,3000:3021) SUBJECT {9}
        S: + %_%
        C: subject 2
        S: * SEARCH 2
        S: P283 OK SEARCH completed
        C: P284 SEARCH (OR $ 1,3000:3021)
        S: * SEARCH 1 2 3 7
        S: P284 OK SEARCH completed
        C: B284 SEARCH RETURN (SAVE) NOSUCHKEY
        S: B284 BAD %_%
        C: B285 SEARCH $
        S: * SEARCH 2 3 7
        S: B285 OK SEARCH completed
        C: B286 SEARCH CHARSET X-NONE TEXT x
        S: B286 NO [BADCHARSET %_%
        C: B287 SEARCH $
        S: * SEARCH 2 3 7
        S: B287 OK SEARCH completed
        C: B283 SEARCH RETURN (SAVE) CHARSET X-NONE (OR $ 1,3000:3021) TEXT x
        S: B283 NO [BADCHARSET %_%
        C: B288 SEARCH $
        S: * SEARCH
        S: B288 OK SEARCH completed
        C: E282 SEARCH RETURN (SAVE) SINCE 28-Oct-2006 NOT FROM "Eric" DRAFT
        C: E283 COPY $ "Other Messages"
        S: E282 OK SEARCH completed
        S: E283 OK COPY completed
        C: F282 SEARCH RETURN (SAVE) KEYWORD $Junk
        C: F283 COPY $ "Other Messages"
        C: F284 STORE $ +FLAGS.Silent (\Deleted)
        S: F282 OK SEARCH completed
        S: F283 OK [COPYUID %_% 1:3 1:3] COPY completed
        S: F284 OK STORE completed
        C: C283 SEARCH RETURN (ALL SAVE) NOT FROM "Smith" NOT SUBJECT other
        S: * ESEARCH (TAG "C283") ALL 2:3,5,7
        S: C283 OK SEARCH completed
        C: C SEARCH $
        S: * SEARCH 2 3 5 7
        S: C OK SEARCH completed
        C: C284 SEARCH RETURN (SAVE MIN) NOT FROM "Smith" NOT SUBJECT other
        S: * ESEARCH (TAG "C284") MIN 2
        S: C284 OK SEARCH completed
        C: C SEARCH $
        S: * SEARCH 2
        S: C OK SEARCH completed
        C: C285 SEARCH RETURN (MAX SAVE MIN) NOT FROM "Smith" NOT SUBJECT other
        S: * ESEARCH (TAG "C285") MIN 2 MAX 7
        S: C285 OK SEARCH completed
        C: C SEARCH $
        S: * SEARCH 2 7
        S: C OK SEARCH completed
        C: C286 SEARCH RETURN (MAX SAVE MIN COUNT) NOT FROM "Smith" NOT SUBJECT other
        S: * ESEARCH (TAG "C286") MIN 2 MAX 7 COUNT 4
        S: C286 OK SEARCH completed
        C: C SEARCH $
        S: * SEARCH 2 3 5 7
        S: C OK SEARCH completed
        C: X EXPUNGE
        S: * 3 EXPUNGE
        S: * 2 EXPUNGE
        S: * 1 EXPUNGE
        S: X OK EXPUNGE completed
        C: C UID SEARCH $
        S: * SEARCH 5 7
        S: C OK SEARCH completed
        C: S SELECT INBOX
        S~ S OK [READ-WRITE] SELECT completed
        C: C SEARCH $
        S: * SEARCH
        S: C OK SEARCH completed""")


def test_partial_rfc9394(seven):
    seven.play(r"""
        C: A01 UID SEARCH RETURN (PARTIAL -1:-2) UNDELETED UNKEYWORD $Junk
        S: * ESEARCH (TAG "A01") UID PARTIAL (-1:-2 6:7)
        S: A01 OK SEARCH completed
        C: A02 UID SEARCH RETURN (PARTIAL 3:500) UNDELETED UNKEYWORD $Junk
        C: A03 UID SEARCH RETURN (PARTIAL 1:2) UNDELETED UNKEYWORD $Junk
        C: A04 UID SEARCH RETURN (PARTIAL 500:600) UNDELETED UNKEYWORD $Junk
        S: * ESEARCH (TAG "A02") UID PARTIAL (3:500 6:7)
        S: A02 OK SEARCH completed
        S: * ESEARCH (TAG "A03") UID PARTIAL (1:2 4:5)
        S: A03 OK SEARCH completed
        S: * ESEARCH (TAG "A04") UID PARTIAL (500:600 NIL)
        S: A04 OK SEARCH completed
        C: A05 SEARCH RETURN (PARTIAL 1:2 ALL) ALL
        S: A05 BAD %_%
        C: A06 SEARCH RETURN (PARTIAL 2:3 SAVE) UNDELETED
        S: * ESEARCH (TAG "A06") PARTIAL (2:3 4:5)
        S: A06 OK SEARCH completed
        C: d SEARCH $
        S: * SEARCH 4 5
        S: d OK SEARCH completed
        C: A07 SEARCH RETURN (PARTIAL 2:3 MIN MAX SAVE) UNDELETED
        S: * ESEARCH (TAG "A07") MIN 3 MAX 7 PARTIAL (2:3 4:5)
        S: A07 OK SEARCH completed
        C: d SEARCH $
        S: * SEARCH 3 4 5 7
        S: d OK SEARCH completed
        C: A08 SEARCH RETURN (PARTIAL 2:3 COUNT SAVE) UNDELETED
        S: * ESEARCH (TAG "A08") COUNT 5 PARTIAL (2:3 4:5)
        S: A08 OK SEARCH completed
        C: d SEARCH $
        S: * SEARCH 3 4 5 6 7
        S: d OK SEARCH completed
        C: 10 UID FETCH 1:600 (UID FLAGS) (PARTIAL -1:-3)
        S: * 5 FETCH (UID 5 FLAGS (\Recent))
        S: * 6 FETCH (UID 6 FLAGS (\Recent))
        S: * 7 FETCH (UID 7 FLAGS (\Flagged \Recent))
        S: 10 OK FETCH completed
        C: 11 UID FETCH 4:600 (UID) (PARTIAL 1:2)
        S: * 4 FETCH (UID 4)
        S: * 5 FETCH (UID 5)
        S: 11 OK FETCH completed
        C: 12 FETCH 1:2 (UID) (PARTIAL 1:2)
        S: 12 BAD %_%
        C: 13 UID FETCH 1:* (MODSEQ) (PARTIAL -1:-1)
        S: * 7 FETCH (UID 7 MODSEQ (%seven%))
        S: 13 OK FETCH completed
        C: 14 STORE 6 +FLAGS (\Answered)
        S: * 6 FETCH (UID 6 MODSEQ (%six%) FLAGS (\Answered \Recent))
        S: 14 OK STORE completed
        C: 101 UID FETCH 1:600 (UID FLAGS) (PARTIAL -1:-3 CHANGEDSINCE %seven%)
        S: * 6 FETCH (MODSEQ (%six%) UID 6 FLAGS (\Answered \Recent))
        S: 101 OK FETCH completed""")


def test_within_rfc5032(talk):
    c = talk().play(r"""
        C: a APPEND INBOX "01-Jan-2020 00:00:00 +0000" {#+}
        C| Subject: old
        C|
        C| x
        C:
        S: * 1 EXISTS
        S: * 1 RECENT
        S: a OK [APPENDUID %_% 1] APPEND completed""")
    c.append("INBOX", mail("new"))
    c.play(r"""
        C: a1 SEARCH UNSEEN YOUNGER 259200
        S: * SEARCH 2
        S: a1 OK SEARCH completed
        C: a2 SEARCH UNSEEN OLDER 259200
        S: * SEARCH 1
        S: a2 OK SEARCH completed
        C: a3 SEARCH YOUNGER 0
        S: a3 BAD %_%""")


def test_savedate_rfc8514_and_search(talk):
    from datetime import datetime, timedelta, timezone
    c = talk(mail("one"))
    today = datetime.now(timezone.utc)
    day, before = today.strftime("%-d-%b-%Y"), (today - timedelta(days=1)).strftime("%-d-%b-%Y")
    c.play(rf"""
        C: A101 FETCH 1 (SAVEDATE)
        S: * 1 FETCH (SAVEDATE "{today.strftime("%d-%b-%Y")} %_% +0000")
        S: A101 OK FETCH completed
        C: A102 SEARCH OR SAVEDON {day} SAVEDON {before}
        S: * SEARCH 1
        S: A102 OK SEARCH completed
        C: A103 SEARCH SAVEDSINCE {before}
        S: * SEARCH 1
        S: A103 OK SEARCH completed
        C: A104 SEARCH SAVEDBEFORE {before}
        S: * SEARCH
        S: A104 OK SEARCH completed
        C: A105 SEARCH SAVEDATESUPPORTED
        S: * SEARCH 1
        S: A105 OK SEARCH completed""")


def test_fuzzy_rfc6203(talk):
    c = talk(mail("IMAP break"), mail("broken IMAP"), mail("IMAP breaks things", sender="user@example.com"), mail("other", body="a break from IMAP"), mail("lunch"))
    c.play(r"""
        C: A1 SEARCH FUZZY (SUBJECT "IMAP break")
        S: * SEARCH 1 3
        S: A1 OK SEARCH completed
        C: A2 SEARCH FUZZY SUBJECT imap FROM user@example.com
        S: * SEARCH 3
        S: A2 OK SEARCH completed
        C: B1 SEARCH RETURN (RELEVANCY ALL) FUZZY TEXT "break imap"
        S: * ESEARCH (TAG "B1") ALL 1,3:4 RELEVANCY (100 100 30)
        S: B1 OK SEARCH completed
        C: B2 SEARCH RETURN (RELEVANCY ALL) TEXT "IMAP"
        S: B2 BAD %_%
        C: C1 SORT (RELEVANCY) UTF-8 FUZZY TEXT "break"
        S: * SORT 1 3 4
        S: C1 OK SORT completed
        C: C2 SORT RETURN (RELEVANCY ALL) (RELEVANCY) UTF-8 FUZZY TEXT "break"
        S: * ESEARCH (TAG "C2") ALL 1,3:4 RELEVANCY (100 100 30)
        S: C2 OK SORT completed
        C: C3 SORT RETURN (PARTIAL 1:2) (RELEVANCY) UTF-8 FUZZY TEXT "break"
        S: * ESEARCH (TAG "C3") PARTIAL (1:2 1,3)
        S: C3 OK SORT completed
        C: C4 SORT (RELEVANCY) UTF-8 TEXT "break"
        S: C4 BAD %_%""")


def test_sort_rfc5256(talk):
    def dated(subject, day, **more):
        return mail(subject, **more).replace("Mon, 7 Feb", f"{day} Feb")
    c = talk(dated("b", 2), dated("Re: a", 3), dated("[list] A", 1), dated("b (fwd)", 5), dated("Re: [x] Fwd: a", 2), dated("c", 1, sender="aaa@example.org"))
    c.play(r"""
        C: A282 SORT (SUBJECT) UTF-8 SINCE 1-Feb-1994
        S: * SORT 2 3 5 1 4 6
        S: A282 OK SORT completed
        C: A283 SORT (SUBJECT REVERSE DATE) UTF-8 ALL
        S: * SORT 2 5 3 4 1 6
        S: A283 OK SORT completed
        C: A284 SORT (SUBJECT) US-ASCII TEXT "not in mailbox"
        S: * SORT
        S: A284 OK SORT completed
        C: A285 UID SORT (FROM DATE) UTF-8 ALL
        S: * SORT 6 3 1 5 2 4
        S: A285 OK SORT completed
        C: A286 SORT (REVERSE SIZE REVERSE ARRIVAL) X-NONE ALL
        S: A286 NO [BADCHARSET %_%
        C: A287 SORT (SUBJECT) ALL
        S: A287 BAD %_%
        C: A288 SORT () UTF-8 ALL
        S: A288 BAD %_%""")


def test_thread_rfc5256(talk):
    def reply(name, to=None):
        return mail(name, more=f"References: <{to}@example.org>\n" if to else "")
    c = talk(reply("2"), reply("3"), reply("6", "3"), reply("4", "6"), reply("23", "4"), reply("44", "6"), reply("7", "44"), reply("96", "7"),
             reply("x", "gone"), reply("y", "gone"))
    c.play(r"""
        C: A283 THREAD REFERENCES UTF-8 ALL
        S: * THREAD (1)(2 3 (4 5)(6 7 8))((9)(10))
        S: A283 OK THREAD completed
        C: A284 THREAD ORDEREDSUBJECT UTF-8 SINCE 5-MAR-2000 UNSEEN NOT UID 1:100
        S: * THREAD
        S: A284 OK THREAD completed
        C: A285 UID THREAD REFS UTF-8 UID 1:8
        S: * THREAD (1)(2 3 (4 5)(6 7 8))
        S: A285 OK THREAD completed
        C: A286 THREAD JWZ UTF-8 ALL
        S: A286 BAD %_%""")
    c.append("INBOX", mail("lunch"), mail("Re: lunch"), mail("Re: Re: lunch"), mail("dinner"))
    c.play(r"""
        C: A287 THREAD ORDEREDSUBJECT UTF-8 11:14
        S: * THREAD (11 (12)(13))(14)
        S: A287 OK THREAD completed""")


def test_sort_display_rfc5957(talk):
    c = talk(mail("1", sender="Zed <a@example.org>"), mail("2", sender="b@example.org"), mail("3", sender="Anna <z@example.org>"), mail("4", sender="=?UTF-8?Q?=22Carl=22?= <c@example.org>"))
    c.play(r"""
        C: a SORT (DISPLAYFROM) UTF-8 ALL
        S: * SORT 4 3 2 1
        S: a OK SORT completed
        C: b SORT (REVERSE DISPLAYFROM) UTF-8 ALL
        S: * SORT 1 2 3 4
        S: b OK SORT completed
        C: c SORT (DISPLAYTO DISPLAYFROM) UTF-8 1:3
        S: * SORT 3 2 1
        S: c OK SORT completed
        C: d SORT (FROM) UTF-8 1:3
        S: * SORT 1 2 3
        S: d OK SORT completed""")


def test_esort_rfc5267(talk):
    c = talk(*[mail(f"s{i}").replace("7 Feb", f"{day} Feb") for i, day in enumerate((3, 5, 7, 6, 4))])
    c.play(r"""
        C: E01 UID SORT RETURN () (REVERSE DATE) UTF-8 UNDELETED UNKEYWORD $Junk
        S: * ESEARCH (TAG "E01") UID ALL 3:4,2,5,1
        S: E01 OK SORT completed
        C: E02 SORT RETURN (MIN MAX COUNT) (DATE) UTF-8 ALL
        S: * ESEARCH (TAG "E02") MIN 1 MAX 3 COUNT 5
        S: E02 OK SORT completed
        C: E03 SORT RETURN (ALL) (SUBJECT) UTF-8 ALL
        S: * ESEARCH (TAG "E03") ALL 1:5
        S: E03 OK SORT completed
        C: E04 SORT RETURN (ALL COUNT) (DATE) UTF-8 DRAFT
        S: * ESEARCH (TAG "E04") COUNT 0
        S: E04 OK SORT completed
        C: E05 SORT RETURN (PARTIAL 2:3) (DATE) UTF-8 ALL
        S: * ESEARCH (TAG "E05") PARTIAL (2:3 5,2)
        S: E05 OK SORT completed
        C: E06 SORT RETURN (PARTIAL 2:3 SAVE MAX) (DATE) UTF-8 ALL
        S: * ESEARCH (TAG "E06") MAX 3 PARTIAL (2:3 5,2)
        S: E06 OK SORT completed
        C: E07 SEARCH $
        S: * SEARCH 2 3 5
        S: E07 OK SEARCH completed
        C: m FETCH 1:5 (MODSEQ)
        S: * 1 FETCH (MODSEQ (%m1%))
        S: * 2 FETCH (MODSEQ (%m2%))
        S: * 3 FETCH (MODSEQ (%m3%))
        S: * 4 FETCH (MODSEQ (%m4%))
        S: * 5 FETCH (MODSEQ (%m5%))
        S: m OK FETCH completed
        C: m SORT RETURN (MIN) (DATE) UTF-8 MODSEQ %m1%
        S: * ESEARCH (TAG "m") MIN 1 MODSEQ %m1%
        S: m OK SORT completed
        C: m SORT RETURN (MIN MAX) (DATE) UTF-8 MODSEQ %m1%
        S: * ESEARCH (TAG "m") MIN 1 MAX 3 MODSEQ %m3%
        S: m OK SORT completed
        C: m SORT RETURN (PARTIAL 3:4) (DATE) UTF-8 MODSEQ %m1%
        S: * ESEARCH (TAG "m") PARTIAL (3:4 2,4) MODSEQ %m4%
        S: m OK SORT completed
        C: m SORT RETURN (MIN COUNT) (DATE) UTF-8 MODSEQ %m1%
        S: * ESEARCH (TAG "m") MIN 1 COUNT 5 MODSEQ %m5%
        S: m OK SORT completed
        C: E08 SORT RETURN (SAVE) (DATE) UTF-8 1:2
        S: E08 OK SORT completed
        C: E09 SEARCH $
        S: * SEARCH 1 2
        S: E09 OK SEARCH completed
        C: E10 SORT RETURN (SAVE) (DATE) X-NONE ALL
        S: E10 NO [BADCHARSET %_%
        C: E11 SEARCH $
        S: * SEARCH
        S: E11 OK SEARCH completed""")


def test_multisearch_rfc7377(talk):
    c = talk(select=None)
    for name in ("folder1", "folder2", "folder2/banana", "folder2/peach", "folder2/salmon", "folder2/salmon/deep"):
        c.play(f"C: c CREATE {name}\nS: c OK [MAILBOXID (%_%)] CREATE completed")
    c.append("folder1", mail("chad"), mail("x")).append("folder1", mail("chad"), flags="(\\Seen)")
    c.append("folder2/banana", mail("x"), mail("chad")).append("folder2/salmon", mail("chad"), flags="(\\Seen)").append("folder2/salmon/deep", mail("chad"))
    c.play(r"""
        C: tag1 ESEARCH IN (mailboxes "folder1" subtree "folder2") unseen
        C: tag2 ESEARCH IN (mailboxes "folder1" subtree-one "folder2") subject "chad"
        S: * ESEARCH (TAG "tag1" MAILBOX folder1 UIDVALIDITY %a%) UID ALL 1:2
        S: * ESEARCH (TAG "tag1" MAILBOX folder2/banana UIDVALIDITY %b%) UID ALL 1:2
        S: * ESEARCH (TAG "tag1" MAILBOX folder2/salmon/deep UIDVALIDITY %d%) UID ALL 1
        S: tag1 OK ESEARCH completed
        S: * ESEARCH (TAG "tag2" MAILBOX folder1 UIDVALIDITY %a%) UID ALL 1,3
        S: * ESEARCH (TAG "tag2" MAILBOX folder2/banana UIDVALIDITY %b%) UID ALL 2
        S: * ESEARCH (TAG "tag2" MAILBOX folder2/salmon UIDVALIDITY %c%) UID ALL 1
        S: tag2 OK ESEARCH completed
        C: tag3 ESEARCH IN (personal) RETURN (MIN COUNT) SEEN
        S: * ESEARCH (TAG "tag3" MAILBOX folder1 UIDVALIDITY %a%) UID MIN 3 COUNT 1
        S: * ESEARCH (TAG "tag3" MAILBOX folder2/salmon UIDVALIDITY %c%) UID MIN 1 COUNT 1
        S: tag3 OK ESEARCH completed
        C: tag4 ESEARCH IN (inboxes mailboxes nowhere) ALL
        S: tag4 OK ESEARCH completed
        C: tag5 ESEARCH FROM "fred" 1:100
        S: tag5 BAD %_%
        C: tag5 ESEARCH IN (selected personal) ALL
        S: tag5 BAD %_%
        C: tag5 ESEARCH IN (selected-delayed) ALL
        S: tag5 BAD %_%
        C: tag6 ESEARCH IN (personal) RETURN (SAVE) ALL
        S: tag6 BAD %_%
        C: s SELECT folder1
        S~ s OK [READ-WRITE] SELECT completed
        C: tag7 ESEARCH FROM "fred" 1:100
        S: * ESEARCH (TAG "tag7" MAILBOX folder1 UIDVALIDITY %a%) UID ALL 1:3
        S: tag7 OK ESEARCH completed
        C: tag8 ESEARCH FROM "fred" 101:200
        S: tag8 OK ESEARCH completed
        C: tag9 ESEARCH IN (selected) RETURN (SAVE) SEEN
        S: tag9 OK ESEARCH completed
        C: tag10 SEARCH $
        S: * SEARCH 3
        S: tag10 OK SEARCH completed
        C: tag11 ESEARCH IN (subscribed) ALL
        S: tag11 OK ESEARCH completed""")


def test_filters_rfc5466(talk):
    c = talk(mail("boss", sender="boss@example.com", body="y" * 6000), mail("small"), mail("large", body="z" * 6000))
    c.play(r"""
        C: a007 SETMETADATA "" ("/private/filters/values/on-the-road" "OR SMALLER 5000 FROM \"boss@example.com\"")
        S: a007 OK SETMETADATA completed
        C: a SEARCH UID 1:900 FILTER on-the-road SINCE "3-Dec-2002"
        S: * SEARCH 1 2
        S: a OK SEARCH completed
        C: b SORT (REVERSE ARRIVAL REVERSE SUBJECT) UTF-8 FILTER on-the-road
        S: * SORT %_%
        S: b OK SORT completed
        C: c THREAD REFERENCES UTF-8 FILTER on-the-road
        S: * THREAD (1)(2)
        S: c OK THREAD completed
        C: d ESEARCH IN (personal) RETURN (COUNT) FILTER on-the-road
        S: * ESEARCH (TAG "d" MAILBOX INBOX UIDVALIDITY %_%) UID COUNT 2
        S: d OK ESEARCH completed
        C: e SEARCH NOT FILTER on-the-road
        S: * SEARCH 3
        S: e OK SEARCH completed
        C: f SEARCH FILTER off-road
        S: f NO [UNDEFINED-FILTER off-road] %_%
        C: g SETMETADATA "" (/private/filters/values/short "OR SMALLER")
        S: g NO [CANNOT] %_%
        C: h SETMETADATA "" (/private/filters/values/one "FILTER two" /private/filters/values/two "FILTER three" /private/filters/values/three "FILTER on-the-road")
        S: h OK SETMETADATA completed
        C: i SEARCH FILTER one
        S: * SEARCH 1 2
        S: i OK SEARCH completed
        C: j SETMETADATA "" (/private/filters/values/a "FILTER b" /private/filters/values/b "FILTER a")
        S: j OK SETMETADATA completed
        C: k SEARCH FILTER a
        S: k NO [UNDEFINED-FILTER %_%] %_%
        C: l SEARCH CHARSET ISO-8859-1 FILTER one
        S: l BAD [BADCHARSET (UTF-8 US-ASCII)] %_%
        C: m SEARCH CHARSET UTF-8 FILTER one
        S: * SEARCH 1 2
        S: m OK SEARCH completed
        C: n SETMETADATA "" (/private/filters/values/on-the-road NIL)
        S: n OK SETMETADATA completed
        C: o SEARCH FILTER one
        S: o NO [UNDEFINED-FILTER on-the-road] %_%""")


def test_filters_that_multiply_end_at_a_limit(talk):
    c = talk(mail("one"))
    for i in range(7):
        c.play(f'C: s SETMETADATA "" (/private/filters/values/f{i} "{" ".join([f"FILTER f{i + 1}"] * 1000)}")\nS: s OK SETMETADATA completed')
    c.play('C: s SETMETADATA "" (/private/filters/values/f7 "ALL")\nS: s OK SETMETADATA completed\nC: a SEARCH FILTER f0\nS: a NO [LIMIT] %_%\nC: b NOOP\nS: b OK NOOP completed')
