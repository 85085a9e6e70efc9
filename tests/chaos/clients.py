"""Mail clients that know exactly what they were told: OK, refused, or nothing before the connection ended."""
import re
import socket

TIMEOUT_S = 60


class Refused(Exception):
    """An answer that is not OK."""


class Lost(Exception):
    """The connection ended, or no answer came: what was asked may be done or not."""


class Connection:
    def __init__(self, port):
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        except OSError as error:
            raise Refused(str(error)) from None
        self.file = self.socket.makefile("rb")

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Lost(str(error)) from None

    def line(self):
        try:
            line = self.file.readline()
        except OSError as error:
            raise Lost(str(error)) from None
        if not line.endswith(b"\n"):
            raise Lost("end of connection")
        return line.rstrip(b"\r\n")

    def close(self):
        try:
            self.file.close()
            self.socket.close()
        except OSError:
            pass


class Sender(Connection):
    """SMTP, or LMTP, where each recipient has an answer of its own."""
    def __init__(self, port, is_lmtp):
        super().__init__(port)
        self.is_lmtp = is_lmtp
        self.reply()
        self.ask("LHLO load" if is_lmtp else "EHLO load")

    def reply(self):
        while (line := self.line())[3:4] == b"-":
            pass
        if line[:1] not in b"23":
            raise Refused(line.decode())

    def ask(self, text):
        self.send(text.encode() + b"\r\n")
        self.reply()

    def deliver(self, recipients, data):
        """Who got it for sure, who perhaps."""
        accepted = []
        self.ask("MAIL FROM:<load@example.org>")
        for recipient in recipients:
            try:
                self.ask(f"RCPT TO:<{recipient}>")
                accepted.append(recipient)
            except Refused:
                pass
        if not accepted:
            raise Refused("no recipient")
        self.ask("DATA")
        sure, maybe = [], list(accepted)
        try:
            self.send(data + b".\r\n")
            for group in ([[r] for r in accepted] if self.is_lmtp else [accepted]):
                try:
                    self.reply()
                    sure += group
                    maybe = [r for r in maybe if r not in group]
                except Refused:
                    pass           # of several recipients some may have it; and an unknown outcome is a refusal too
        except Lost:
            self.close()
        return sure, maybe


class Imap(Connection):
    def __init__(self, port, user, password):
        super().__init__(port)
        self.number = 0
        self.line()
        self.ask(f"LOGIN {user} {password}")

    def append(self, data):
        self.ask(f"APPEND INBOX {{{len(data)}+}}", b"\r\n" + data)

    def ask(self, text, literal=b""):
        """The untagged answers, literals included."""
        self.number += 1
        tag = b"t%d" % self.number
        self.send(tag + b" " + text.encode() + literal + b"\r\n")
        answers = []
        while True:
            answer = self.line()
            while match := re.search(rb"\{(\d+)\}$", answer):
                try:
                    answer += b"\r\n" + self.file.read(int(match.group(1)))
                except OSError as error:
                    raise Lost(str(error)) from None
                answer += self.line()
            if answer.startswith(tag + b" "):
                if not answer.startswith(tag + b" OK"):
                    raise Refused(answer.decode(errors="replace"))
                return answers + [answer]
            if answer.startswith(b"* BYE"):
                raise Lost(answer.decode(errors="replace"))
            answers.append(answer)

    def messages(self, first=1):
        """(uid, name, flags) of the selected mailbox from UID `first` on."""
        found = []
        for answer in self.ask(f"UID FETCH {first}:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"):
            name = re.search(rb"Subject: (\S+)", answer)
            uid, flags = re.search(rb"UID (\d+)", answer), re.search(rb"FLAGS \(([^)]*)\)", answer)
            if name and uid and flags and int(uid.group(1)) >= first:
                found.append((int(uid.group(1)), name.group(1).decode(), flags.group(1).decode().split()))
        return found

    def bodies(self, uids):
        """uid -> the whole message, of the selected mailbox."""
        found = {}
        for answer in self.ask(f"UID FETCH {','.join(map(str, uids))} (UID BODY.PEEK[])"):
            data = re.search(rb"UID (\d+) .*BODY\[\] \{(\d+)\}\r\n", answer)
            if data:
                found[int(data.group(1))] = answer[data.end():data.end() + int(data.group(2))]
        return found


class Pop(Connection):
    def __init__(self, port, user, password):
        super().__init__(port)
        self.line()
        self.ask(f"USER {user}")
        self.ask(f"PASS {password}")

    def ask(self, text, is_many=False):
        self.send(text.encode() + b"\r\n")
        line = self.line()
        if not line.startswith(b"+OK"):
            raise Refused(line.decode())
        lines = []
        while is_many and (line := self.line()) != b".":
            lines.append(line)
        return lines
