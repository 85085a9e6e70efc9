#!/usr/bin/python3
"""One large mailbox: Tayori against Dovecot and Cyrus from Debian, with the same messages, in turn, on this machine.

    bench/large_imap.py                        100,000 messages, medians of three, and of nine where that takes little time
    bench/large_imap.py --quick                5,000, once: whether it works
    bench/large_imap.py --messages 1000000 --pause
                                               fills all three, and waits for Enter: only what follows wants a quiet machine
    bench/large_imap.py --only Tayori --messages 1000000

As root, with a release build in build/; nothing else should run meanwhile. Times are those of one client from its command to the tagged answer, in
milliseconds, in a session that has the mailbox open. "First" is after a restart of the server. What a search finds is said with its time, because
times compare only where hits do. Ratios are to the faster of the peers.
"""
import argparse
import contextlib
import datetime
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from servers import ROOT, WORK, Cyrus, Dovecot, Tayori, shell  # noqa: E402

WORDS = [f"word{i}" for i in range(2000)]
JAPANESE = ["会議", "資料", "請求書", "お知らせ", "明日", "東京", "出張", "確認", "お願い", "返信", "契約", "予定", "来週", "添付", "会社"]
BATCH = 100
SHORT_MS, SHORT_RUNS = 250, 9               # what takes less is asked so often: the second of three still warms up
LONG_MS = 60000                              # what takes more is asked once
TAIL = 4096                                  # of an answer whose text is not looked at


def make(i, first_day=datetime.date(2020, 1, 1)):
    """Message i: the same bytes for every server."""
    rng = random.Random(i)
    day = first_day + datetime.timedelta(days=i // 50)
    subject = "needle " if i % 1000 == 7 else ""
    subject += " ".join(rng.choices(WORDS, k=5))
    references = f"References: <{i // 8}@example.org> <{max(i - 1, 0)}@example.org>\r\n" if i % 8 else ""
    body = "".join(" ".join(rng.choices(WORDS, k=10)) + "\r\n" for _ in range(rng.randint(20, 60)))
    body += "".join("".join(rng.choices(JAPANESE, k=12)) + "。\r\n" for _ in range(8))
    if i % 2000 == 11:
        body += "haystack 秘密の暗号\r\n"
    head = (f"From: Sender {i % 500} <sender{i % 500}@example.org>\r\nTo: u0@example.test\r\nSubject: {subject}\r\n"
            f"Date: {day:%a, %d %b %Y} 10:{i % 60:02}:00 +0900\r\nMessage-ID: <{i}@example.org>\r\n{references}"
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
    return f'"{day:%d-%b-%Y} 10:{i % 60:02}:00 +0900"', (head + body).encode()


class Client:
    def __init__(self, server, user):
        self.socket = socket.create_connection(("127.0.0.1", server.ports["imap"]), timeout=900)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = memoryview(bytearray(256 << 10))
        self.count = 0
        self.socket.recv(4096)
        self.ask(f"LOGIN {user} secret")

    def wait(self, tag, keeps):
        """All that comes up to the line with the tag, which is the last of it, or the end of that: to gather 30 MB took as long as a server needs for them."""
        data = bytearray()
        while True:
            n = self.socket.recv_into(self.buffer)
            if n == 0:
                raise RuntimeError("the server closed")
            if not keeps:
                del data[:-TAIL]
            data += self.buffer[0 if keeps else max(0, n - TAIL):n]
            if not data.endswith(b"\r\n"):
                continue
            line = bytes(data[data.rfind(b"\n", 0, len(data) - 1) + 1:])
            if line.startswith(tag + b" "):
                if not line.startswith(tag + b" OK"):
                    raise RuntimeError(line[:200])
                return bytes(data)

    def ask(self, *commands, keeps=False):
        """Milliseconds until the last of them is answered, and the end of the answer, or all of it."""
        text = b""
        for command in commands:
            self.count += 1
            text += f"t{self.count} ".encode() + (command if isinstance(command, bytes) else command.encode()) + b"\r\n"
        began = time.monotonic()
        self.socket.sendall(text)
        answer = self.wait(f"t{self.count}".encode(), keeps)
        return (time.monotonic() - began) * 1000, answer

    def close(self):
        self.socket.close()


def user_of(server):
    return "u0" if isinstance(server, Cyrus) else "u0@example.test"


def appended(i):
    """Of MULTIAPPEND (RFC 3502), so that a server syncs once for many."""
    date, text = make(i)
    return f" (\\Seen) {date} {{{len(text)}+}}\r\n".encode() + text


def fill(server, count):
    client = Client(server, user_of(server))
    if isinstance(server, Cyrus):
        admin = Client(server, "admin")
        admin.ask("CREATE user/u0")
        admin.close()
    for first in range(0, count, BATCH):
        client.ask(b"APPEND INBOX" + b"".join(appended(i) for i in range(first, min(first + BATCH, count))))
    client.close()
    if isinstance(server, Tayori):
        shell(ROOT / "build" / "tayori", "account", "compact", "u0@example.test", "--dir", server.dir, "--config", server.dir / "tayori.conf", stdout=subprocess.DEVNULL)


def sets_of(numbers):
    """As sets that keep a command below the 8,192 octets of RFC 7162 §4."""
    return [",".join(map(str, numbers[i:i + 1000])) for i in range(0, len(numbers), 1000)]


@contextlib.contextmanager
def started(server):
    server.start()
    try:
        yield
    finally:
        server.stop()


def hits(answer):
    at = answer.rfind(b"* SEARCH")
    return len(answer[at:answer.find(b"\r\n", at)].split()) - 2 if at >= 0 else None


def measure(server, count, runs):
    """{row: (milliseconds, hits or None)}"""
    rows, rng = {}, random.Random(1)

    def note(name, times, found=None):
        rows[name] = (statistics.median(times), found)
        print(f"# {name}: {rows[name][0]:.2f} ms", file=sys.stderr, flush=True)

    def repeat(name, *commands, searches=False, times=runs):
        answers = [client.ask(*commands, keeps=searches)]
        if answers[0][0] < LONG_MS:
            answers += [client.ask(*commands, keeps=searches) for _ in range(times - 1)]
        if runs > 1 and sum(ms for ms, _ in answers) < times * SHORT_MS:
            answers += [client.ask(*commands, keeps=searches) for _ in range(max(0, SHORT_RUNS - times))]
        note(name, [ms for ms, _ in answers], hits(answers[-1][1]) if searches else None)

    listing = "FETCH 1:* (ENVELOPE RFC822.SIZE INTERNALDATE)"
    first = []
    for _ in range(runs):
        server.stop()
        server.start()
        client = Client(server, user_of(server))
        client.ask("SELECT INBOX")
        first.append(client.ask(listing)[0])
        client.close()
    client = Client(server, user_of(server))
    note("SELECT", [client.ask("SELECT INBOX")[0]])
    repeat("FETCH 1:* (FLAGS)", "FETCH 1:* (FLAGS)")
    note("envelope, size, date of all, first", first)
    repeat("envelope, size, date of all, again", listing)
    repeat("envelope, size, date of the last 50", f"FETCH {count - 49}:{count} (ENVELOPE RFC822.SIZE INTERNALDATE)", times=20)
    numbers = [rng.randint(1, count) for _ in range(1000)]
    repeat("1,000 random BODY.PEEK[], pipelined", *[f"FETCH {n} (BODY.PEEK[])" for n in numbers])
    repeat("SEARCH by date", f"SEARCH SINCE 1-Jan-{2020 + count // 50 // 365}", searches=True)
    repeat("SEARCH by subject", "SEARCH SUBJECT needle", searches=True)
    repeat("SEARCH of text, Latin", "SEARCH TEXT haystack", searches=True)
    text = "秘密の暗号".encode()
    repeat("SEARCH of text, Japanese", b"SEARCH CHARSET UTF-8 TEXT {%d+}\r\n%s" % (len(text), text), searches=True)
    repeat("SORT by date", "SORT (DATE) UTF-8 ALL")
    repeat("THREAD by references", "THREAD REFERENCES UTF-8 ALL")
    some = sets_of(sorted(rng.sample(range(1, count + 1), count // 100)))
    note("STORE of 1 %", [client.ask(*[f"STORE {numbers} {'+-'[i % 2]}FLAGS.SILENT (\\Flagged)" for numbers in some])[0] for i in range(2 * runs)])
    status = client.ask("STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ)", keeps=True)[1].decode()
    state = {name: re.search(rf"{name} (\d+)", status).group(1) for name in ("UIDVALIDITY", "HIGHESTMODSEQ")}
    client.ask(*[f"STORE {numbers} +FLAGS.SILENT (\\Answered)" for numbers in sets_of(sorted(rng.sample(range(1, count + 1), min(1000, count // 2))))])
    client.close()
    times = []
    for _ in range(runs):
        client = Client(server, user_of(server))
        client.ask("ENABLE QRESYNC")
        times.append(client.ask(f"SELECT INBOX (QRESYNC ({state['UIDVALIDITY']} {state['HIGHESTMODSEQ']}))")[0])
        client.close()
    note("QRESYNC after 1,000 changes", times)
    rows["memory of the server, MB"] = (server.memory_kb() / 1024, None)
    return rows


def show(results):
    names = list(results)
    print(f"{'':40}" + "".join(f"{name:>18}" for name in names) + (f"{'ratio':>9}" if "Tayori" in names and len(names) > 1 else ""))
    for row in results[names[0]]:
        cells = [results[name].get(row) for name in names]
        line = f"{row:40}" + "".join(f"{'':>18}" if not c else f"{c[0]:12.2f}" + (f" ({c[1]})".ljust(6) if c[1] is not None else " " * 6) for c in cells)
        peers = [c[0] for name, c in zip(names, cells) if name != "Tayori" and c]
        own = results.get("Tayori", {}).get(row)
        print(line + (f"{min(peers) / max(own[0], 0.001):9.1f}" if own and peers else ""))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--messages", type=int, default=100000)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--pause", action="store_true", help="between filling and measuring")
    options.add_argument("--only", default="Tayori,Dovecot,Cyrus", help="of Tayori, Dovecot, Cyrus")
    options = options.parse_args()
    if options.quick:
        options.messages, options.runs = min(options.messages, 5000), 1
    shell(ROOT / "tools" / "install-packages", "bench")
    WORK.mkdir(parents=True, exist_ok=True)
    results, servers = {}, [kind() for kind in (Tayori, Dovecot, Cyrus) if kind.__name__ in options.only.split(",")]
    for server in servers:
        server.prepare()
        with started(server):
            began = time.monotonic()
            fill(server, options.messages)
            print(f"# {type(server).__name__}: {options.messages} messages in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    if options.pause:
        input("filled; Enter measures: ")
    for server in servers:
        print(f"# {type(server).__name__}", file=sys.stderr, flush=True)
        with started(server):
            results[type(server).__name__] = measure(server, options.messages, options.runs)
    for server in servers:
        shutil.rmtree(server.dir, ignore_errors=True)
    show(results)


if __name__ == "__main__":
    main()
