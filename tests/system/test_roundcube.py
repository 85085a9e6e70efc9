"""Roundcube as Debian packs it, with SQLite, used through its pages in a browser: what the user sees and does is so on the server."""
import email
import email.policy
import json
import os
import pathlib
import re
import subprocess
import time
import urllib.request

import pytest
from browser import Browser
from conftest import PASSWORD, free_port, need
from mail import count_messages, fill_many, imap, message, send, wait_for
from test_search import encoded

ROUNDCUBE = pathlib.Path("/var/lib/roundcube")
USER = "hanako@example.test"
MANY = 10000
CONFIG = """<?php
$config = [
    'db_dsnw' => 'sqlite:///{folder}/webmail.db?mode=0640',
    'imap_host' => 'ssl://localhost:{imaps}', 'smtp_host' => 'tls://localhost:{submission}', 'smtp_user' => '%u', 'smtp_pass' => '%p',
    'imap_conn_options' => ['ssl' => ['verify_peer' => true, 'verify_peer_name' => true, 'cafile' => '{server}/certificate.pem']],
    'smtp_conn_options' => ['ssl' => ['verify_peer' => true, 'verify_peer_name' => true, 'cafile' => '{server}/certificate.pem']],
    'des_key' => 'a key for tests, 24 long', 'language' => 'en_US', 'skin' => 'elastic', 'plugins' => [],
    'log_dir' => '{folder}/logs/', 'temp_dir' => '{folder}/temp/', 'imap_debug' => true, 'smtp_debug' => true, 'smtp_log' => false,
    'create_default_folders' => true, 'imap_cache' => 'db', 'messages_cache' => true, 'enable_spellcheck' => false, 'mail_pagesize' => 50,
];
"""
# Of a server that gives files as they are and leaves the rest to PHP.
ROUTER = """<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path != '/' && is_file($_SERVER['DOCUMENT_ROOT'] . $path)) return false;
require $_SERVER['DOCUMENT_ROOT'] . '/index.php';
"""


class Webmail:
    """Roundcube on PHP's own web server, which runs several requests at once."""

    def __init__(self, folder, server):
        self.folder, self.port = folder, free_port()
        config = folder / "config"
        for path in (config, folder / "logs", folder / "temp"):
            path.mkdir(parents=True)
        if not (ROUNDCUBE / "public_html").is_dir():
            pytest.fail("roundcube is not installed: tools/install-packages test")
        for name in ("defaults.inc.php", "mimetypes.php"):
            (config / name).symlink_to(pathlib.Path("/etc/roundcube") / name)
        (config / "config.inc.php").write_text(CONFIG.format(folder=folder, server=server.folder, imaps=server.port("imaps"), submission=server.port("submission")))
        (folder / "router.php").write_text(ROUTER)
        tables = pathlib.Path("/usr/share/roundcube/SQL/sqlite.initial.sql").read_text(encoding="utf-8")
        subprocess.run([need("sqlite3"), str(folder / "webmail.db")], input=tables, text=True, check=True, capture_output=True)

    def start(self):
        with open(self.folder / "php.log", "wb") as log:
            self.process = subprocess.Popen([need("php"), "-S", f"127.0.0.1:{self.port}", "-t", str(ROUNDCUBE / "public_html"), str(self.folder / "router.php")],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                            env={**os.environ, "ROUNDCUBE_CONFIG_DIR": str(self.folder / "config"), "PHP_CLI_SERVER_WORKERS": "4"})
        wait_for(self.answers)

    def answers(self):
        assert self.process.poll() is None, (self.folder / "php.log").read_text()
        try:
            return b"rcmloginuser" in urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=20).read()
        except OSError:
            return False

    def conversation(self, name="imap"):
        path = self.folder / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self):
        os.killpg(self.process.pid, 15)        # its workers too
        self.process.wait()


@pytest.fixture
def webmail(server, tmp_path):
    made = Webmail(tmp_path / "webmail", server)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def page(webmail, tmp_path):
    browser = Browser(tmp_path)
    try:
        browser.open()
        yield browser
    finally:
        browser.stop()


LETTERS = [
    ("会議のお知らせ", "東京都の会議室で打ち合わせをします。", "iso-2022-jp", "7bit"),
    ("請求書の件", "カタカナのテストです。東京タワー", "cp932", "base64"),
    ("Re: 旅行", "京都と大阪へ行きます。", "euc-jp", "base64"),
    ("資料送付", "添付の資料をご確認ください。会議で使います。", "utf-8", "base64"),
    ("会議室の予約", "大阪支社の予約を取りました。", "utf-8", "base64"),
    ("東京出張", "来週は新幹線で行きます。", "iso-2022-jp", "7bit"),
]


def fill(server):
    client = imap(server)
    for letter in LETTERS:
        assert client.append("INBOX", None, None, encoded(*letter))[0] == "OK"
    client.create("Archive")
    client.subscribe("Archive")
    client.logout()
    fill_many(server, "Bulk", MANY)


def mailbox_subjects(server, mailbox, criterion="ALL"):
    client = imap(server, select=mailbox)
    found = set()
    for number in client.search(None, criterion)[1][0].split():
        data = client.fetch(number, "(BODY.PEEK[HEADER])")[1][0][1]
        found.add(str(email.message_from_bytes(data, policy=email.policy.default)["Subject"]))
    client.logout()
    return found


IDLE = "window.rcmail && !rcmail.busy && document.readyState == 'complete'"
SUBJECTS = "[...document.querySelectorAll('#messagelist tbody tr.message td.subject span.subject')].filter(e => e.offsetParent).map(e => e.innerText.trim())"
MESSAGE = "document.querySelector('#messagecontframe').contentDocument"


def shown(page, wanted):
    """The list shows these subjects and no other."""
    try:
        page.until(f"{IDLE} && JSON.stringify({SUBJECTS}.sort()) == JSON.stringify({json.dumps(sorted(wanted))}.sort())")
    except AssertionError:
        pytest.fail(f"shown {page.js(SUBJECTS)}, wanted {wanted}; busy: {page.js('rcmail.busy')}; says: {page.text()[:2000]}")


def open_folder(page, name):
    page.click("#mailboxlist li a", name)
    page.until(f"{IDLE} && document.querySelector('#mailboxlist li.selected').innerText.includes({json.dumps(name)})")


def log_in(page, webmail):
    page.goto(f"http://127.0.0.1:{webmail.port}/")
    page.write("#rcmloginuser", USER)
    page.write("#rcmloginpwd", PASSWORD)
    page.click("#rcmloginsubmit")
    page.until(f"{IDLE} && rcmail.task == 'mail' && !!document.querySelector('#messagelist')")


def read_one(page, server):
    page.click("#messagelist tr.message td.subject", "会議のお知らせ")
    page.until(f"{MESSAGE}.querySelector('#messagebody')?.innerText.includes('東京都の会議室で打ち合わせをします。')")
    assert "山田太郎" in page.js(f"{MESSAGE}.body.innerText")
    wait_for(lambda: mailbox_subjects(server, "INBOX", "SEEN") == {"会議のお知らせ"})


def search(page, word, place):
    """With the options of the search unfolded, as they stay once they are."""
    page.js("rcmail.command('reset-search')")
    page.until(IDLE)
    if not page.js("document.querySelector('#searchmenu').getBoundingClientRect().height"):
        page.click(".searchbar a.button.options")
    page.until("document.querySelector('#searchmenu').getBoundingClientRect().height > 100")
    page.js(f"document.querySelectorAll('#searchmenu input[name=\"s_mods[]\"]').forEach(e => {{ if (e.checked != (e.value == '{place}')) e.click(); }})")
    page.write("#mailsearchform", word)
    page.press_enter()


def search_all(page):
    for place, index in (("subject", 0), ("body", 1)):
        for word in ("会議", "東京", "大阪"):
            search(page, word, place)
            shown(page, [letter[0] for letter in LETTERS if word in letter[index]])
    search(page, "無い言葉", "text")
    shown(page, [])
    page.js("rcmail.command('reset-search')")
    shown(page, [letter[0] for letter in LETTERS])


def sort(page):
    """By subject, upwards, as the server does it: without what was put before it; then as it was."""
    def choose(column, order, wanted):
        page.click("#messagelist-header a.options")
        page.until("!!document.querySelector('.ui-dialog select[name=sort_col]')")
        page.js(f"for (const [name, value] of [['sort_col', '{column}'], ['sort_ord', '{order}']]) document.querySelector(`.ui-dialog select[name=${{name}}]`).value = value")
        page.click(".ui-dialog button.save")
        page.until(f"{IDLE} && JSON.stringify({SUBJECTS}) == JSON.stringify({json.dumps(wanted)})")

    choose("subject", "ASC", sorted((letter[0] for letter in LETTERS), key=lambda subject: subject.removeprefix("Re: ")))
    choose("arrival", "DESC", [letter[0] for letter in reversed(LETTERS)])


def compose(page, server):
    page.click("#taskmenu a.compose")
    page.until(f"{IDLE} && rcmail.env.action == 'compose' && !!document.querySelector('#composebody')")
    page.click("#compose_to .recipient-input input")
    page.call("Input.insertText", text=f"{USER},")
    page.write("#compose-subject", "便りです")
    page.write("#composebody", "こんにちは。\n元気ですか。")
    page.click("button.send, a.send")
    page.until(f"{IDLE} && rcmail.env.action != 'compose' && !!document.querySelector('#messagelist')")
    wait_for(lambda: "便りです" in mailbox_subjects(server, "INBOX"))
    assert mailbox_subjects(server, "Sent") == {"便りです"}
    client = imap(server)
    number = client.search(None, "HEADER", "Received", "ESMTPSA")[1][0]
    got = email.message_from_bytes(client.fetch(number, "(BODY.PEEK[])")[1][0][1], policy=email.policy.default)
    assert got["Subject"] == "便りです" and got.get_body().get_content().strip().splitlines() == ["こんにちは。", "元気ですか。"]
    client.logout()
    page.js("rcmail.command('checkmail')")
    shown(page, [letter[0] for letter in LETTERS] + ["便りです"])


def move_one(page, server):
    page.click("#messagelist tr.message td.subject", "請求書の件")
    page.until(f"{MESSAGE}.querySelector('#messagebody')?.innerText.includes('東京タワー')")
    page.click("a.more")
    page.click("#message-menu a.move")
    page.click("#folder-selector a", "Archive")
    left = mailbox_subjects(server, "INBOX") - {"請求書の件"}
    shown(page, left)
    wait_for(lambda: mailbox_subjects(server, "Archive") == {"請求書の件"} and mailbox_subjects(server, "INBOX") == left)
    open_folder(page, "Archive")
    shown(page, ["請求書の件"])


def another_client_changes(page, webmail, server):
    """What somebody else did meanwhile: Roundcube's cache catches up by QRESYNC."""
    client = imap(server)
    client.store("1", "+FLAGS", r"(\Deleted)")
    client.store("2", "+FLAGS", r"(\Flagged)")
    client.expunge()
    send(server, message("late"))
    left = mailbox_subjects(server, "INBOX")
    assert "late" in left and "会議のお知らせ" not in left
    open_folder(page, "Inbox")
    shown(page, left)
    page.until("document.querySelectorAll('#messagelist tr.message.flagged').length == 1")
    assert re.search(r"UID FETCH \S+ \(FLAGS\) \(CHANGEDSINCE \d+ VANISHED\)", webmail.conversation().rpartition("late")[0])
    client.logout()


def empty_folder(page, *clicks):
    """Seconds until the folder that is open is shown without messages."""
    started = time.monotonic()
    for selector in clicks:
        page.click(selector)
    page.until(f"{IDLE} && rcmail.env.messagecount == 0 && {SUBJECTS}.length == 0", 60)
    return time.monotonic() - started


def delete_many(page, server):
    """Everything in a folder goes to Trash, and then for good."""
    open_folder(page, "Bulk")
    page.until("rcmail.env.messagecount == %d" % MANY)
    moved_s = empty_folder(page, "#messagelist-header a.select", "#listselect-menu a.select.all.active", "#layout-content a.delete:not(.disabled)")
    assert count_messages(server, "Bulk") == 0 and count_messages(server, "Trash") == MANY
    open_folder(page, "Trash")
    page.until("rcmail.env.messagecount == %d" % MANY)
    emptied_s = empty_folder(page, "#layout-sidebar a.sidebar-menu", "#mailboxoptions-menu a.purge.active", ".ui-dialog button.delete")
    assert count_messages(server, "Trash") == 0
    return moved_s, emptied_s


@pytest.mark.local
def test_roundcube_in_a_browser(server, webmail, page, capsys):
    fill(server)
    log_in(page, webmail)
    shown(page, [letter[0] for letter in LETTERS])
    read_one(page, server)
    search_all(page)
    sort(page)
    compose(page, server)
    another_client_changes(page, webmail, server)
    move_one(page, server)
    moved_s, emptied_s = delete_many(page, server)
    said = webmail.conversation()
    assert "OK" in said and not re.search(r"S: \S+ BAD", said) and not webmail.conversation("errors")
    with capsys.disabled():
        print(f"\nRoundcube: {MANY} messages to Trash in {moved_s:.1f} s, emptied in {emptied_s:.1f} s")
