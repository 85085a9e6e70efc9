#!/usr/bin/python3
"""bench/huge.py PROGRAM [MESSAGES ...]: what IMAP commands cost in mailboxes of 100,000 and 1,000,000 messages, and the ratios.

One server, one mailbox that is filled by APPEND (2,000 messages) and doubled by COPY. Figures are CPU milliseconds of the server, so that other load
counts little. The first SORT and THREAD read headers; those of copies are known from the message itself.
"""
import imaplib
import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "system"))
sys.dont_write_bytecode = True
os.environ["TAYORI_PROGRAM"] = str(pathlib.Path(sys.argv[1]).resolve())
from conftest import Server  # noqa: E402
from mail import imap  # noqa: E402

imaplib._MAXLINE = 1 << 30
for name in ("UIDBATCHES",):
    imaplib.Commands[name] = ("SELECTED",)
FOLDER = "/dev/shm/tayori-huge"
COMMANDS = [
    ("SELECT", "SELECT", "INBOX"),
    ("FETCH of the last 50: FLAGS ENVELOPE", "FETCH", "-50:*", "(FLAGS ENVELOPE)"),
    ("FETCH 1:* (FLAGS)", "FETCH", "1:*", "(FLAGS)"),
    ("UID FETCH PARTIAL -1:-50", "UID", "FETCH", "1:*", "(FLAGS)", "(PARTIAL -1:-50)"),
    ("UID FETCH CHANGEDSINCE (nothing)", "UID", "FETCH", "1:*", "(FLAGS)", "(CHANGEDSINCE 999999999)"),
    ("SEARCH RETURN (PARTIAL -1:-100)", "SEARCH", "RETURN", "(PARTIAL -1:-100)", "NOT DELETED"),
    ("SEARCH SINCE, COUNT", "SEARCH", "RETURN", "(COUNT)", "SINCE", "1-Jan-2026"),
    ("UIDBATCHES 5000", "UIDBATCHES", "5000"),
    ("SORT (ARRIVAL), COUNT", "SORT", "RETURN", "(COUNT)", "(ARRIVAL)", "UTF-8", "ALL"),
    ("SORT (SUBJECT), COUNT, first", "SORT", "RETURN", "(COUNT)", "(SUBJECT)", "UTF-8", "ALL"),
    ("SORT (SUBJECT), COUNT, again", "SORT", "RETURN", "(COUNT)", "(SUBJECT)", "UTF-8", "ALL"),
    ("THREAD REFERENCES", "THREAD", "REFERENCES", "UTF-8", "ALL"),
    ("STORE 1:* +FLAGS.SILENT", "STORE", "1:*", "+FLAGS.SILENT", "(\\Flagged)"),
]


def cpu_ms(server):
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def cost(server, client, words, repeat):
    before = cpu_ms(server)
    for _ in range(repeat):
        tag = client._new_tag()
        client.send(tag + b" " + " ".join(words).encode() + b"\r\n")
        while not (line := client.readline()).startswith(tag):
            assert line, "the server closed"
        assert line.split()[1] == b"OK", line
    return (cpu_ms(server) - before) / repeat


def fill(client, have, count):
    if have == 0:
        for first in range(0, 2000, 100):
            data = b""
            for i in range(first, first + 100):
                text = f"Subject: Re: subject {i * 7919 % 500}\r\nDate: {1 + i % 28} Jan 2026 10:00:00 +0000\r\nFrom: sender{i}@example.org\r\n" \
                       f"Message-ID: <{i}@example.org>\r\nReferences: <{i // 4}@example.org>\r\n\r\nbody {i}\r\n".encode()
                data += b" {%d+}\r\n%s" % (len(text), text)
            tag = client._new_tag()
            client.send(tag + b" APPEND INBOX" + data + b"\r\n")
            while not (line := client.readline()).startswith(tag):
                pass
            assert b" OK" in line, line
        have = 2000
    client.select("INBOX")
    while have < count:
        more = min(have, count - have)
        assert client.copy(f"1:{more}", "INBOX")[0] == "OK"
        have += more
    return have


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    server = Server(FOLDER).start()
    server.add_domain()
    server.add_account("hanako@example.test")
    sizes, have, rows = [int(n) for n in sys.argv[2:]] or [100000, 1000000], 0, {}
    try:
        client = imap(server)
        for size in sizes:
            have = fill(client, have, size)
            client.select("INBOX")
            for name, *words in COMMANDS:
                words = [word.replace("-50:*", f"{size - 49}:{size}") for word in words]
                rows.setdefault(name, []).append(cost(server, client, words, 1 if "first" in name or "1:*" in words or size > 200000 else 3))
            status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
            rows.setdefault("resident MiB", []).append(int(status.split("VmRSS:")[1].split()[0]) / 1024)
        for name, values in rows.items():
            print(f"{name:45}" + "".join(f"{value:12.1f}" for value in values) + f"   x{values[-1] / max(values[0], 0.1):.1f}")
    finally:
        server.stop()
        shutil.rmtree(FOLDER, ignore_errors=True)


main()
