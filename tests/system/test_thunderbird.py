"""Thunderbird keeps an account: what it shows is what the server has, what its user does happens on the server."""
import base64
import re
import time

import pytest
from conftest import need
from mail import count_messages, fetch_all, fill_many, imap, message, send, wait_for
from test_search import encoded
from thunderbird import USER, Thunderbird

MANY = 10000


@pytest.fixture
def thunderbird(server, tmp_path):
    need("thunderbird")
    client = imap(server)
    for name in ("Sent", "Drafts", "Trash"):
        client._simple_command("CREATE", name, f"(USE (\\{name}))")
    client.create("&TtVOiw-/2026")         # 仕事
    for name in ("Sent", "Drafts", "Trash", "&TtVOiw-", "&TtVOiw-/2026"):
        client.subscribe(name)
    client.logout()
    made = Thunderbird(tmp_path / "thunderbird", server)
    yield made
    made.stop()


def subjects(server, mailbox="INBOX", criterion="ALL"):
    """Of what is searched for, as the server has it."""
    client = imap(server, select=mailbox)
    found = []
    for number in client.search(None, criterion)[1][0].split():
        header = client.fetch(number, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0][1].decode()
        found.append(header.strip().partition(": ")[2])
    client.logout()
    return sorted(found)


def folders_are_found(tb):
    names = tb.run("""
        await update(server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox));
        await until(() => find("INBOX") && find("仕事/2026"), "folders");
        return server.rootFolder.descendants.map(f => [imapFolder(f).onlineName, f.prettyName ?? f.localizedName, f.flags]);""")
    found = {name: flags for name, _, flags in names}
    assert {"INBOX", "Sent", "Drafts", "Trash", "仕事", "仕事/2026"} <= set(found)
    # nsMsgFolderFlags: Trash 0x100, SentMail 0x200, Drafts 0x400, Inbox 0x1000, from SPECIAL-USE
    assert found["Trash"] & 0x100 and found["Sent"] & 0x200 and found["Drafts"] & 0x400 and found["INBOX"] & 0x1000


def mail_arrives_by_idle(tb, server):
    tb.run("await update(get('INBOX'));")
    wait_for(lambda: ("C", "IDLE") in [(who, text.split()[-1]) for who, text in tb.conversation() if text])
    for i in range(3):
        send(server, message(f"idle{i}"))
    shown = tb.run("""await until(() => rows(get("INBOX")).length == 3, "mail"); return rows(get("INBOX")).map(h => h.subject);""")
    assert sorted(shown) == ["idle0", "idle1", "idle2"]


def flags_go_both_ways(tb, server):
    tb.run("""
        const inbox = get("INBOX");
        inbox.markMessagesRead([await bySubject(inbox, "idle0")], true);
        inbox.markMessagesFlagged([await bySubject(inbox, "idle1")], true);
        inbox.addKeywordsToMessages([await bySubject(inbox, "idle2")], "$label1");""")
    wait_for(lambda: subjects(server, "INBOX", "SEEN") == ["idle0"] and subjects(server, "INBOX", "FLAGGED") == ["idle1"]
             and subjects(server, "INBOX", "KEYWORD $label1") == ["idle2"])
    client = imap(server)
    client.store("3", "+FLAGS", r"(\Seen \Answered)")
    client.store("1", "-FLAGS", r"(\Seen)")
    client.logout()
    tb.run("""
        const inbox = get("INBOX"), first = await bySubject(inbox, "idle0"), third = await bySubject(inbox, "idle2");
        await until(() => third.isRead && (third.flags & Ci.nsMsgMessageFlags.Replied) && !first.isRead, "flags of another client");""")


def messages_move_and_go(tb, server):
    tb.run("""
        const inbox = get("INBOX"), to = get("仕事/2026");
        const header = await bySubject(inbox, "idle0");
        await new Promise((resolve, reject) => MailServices.copy.copyMessages(inbox, [header], to, true, copyListener(resolve, reject), null, false));""")
    wait_for(lambda: subjects(server, "&TtVOiw-/2026") == ["idle0"] and subjects(server) == ["idle1", "idle2"])
    # deleted: to Trash; then one for good, with EXPUNGE
    tb.run("""
        const inbox = get("INBOX");
        inbox.deleteMessages([await bySubject(inbox, "idle1")], null, false, false, null, false);""")
    wait_for(lambda: subjects(server) == ["idle2"] and subjects(server, "Trash") == ["idle1"])
    tb.run("""
        const trash = get("Trash");
        await update(trash);
        trash.deleteMessages([await bySubject(trash, "idle1")], null, true, false, null, false);
        await until(() => rows(trash).length == 0 || rows(trash)[0].flags & Ci.nsMsgMessageFlags.IMAPDeleted, "deleted");
        await new Promise((resolve, reject) => trash.compact(urlListener(resolve, reject), null));""")
    wait_for(lambda: subjects(server, "Trash") == [])


LETTERS = [("会議のお知らせ", "東京都の会議室で打ち合わせをします。", "iso-2022-jp", "7bit"), ("旅行", "京都と大阪へ行きます。", "euc-jp", "base64"),
           ("請求書の件", "東京タワーの会議です。", "cp932", "base64"), ("資料送付", "添付をご確認ください。", "utf-8", "base64")]
SEARCH = """
    const folder = get("仕事"), session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession), found = [];
    session.addScopeTerm(Ci.nsMsgSearchScope[a], folder);
    const term = session.createTerm(), value = term.value;
    value.attrib = term.attrib = Ci.nsMsgSearchAttrib[b];
    value.str = c;
    term.value = value;
    term.op = Ci.nsMsgSearchOp.Contains;
    session.appendTerm(term);
    await new Promise((resolve, reject) => {
        session.registerListener({ onSearchHit(header) { found.push(header.mime2DecodedSubject); }, onNewSearch() {},
            onSearchDone(status) { status ? reject(new Error("status " + status)) : resolve(); }, QueryInterface: ChromeUtils.generateQI(["nsIMsgSearchNotify"]) });
        session.search(null);
    });
    return found.sort();"""


def search_finds_japanese(tb, server):
    """On the server, and in what was downloaded, with the same result."""
    client = imap(server, select=None)
    for letter in LETTERS:
        client.append("&TtVOiw-", None, None, encoded(*letter))
    client.logout()
    tb.run("""
        const folder = get("仕事");
        await update(folder);
        await until(() => rows(folder).length == 4, "letters");
        folder.setFlag(Ci.nsMsgFolderFlags.Offline);
        await new Promise((resolve, reject) => folder.downloadAllForOffline(urlListener(resolve, reject), null));""")
    for attribute, index in (("Subject", 0), ("Body", 1)):
        for word in ("会議", "東京", "資料", "無い"):
            wanted = sorted(letter[0] for letter in LETTERS if word in letter[index])
            for scope in ("onlineMail", "offlineMail"):
                assert tb.run(SEARCH, scope, attribute, word) == wanted, (scope, attribute, word)


def drafts_and_sent(tb, server):
    tb.run("""
        const path = PathUtils.join(PathUtils.tempDir, "draft-" + Services.uuid.generateUUID().toString().slice(1, 9) + ".eml");
        const lines = ["From: <" + a + ">", "To: <someone@elsewhere.test>", "Subject: draft", "Message-ID: <draft@example.test>", "", "not yet", ""];
        await IOUtils.writeUTF8(path, lines.join("\\r\\n"));
        const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
        file.initWithPath(path);
        await new Promise((resolve, reject) =>
            MailServices.copy.copyFileMessage(file, get("Drafts"), null, true, Ci.nsMsgMessageFlags.Read, "", copyListener(resolve, reject), null));""", USER)
    wait_for(lambda: subjects(server, "Drafts") == ["draft"])
    tb.run("""
        const fields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(Ci.nsIMsgCompFields);
        const identity = MailServices.accounts.defaultAccount.defaultIdentity;
        const parameters = Cc["@mozilla.org/messengercompose/composeparams;1"].createInstance(Ci.nsIMsgComposeParams);
        fields.from = a; fields.to = a; fields.subject = "sent"; fields.body = "こんにちは\\r\\n";
        parameters.composeFields = fields; parameters.identity = identity; parameters.type = Ci.nsIMsgCompType.New; parameters.format = Ci.nsIMsgCompFormat.PlainText;
        const compose = Cc["@mozilla.org/messengercompose/compose;1"].createInstance(Ci.nsIMsgCompose);
        compose.initialize(parameters);
        await compose.sendMsg(Ci.nsIMsgSend.nsMsgDeliverNow, identity, MailServices.accounts.defaultAccount.key, null, null);""", USER)
    wait_for(lambda: "sent" in subjects(server, "Sent") and "sent" in subjects(server), 30)
    client = imap(server, select="Sent")
    assert [data for data in fetch_all(client).values() if base64.b64encode("こんにちは".encode()) in data or "こんにちは".encode() in data]
    client.logout()


def folders_come_and_go(tb, server):
    def listed():
        client = imap(server, select=None)
        found = {line.decode().rsplit(" ", 1)[1].strip('"') for line in client.list()[1]}
        client.logout()
        return found

    tb.run("""
        get("INBOX").server.rootFolder.createSubfolder("新しい", null);
        await until(() => find("新しい"), "new folder");""")
    wait_for(lambda: "&ZbAwVzBE-" in listed())
    tb.run("""
        get("新しい").rename("古い", null);
        await until(() => find("古い") && !find("新しい"), "renamed folder");""")
    wait_for(lambda: "&U+QwRA-" in listed() and "&ZbAwVzBE-" not in listed())
    tb.run("""
        get("古い").deleteSelf(null);
        await until(() => !find("古い"), "deleted folder");""")
    wait_for(lambda: "&U+QwRA-" not in listed())


def what_happened_while_it_was_away(tb, server):
    """Only what changed is told, and it ends with the same mailbox."""
    tb.stop()
    client = imap(server, select="&TtVOiw-")
    client.store("1", "+FLAGS", r"(\Flagged)")
    client.store("2", "+FLAGS", r"(\Deleted)")
    client.expunge()
    client.append("&TtVOiw-", None, None, message("while away"))
    client.logout()
    server.command("account", "set", USER, "--quota", "20M")
    tb.start()
    found = tb.run("""
        const folder = get("仕事");
        await update(folder);
        await until(() => rows(folder).some(h => h.subject == "while away") && rows(folder).length == 4, "what is new");
        return rows(folder).map(h => [h.mime2DecodedSubject, h.isFlagged]);""")
    assert sorted(found) == sorted([["会議のお知らせ", True], ["請求書の件", False], ["資料送付", False], ["while away", False]])


def work_done_offline_is_made_up_for(tb, server):
    """Read and deleted without the server, which meanwhile got something else."""
    tb.run("""
        Services.io.offline = true;
        const folder = get("仕事");
        folder.markMessagesRead([await bySubject(folder, "請求書の件")], true);
        folder.deleteMessages([await bySubject(folder, "会議のお知らせ")], null, false, false, null, false);""")
    assert subjects(server, "&TtVOiw-", "UNSEEN").count("while away") == 1 and len(subjects(server, "&TtVOiw-")) == 4 and not subjects(server, "&TtVOiw-", "SEEN")
    client = imap(server, select=None)
    client.append("&TtVOiw-", None, None, message("meanwhile"))
    client.logout()
    tb.run("""
        Services.io.offline = false;
        const service = Cc["@mozilla.org/messenger/imapservice;1"].getService(Ci.nsIImapService);
        await new Promise((resolve, reject) => service.playbackAllOfflineOperations(null, urlListener(resolve, reject)));
        const folder = get("仕事");
        await update(folder);
        await bySubject(folder, "meanwhile");
        await until(() => rows(folder).length == 4, "what is left");""")
    wait_for(lambda: len(subjects(server, "&TtVOiw-")) == 4 and len(subjects(server, "&TtVOiw-", "SEEN")) == 1)
    assert len(subjects(server, "Trash")) == 1


def quota_is_shown(tb):
    """It is asked for with each SELECT; while the account had no limit, there was none to tell."""
    shown = tb.run("""return await until(() => { const all = imapFolder(get("仕事")).getQuota(); return all.length && all.map(q => [q.name, q.limit]); }, "quota");""")
    assert [limit for _, limit in shown] == [20 << 10], shown


def it_got_what_it_asked_for(tb):
    """It used the extensions that it knows, and nothing that it said was refused."""
    said = tb.conversation()
    asked = [text for who, text in said if who == "C"]
    for words in ("COMPRESS DEFLATE", "ENABLE UTF8=ACCEPT", r"ID \(", "NAMESPACE", r"LIST \(SUBSCRIBED\) .* RETURN \(SPECIAL-USE\)", "GETQUOTAROOT", "IDLE", "UID MOVE",
                  r"UID FETCH .* \(CHANGEDSINCE", "UID SEARCH", "APPEND", "EXPUNGE", "CREATE", "RENAME", "SUBSCRIBE"):
        assert any(re.match(rf"\d+ {words}", text, re.IGNORECASE) for text in asked), (words, asked)
    answers = [text for who, text in said if who == "S" and re.match(r"\d+ (NO|BAD)|\* BAD", text)]
    assert not answers, answers


@pytest.mark.local
def test_thunderbird(server, thunderbird):
    tb = thunderbird.start()
    folders_are_found(tb)
    mail_arrives_by_idle(tb, server)
    flags_go_both_ways(tb, server)
    messages_move_and_go(tb, server)
    search_finds_japanese(tb, server)
    drafts_and_sent(tb, server)
    folders_come_and_go(tb, server)
    what_happened_while_it_was_away(tb, server)
    quota_is_shown(tb)
    work_done_offline_is_made_up_for(tb, server)
    it_got_what_it_asked_for(tb)


@pytest.mark.local
@pytest.mark.long
def test_thunderbird_empties_a_large_folder(server, thunderbird, capsys):
    fill_many(server, "Bulk", MANY)
    tb, times = thunderbird.start(), [time.monotonic()]
    tb.run("""
        await update(server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox));
        await until(() => find("Bulk"), "folders");
        await update(get("Bulk"));
        await until(() => rows(get("Bulk")).length == a, "headers");""", MANY)
    times.append(time.monotonic())
    tb.run("""const folder = get("Bulk"); folder.markAllMessagesRead(null); folder.deleteMessages(rows(folder), null, false, false, null, false);""")
    wait_for(lambda: count_messages(server, "Bulk") == 0)
    assert count_messages(server, "Trash") == MANY
    times.append(time.monotonic())
    tb.run("""get("Trash").emptyTrash(null, null);""")
    wait_for(lambda: count_messages(server, "Trash") == 0)
    times.append(time.monotonic())
    with capsys.disabled():
        print("\nThunderbird: headers of %d messages in %.1f s, read and to Trash in %.1f s, emptied in %.1f s"
              % (MANY, *(after - before for before, after in zip(times, times[1:]))))
