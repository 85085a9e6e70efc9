"""Dialogues with an IMAP server as RFCs write them, line by line, through a plain socket.

    C: text      is sent. `{#}` at its end announces a literal: the lines that follow with `C|`, each with CRLF, are its bytes (`{#+}`: without
                 waiting; `{#-}`: the last CRLF is not one of them); the next `C:` goes on behind it.
    S: text      is the next line, whole. `%name%` stands for something without spaces or parentheses, the same wherever the name stands again (in C:, too);
                 `%_%` for anything.
    S~ text      lines that are not it are skipped
    Q:           nothing more is told for a moment
"""
import base64
import re
import socket

import pytest
from conftest import PASSWORD, Server

QUIET_S = 0.3
PATIENCE_S = 20


class Talk:
    def __init__(self, server, user=None, password=PASSWORD):
        self.socket = socket.create_connection(("127.0.0.1", server.port("imap")))
        self.socket.settimeout(PATIENCE_S)
        self.buffer, self.names = b"", {}
        assert self.line().startswith("* OK [CAPABILITY ")
        if user:
            self.play(f"C: login AUTHENTICATE PLAIN {base64.b64encode(f'{chr(0)}{user}{chr(0)}{password}'.encode()).decode()}\nS: login OK [CAPABILITY %_%] Logged in")

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        while b"\r\n" not in self.buffer:
            piece = self.socket.recv(65536)
            assert piece, f"the server closed behind {self.buffer!r}"
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("utf-8", "surrogateescape")

    def pattern(self, text):
        parts = re.split(r"%([a-z_][a-z_0-9]*)%", text)
        out = ""
        for i, part in enumerate(parts):
            if i % 2 == 0:
                out += re.escape(part)
            elif part == "_":
                out += ".*"
            elif part in self.names:
                out += re.escape(self.names[part])
            else:
                out += f"(?P<{part}>[^ ()]+)" if f"(?P<{part}>" not in out else f"(?P={part})"
        return re.compile(out, re.DOTALL)

    def expect(self, text, skips=False):
        while True:
            line = self.line()
            found = self.pattern(text).fullmatch(line)
            if found:
                self.names.update(found.groupdict())
                return line
            assert skips and not re.match(r"[^*+ ]+ (OK|NO|BAD) ", line), f"expected {text!r}\n     got {line!r}"

    def fill_in(self, text):
        return re.sub(r"%([a-z_][a-z_0-9]*)%", lambda m: self.names[m.group(1)], text)

    def say(self, text, literal):
        mark = re.search(r"\{#([+-]*)\}$", text)
        if not mark:
            self.send(self.fill_in(text) + "\r\n")
            return
        body = "".join(line + "\r\n" for line in literal).encode()
        if "-" in mark.group(1):
            body = body[:-2]
        plus = "+" if "+" in mark.group(1) else ""
        self.send(f"{self.fill_in(text[:mark.start()])}{{{len(body)}{plus}}}\r\n")
        if not plus:
            assert self.line().startswith("+ ")
        self.send(body)

    def play(self, script):
        lines = [line.lstrip(" ") if line.lstrip(" ")[:2] in ("C:", "C|", "S:", "S~", "Q:") else line for line in script.strip("\n").split("\n")]
        at = 0
        while at < len(lines):
            kind, text = lines[at][:2], lines[at][3:]
            at += 1
            if kind == "C:":
                literal = []
                while at < len(lines) and lines[at][:2] == "C|":
                    literal.append(lines[at][3:])
                    at += 1
                self.say(text, literal)
            elif kind == "S:":
                self.expect(text)
            elif kind == "S~":
                self.expect(text, skips=True)
            elif kind == "Q:":
                self.quiet()
            else:
                assert not lines[at - 1].strip(), f"what is {lines[at - 1]!r}?"
        return self

    def quiet(self):
        self.socket.settimeout(QUIET_S)
        try:
            data = self.buffer or self.socket.recv(65536)
        except TimeoutError:
            data = b""
        self.socket.settimeout(PATIENCE_S)
        assert not data, f"expected nothing\n     got {data!r}"

    def append(self, mailbox, *messages, flags="()"):
        """Each one text, without CR."""
        for text in messages:
            data = text.replace("\n", "\r\n").encode()
            self.send(f"append APPEND {mailbox} {flags} {{{len(data)}+}}\r\n".encode() + data + b"\r\n")
            self.expect("append OK %_%", skips=True)
        return self

    def close(self):
        self.socket.close()


def listeners(base, settings=""):
    offsets = {"imap": 43, "smtp": 25, "http": 80}
    return settings + "".join(f'listener "{name}" {{ protocol = "{name}" address = "127.0.0.1" port = {base + offset} tls = "{"none" if name == "http" else "starttls"}" }}\n'
                              for name, offset in offsets.items())


def run_server(folder, settings=""):
    """A server for all tests of a file; each has accounts of its own (see `talk`). `settings`: sections of the configuration."""
    server = Server(folder / "var")
    if settings:
        folder.mkdir(parents=True, exist_ok=True)
        server.config = folder / "tayori.conf"
        server.config.write_text(listeners(server.base, settings))
    server.start()
    server.add_domain()
    return server


class Talks:
    """Sessions of one account that is the test's own."""
    def __init__(self, server, name):
        self.server, self.user, self.open = server, f"{name}@example.test", []
        server.add_account(self.user)

    def __call__(self, *messages, select="INBOX", enable=""):
        talk = Talk(self.server, self.user)
        self.open.append(talk)
        if messages:
            talk.append("INBOX", *messages)
        if enable:
            talk.play(f"C: e ENABLE {enable}\nS: * ENABLED {enable}\nS: e OK ENABLE completed")
        if select:
            talk.play(f"C: s SELECT {select}\nS~ s OK [READ-WRITE] SELECT completed")
        return talk


@pytest.fixture
def talk(imap_server, request):
    talks = Talks(imap_server, re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:60])
    yield talks
    for one in talks.open:
        one.close()


def mail(subject, body="x", sender="fred@example.org", more=""):
    return f"From: {sender}\nTo: mooch@example.test\nSubject: {subject}\nDate: Mon, 7 Feb 2000 22:43:04 -0800\nMessage-ID: <{subject.replace(' ', '.')}@example.org>\n{more}\n{body}\n"
