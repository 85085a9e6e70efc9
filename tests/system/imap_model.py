"""What an IMAP client believes after what it was told: whatever a server says must fit what it said before."""
import collections
import re

FETCH = re.compile(rb"\* (\d+) FETCH \((.*)\)\r\n", re.DOTALL)
LITERAL = re.compile(rb"\{(\d+)\}\r\n$")
WITHOUT_UID = (b"FETCH", b"STORE", b"SEARCH")       # RFC 9051 §7.5.1: no EXPUNGE while these are answered, nor while no command is


def numbers(text):
    """Of a sequence set without "*"."""
    for item in text.split(b","):
        first, _, last = item.partition(b":")
        yield from range(int(first), int(last or first) + 1)


class Row:
    def __init__(self):
        self.uid, self.flags = None, None


class Model:
    def __init__(self):
        self.rows, self.searched = [], None

    def exists(self, count):
        assert count >= len(self.rows), f"EXISTS {count} after {len(self.rows)}"
        self.rows += [Row() for _ in range(count - len(self.rows))]

    def expunge(self, number):
        assert 1 <= number <= len(self.rows), f"EXPUNGE {number} of {len(self.rows)}"
        del self.rows[number - 1]

    def vanish(self, uids):
        for uid in uids:
            del self.rows[self.place(uid)]

    def place(self, uid):
        """Where it is; of rows whose UIDs were not told yet, one that it may be."""
        before = 0
        for place, row in enumerate(self.rows):
            after = next((other.uid for other in self.rows[place + 1:] if other.uid), 1 << 32)
            if row.uid == uid or row.uid is None and before < uid < after:
                return place
            before = row.uid or before
        raise AssertionError(f"VANISHED {uid}, which was not there: {[row.uid for row in self.rows]}")

    def fetch(self, number, items):
        assert 1 <= number <= len(self.rows), f"FETCH {number} of {len(self.rows)}"
        row = self.rows[number - 1]
        items = re.sub(rb"BODY\[.*?\] (?:\{\d+\}\r\n.*|\"[^\"]*\")", b"", items, flags=re.DOTALL)       # always last here
        if uid := re.search(rb"UID (\d+)", items):
            uid = int(uid[1])
            assert row.uid in (None, uid), f"number {number} is UID {uid}, was {row.uid}"
            before = max((other.uid or 0 for other in self.rows[:number - 1]), default=0)
            after = min((other.uid or 1 << 32 for other in self.rows[number:]), default=1 << 32)
            assert before < uid < after, f"UID {uid} between {before} and {after}"
            row.uid = uid
        if flags := re.search(rb"FLAGS \(([^)]*)\)", items):
            row.flags = frozenset(flags[1].split()) - {b"\\Recent"}

    def hear(self, line, may_expunge):
        words = line.split(None, 3)
        if match := FETCH.fullmatch(line):
            self.fetch(int(match[1]), match[2])
        elif words[1] == b"SEARCH":
            self.searched = [int(word) for word in line.split()[2:]]
        elif words[1] == b"VANISHED":
            assert words[2] == b"(EARLIER)" or may_expunge, f"not now: {line}"
            if words[2] != b"(EARLIER)":
                self.vanish(numbers(words[2].strip()))
        elif words[2:3] and words[2].strip() == b"EXISTS":
            self.exists(int(words[1]))
        elif words[2:3] and words[2].strip() == b"EXPUNGE":
            assert may_expunge, f"not now: {line}"
            self.expunge(int(words[1]))


class Believer:
    """A session upon a client of imaplib that is logged in. Commands may be many at once; answers are taken in their order."""

    def __init__(self, client, mailbox="INBOX", enable=""):
        self.client, self.model, self.waiting = client, Model(), collections.deque()
        self.count, self.said = 0, collections.deque(maxlen=60)
        if enable:
            self.ask(f"ENABLE {enable}")
        self.select(mailbox)

    def select(self, mailbox):
        self.model = Model()
        self.ask(f"SELECT {mailbox}")

    def send(self, *commands):
        """All in one write."""
        data = b""
        for command in commands:
            command = command if isinstance(command, bytes) else command.encode()
            self.count += 1
            data += b"t%d %s\r\n" % (self.count, command)
            self.waiting.append((b"t%d" % self.count, command))
            self.said.append(b"C: t%d %s" % (self.count, command[:200]))
        self.client.send(data)

    def line(self):
        """A logical line, with its literals."""
        line = b""
        while True:
            piece = self.client.readline()
            assert piece, "the server closed"
            line += piece
            match = LITERAL.search(piece)
            if not match:
                self.said.append(b"S: " + line[:200].rstrip())
                return line
            line += self.client.read(int(match[1]))

    def hear(self):
        """Until the oldest command is answered; its answer."""
        tag, command = self.waiting[0]
        may_expunge = command.split()[0] not in WITHOUT_UID
        while True:
            line = self.line()
            if line.startswith(b"* "):
                self.model.hear(line, may_expunge)
            elif not line.startswith(b"+"):
                assert line.startswith(tag + b" "), f"{line} instead of the answer to {command}"
                self.waiting.popleft()
                return line[len(tag) + 1:]

    def ask(self, *commands, kindly=False):
        self.send(*commands)
        for command in commands:
            answer = self.hear()
            assert answer.startswith((b"OK", b"NO")) if kindly else answer.startswith(b"OK"), f"{command}: {answer}"
        return answer

    def idle(self, until):
        """Ends when `until()` says so, asked after each line."""
        self.send("IDLE")
        while not until():
            line = self.line()
            if line.startswith(b"* "):
                self.model.hear(line, True)
        self.client.send(b"DONE\r\n")
        self.hear()

    def view(self):
        return [(row.uid, row.flags) for row in self.model.rows]

    def prove(self):
        """What it believes is so: numbers, UIDs and flags, as far as they were told."""
        before = [(row, row.uid, row.flags) for row in self.model.rows]
        if before:
            self.ask("FETCH 1:* (UID FLAGS)")
        for row, uid, flags in before:
            assert uid in (None, row.uid) and flags in (None, row.flags), f"believed {uid} {flags}, is {row.uid} {row.flags}"
        self.ask("SEARCH ALL")
        assert self.model.searched == list(range(1, len(self.model.rows) + 1))
        return self.view()
