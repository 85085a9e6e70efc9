"""Thunderbird without a screen, driven by the Marionette protocol: scripts run in it as its own windows' do."""
import base64
import json
import os
import re
import socket
import subprocess
import time

from conftest import PASSWORD, free_port, need

USER = "hanako@example.test"
PATIENCE_S = 40
# What every script finds: the account, its folders by the names that the server has, and waiting.
PRELUDE = """
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const server = MailServices.accounts.accounts.map(a => a.incomingServer).find(s => s.type == "imap");
const imapFolder = f => f.QueryInterface(Ci.nsIMsgImapMailFolder);
const sleep = ms => new Promise(resolve => window.setTimeout(resolve, ms));
const until = async (what, name) => {
    for (let i = 0; i < 600; i++) { const value = await what(); if (value) return value; await sleep(50); }
    throw new Error("waited in vain: " + (name || what));
};
const find = name => server.rootFolder.descendants.find(f => imapFolder(f).onlineName == name);
const get = name => { const f = find(name); if (!f) throw new Error("no folder " + name); return f; };
const urlListener = (resolve, reject) => ({ OnStartRunningUrl() {}, OnStopRunningUrl(url, status) { status ? reject(new Error("status " + status)) : resolve(); },
    QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]) });
const copyListener = (resolve, reject) => ({ onStartCopy() {}, OnStartCopy() {}, onProgress() {}, OnProgress() {}, setMessageKey() {}, SetMessageKey() {},
    getMessageId() { return null; }, GetMessageId() { return null; },
    onStopCopy(status) { status ? reject(new Error("status " + status)) : resolve(); }, OnStopCopy(status) { this.onStopCopy(status); },
    QueryInterface: ChromeUtils.generateQI(["nsIMsgCopyServiceListener"]) });
const update = f => new Promise((resolve, reject) => imapFolder(f).updateFolderWithListener(null, urlListener(resolve, reject)));
const rows = f => [...f.messages];
const bySubject = (f, subject) => until(() => rows(f).find(h => h.mime2DecodedSubject == subject), "message " + subject + " in " + f.name);
"""
PREFERENCES = {
    "mail.accountmanager.accounts": "account1", "mail.accountmanager.defaultaccount": "account1",
    "mail.account.account1.server": "server1", "mail.account.account1.identities": "id1", "mail.account.lastKey": 1,
    "mail.server.server1.type": "imap", "mail.server.server1.hostname": "localhost", "mail.server.server1.userName": USER, "mail.server.server1.name": "tayori",
    "mail.server.server1.socketType": 3, "mail.server.server1.authMethod": 3, "mail.server.server1.login_at_startup": False,
    "mail.server.server1.check_new_mail": True, "mail.server.server1.use_condstore": True, "mail.server.server1.offline_download": False,
    "mail.server.server1.autosync_offline_stores": False,
    "mail.identity.id1.useremail": USER, "mail.identity.id1.fullName": "花子", "mail.identity.id1.valid": True, "mail.identity.id1.smtpServer": "smtp1",
    "mail.identity.id1.compose_html": False,
    "mail.smtpservers": "smtp1", "mail.smtp.defaultserver": "smtp1", "mail.smtpserver.smtp1.hostname": "localhost", "mail.smtpserver.smtp1.username": USER,
    "mail.smtpserver.smtp1.try_ssl": 2, "mail.smtpserver.smtp1.authMethod": 3,
    "mail.provider.suppress_dialog_on_startup": True, "mail.spotlight.firstRunDone": True, "mail.winsearch.firstRunDone": True, "mail.rights.version": 1,
    "mail.shell.checkDefaultClient": False, "mail.biff.show_alert": False, "mail.biff.play_sound": False, "mailnews.start_page.enabled": False,
    "mailnews.confirm.moveFoldersToTrash": False, "mail.prompt_purge_threshhold": False, "mail.purge.ask": False, "mail.warn_on_send_accel_key": False,
    "datareporting.policy.dataSubmissionEnabled": False, "datareporting.healthreport.uploadEnabled": False, "toolkit.telemetry.enabled": False,
    "app.update.enabled": False, "app.update.auto": False, "extensions.update.enabled": False, "app.donation.eoy.version.viewed": 999,
    "browser.safebrowsing.malware.enabled": False, "browser.safebrowsing.phishing.enabled": False, "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False, "services.settings.server": "data:,", "mail.inappnotifications.enabled": False, "network.proxy.type": 0,
}


class Thunderbird:
    """One profile; may be started again."""

    def __init__(self, folder, server):
        self.folder, self.server, self.port, self.process = folder, server, free_port(), None
        self.profile, self.starts = folder / "profile", 0
        self.profile.mkdir(parents=True)
        preferences = PREFERENCES | {"marionette.port": self.port, "mail.server.server1.port": server.port("imaps"),
                                     "mail.smtpserver.smtp1.port": server.port("submission")}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items()]
        self.profile.joinpath("user.js").write_text("".join(lines))

    def start(self):
        self.count, self.starts, self.socket = 0, self.starts + 1, None
        environment = {**os.environ, "HOME": str(self.folder), "MOZ_LOG": "IMAP:4,sync,timestamp", "MOZ_LOG_FILE": str(self.folder / f"protocol{self.starts}"),
                       "MOZ_CRASHREPORTER_DISABLE": "1", "LANG": "C.UTF-8"}
        output = open(self.folder / "output", "ab")
        self.process = subprocess.Popen([need("thunderbird"), "--headless", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile", str(self.profile)],
                                        stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True)
        output.close()
        self.connect()
        self.call("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {}}})
        self.call("WebDriver:SetTimeouts", {"script": PATIENCE_S * 1000})
        self.call("Marionette:SetContext", {"value": "chrome"})
        self.trust()
        return self

    def connect(self):
        deadline = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, (self.folder / "output").read_text(errors="replace")[-3000:]
            try:
                self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S + 20)
                break
            except OSError:
                assert time.monotonic() < deadline, (self.folder / "output").read_text(errors="replace")[-3000:]
                time.sleep(0.1)
        self.buffer = b""
        assert self.receive()["applicationType"] == "gecko"

    def receive(self):
        """Its length in digits, a colon, and JSON."""
        while True:
            head, colon, rest = self.buffer.partition(b":")
            if colon and len(rest) >= int(head):
                self.buffer = rest[int(head):]
                return json.loads(rest[:int(head)])
            piece = self.socket.recv(1 << 16)
            assert piece, "Thunderbird ended: " + (self.folder / "output").read_text(errors="replace")[-3000:]
            self.buffer += piece

    def call(self, name, parameters):
        self.count += 1
        data = json.dumps([0, self.count, name, parameters]).encode()
        self.socket.sendall(b"%d:%s" % (len(data), data))
        _, number, error, result = self.receive()
        assert number == self.count
        assert not error, f"{name}: {error['error']}: {error['message']}\n{error.get('stacktrace', '')[:600]}"
        return result.get("value") if isinstance(result, dict) else result

    def run(self, body, *arguments):
        """The body of an asynchronous function with the arguments a, b, c ...; what it returns, or its exception as a failure."""
        names = ", ".join("abcdef"[:len(arguments)])
        script = f"""const done = arguments[arguments.length - 1], given = [...arguments].slice(0, -1);
            (async ({names}) => {{ {PRELUDE} {body} }})(...given)
                .then(value => done([true, value === undefined ? null : value]), e => done([false, String(e) + "\\n" + e.stack]));"""
        ok, value = self.call("WebDriver:ExecuteAsyncScript", {"script": script, "args": list(arguments), "sandbox": "system", "newSandbox": True})
        assert ok, f"{body}: {value}"
        return value

    def trust(self):
        """The server's self-made certificate, as a user does who confirms the exception; and the passwords."""
        pem = (self.server.folder / "certificate.pem").read_text()
        der = re.search(r"-----BEGIN CERTIFICATE-----(.*?)-----END", pem, re.DOTALL)[1].replace("\n", "")
        assert base64.b64decode(der)
        self.run("""
            const certificate = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).constructX509FromBase64(a);
            const overrides = Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService);
            for (const port of b) overrides.rememberValidityOverride("localhost", port, {}, certificate, false);
            for (const kind of ["imap", "smtp"]) {
                const url = kind + "://localhost";
                if ((await Services.logins.searchLoginsAsync({ origin: url })).length) continue;
                const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
                login.init(url, null, url, c, d, "", "");
                await Services.logins.addLoginAsync(login);
            }""", der, [self.server.port("imaps"), self.server.port("submission")], USER, PASSWORD)

    def conversation(self):
        """All that went over the wire, with those who said it: lines ("C" or "S", text)."""
        said = []
        for path in sorted(self.folder.glob("protocol?.moz_log")):
            for line in path.read_text(errors="replace").splitlines():
                if match := re.search(r":(SendData|CreateNewLineFromSocket): (.*)$", line):
                    said.append(("C" if match[1] == "SendData" else "S", match[2].rstrip()))
        return said

    def stop(self):
        """Orderly, so that the profile is whole."""
        if not self.process or self.process.poll() is not None:
            return
        try:
            assert self.socket
            self.call("Marionette:Quit", {"flags": ["eAttemptQuit"]})
            self.process.wait(20)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            os.killpg(self.process.pid, 9)
            self.process.wait()
        if self.socket:
            self.socket.close()
