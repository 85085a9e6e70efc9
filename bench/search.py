#!/usr/bin/python3
"""bench/search.py PROGRAM [MESSAGES ...], or --mbox MESSAGES FILE: what SEARCH by texts costs, with the index and how large that is, in mailboxes of 100,000 and 1,000,000 messages.

Messages of about 2 KB, half in English (Zipf's words), half in Japanese (ISO-2022-JP, Shift_JIS, UTF-8 in base64), with the header fields of mail that came
by three servers. Needles are planted: what each search must find is known. For each search: hits, CPU milliseconds of the server, and the time as its
client sees it; the first one of all opens the index. Beside it: bytes of the index for each message (segments that are out of use count too, for the
hour that they are kept). What making it costs of CPU tells bench-segment, of a file that --mbox wrote.
"""
import base64
import imaplib
import os
import pathlib
import random
import shutil
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "system"))
sys.dont_write_bytecode = True
if sys.argv[1] != "--mbox":
    os.environ["TAYORI_PROGRAM"] = str(pathlib.Path(sys.argv[1]).resolve())
from conftest import Server  # noqa: E402
from mail import imap  # noqa: E402

imaplib._MAXLINE = 1 << 30
FOLDER = "/dev/shm/tayori-search-bench"
USER = "hanako@example.test"
RNG = random.Random(7)
SYLLABLES = "ka to mi ra ne so vel der ing on pre tra con al est um bri".split()
LATIN = list({"".join(RNG.choices(SYLLABLES, k=RNG.randint(1, 4))) for _ in range(40000)})
KANJI = "日本東京会議資料確認送付連絡予定変更注文商品配送料金請求担当部長営業開発設計試験結果報告問題解決方法来週今月年度案内情報技術管理"
KANA = ["ありがとうございます", "よろしくお願いします", "について", "です", "ください", "ました", "なりますので", "こちら", "には", "から", "まで", "の", "を", "は"]
KATAKANA = ["メール", "システム", "サーバー", "データ", "ファイル", "プロジェクト", "スケジュール", "ミーティング", "アカウント"]
JAPANESE = ["".join(RNG.choices(KANJI, k=RNG.randint(2, 4))) for _ in range(20000)]
# share of messages, and where
PLANTED = {"zanzibar": 0.001, "phosphor": 0.01, "回覧板": 0.001, "祇園": 0.01, "オーロラ便": 0.005}


def zipf(words):
    return words[min(int(len(words) ** RNG.random()) - 1, len(words) - 1)]


def token(length):
    return "".join(RNG.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=length))


def make(number):
    """A message, and which planted words it has in subject and body."""
    is_japanese = number % 2 == 1
    planted = [w for w, share in PLANTED.items() if (ord(w[0]) > 0x3000) == is_japanese and RNG.random() < share * 2]
    if is_japanese:
        subject = zipf(JAPANESE) + "の" + zipf(JAPANESE)
        words = [RNG.choice(KANA) if i % 3 == 1 else RNG.choice(KATAKANA) if i % 7 == 0 else zipf(JAPANESE) for i in range(RNG.randint(40, 300))]
    else:
        subject = " ".join(zipf(LATIN) for _ in range(5))
        words = [zipf(LATIN) for _ in range(RNG.randint(60, 500))]
    in_subject = number % 997 == 0
    if in_subject:
        subject += " quetzal"
    for place, word in zip(RNG.sample(range(len(words)), len(planted)), planted):
        words[place] = word
    body = ("" if is_japanese else " ").join(w + ("。\r\n" if is_japanese and i % 12 == 11 else "\r\n" if i % 12 == 11 else "") for i, w in enumerate(words))
    charset = ["iso-2022-jp", "utf-8", "shift_jis"][number // 2 % 3] if is_japanese else "us-ascii"
    raw = body.encode(charset, "replace")
    coding = "7bit" if charset in ("iso-2022-jp", "us-ascii") else "base64"
    if coding == "base64":
        raw = base64.encodebytes(raw).replace(b"\n", b"\r\n")
    encoded = f"=?utf-8?B?{base64.b64encode(subject.encode()).decode()}?=" if is_japanese else subject
    received = "".join(f"Received: from mx{k}.example.org (mx{k}.example.org [192.0.2.{k}])\r\n\tby in{k}.example.test with ESMTPS id {token(11)}\r\n"
                       f"\tfor <{USER}>; Sun, 22 Nov 2026 09:00:{k:02} +0900\r\n" for k in range(3))
    head = (f"{received}DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s1; h=from:to:subject:date;\r\n\tbh={token(43)}=;\r\n\tb={token(340)}==\r\n"
            f"From: Sender {number % 500} <sender{number % 500}@example.org>\r\nTo: <{USER}>\r\nSubject: {encoded}\r\n"
            f"Date: Sun, 22 Nov 2026 09:00:00 +0900\r\nMessage-ID: <{token(20)}.{number}@mail.example.org>\r\nMIME-Version: 1.0\r\n"
            f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {coding}\r\n\r\n")
    return head.encode() + raw + b"\r\n", planted, in_subject


def write_mbox(count, path):
    with open(path, "wb") as out:
        for number in range(count):
            out.write(b"From a Sun Nov 22 09:00:00 2026\n" + make(number)[0] + b"\n")


def cpu_ms(server):
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def search(server, client, words, literal, repeat):
    """Hits, CPU and elapsed milliseconds of one."""
    before, began, found = cpu_ms(server), time.monotonic(), b""
    for _ in range(repeat):
        tag = client._new_tag()
        client.send(tag + b" SEARCH CHARSET UTF-8 " + words.encode() + b" {%d+}\r\n%s\r\n" % (len(literal.encode()), literal.encode()))
        while not (line := client.readline()).startswith(tag):
            assert line, "the server closed"
            if line.startswith(b"* SEARCH"):
                found = line
        assert line.split()[1] == b"OK", line
    return len(found.split()) - 2, (cpu_ms(server) - before) / repeat, (time.monotonic() - began) * 1000 / repeat


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    server = Server(FOLDER).start()
    server.add_domain()
    server.add_account(USER)
    sizes, have, expected, stored = [int(n) for n in sys.argv[2:]] or [100000, 1000000], 0, {}, 0
    try:
        for size in sizes:
            began = cpu_ms(server)
            while have < size:
                path = pathlib.Path(FOLDER) / "part.mbox"
                with open(path, "wb") as out:
                    for number in range(have, min(have + 20000, size)):
                        data, planted, in_subject = make(number)
                        for word in planted + (["quetzal"] if in_subject else []):
                            expected[word] = expected.get(word, 0) + 1
                        stored += len(data)
                        out.write(b"From a Sun Nov 22 09:00:00 2026\n" + data + b"\n")
                server.command("import", "mbox", str(path), "--to", USER)
                have = min(have + 20000, size)
            imported = cpu_ms(server) - began
            server.command("account", "compact", USER)
            for _ in range(20):
                before = cpu_ms(server)
                server.command("account", "compact", USER)
                if cpu_ms(server) - before < 100:
                    break
            folded = cpu_ms(server) - began - imported
            objects = {}
            for path in pathlib.Path(FOLDER).rglob("[ips]-" + "?" * 32):
                objects[path.name[0]] = objects.get(path.name[0], 0) + path.stat().st_size
            count = len(list(pathlib.Path(FOLDER).rglob("i-" + "?" * 32)))
            print(f"{size} messages of {stored // size} bytes: import {imported * 1000 / size:.0f} us of CPU each, last folding {folded:.0f} ms; for each message "
                  f"{objects.get('p', 0) / size:.0f} bytes of packs, {objects.get('i', 0) / size:.0f} of index in {count} objects")
            client = imap(server)
            for name, words, literal, wanted in [("opens the index", "TEXT", "phosphor", expected["phosphor"]), ("subject", "SUBJECT", "quetzal", expected["quetzal"]),
                                                 ("Latin, rare", "TEXT", "zanzibar", expected["zanzibar"]), ("Latin, part of a word", "TEXT", "anziba", expected["zanzibar"]),
                                                 ("Latin, 1 %", "TEXT", "phosphor", expected["phosphor"]), ("body, Latin", "BODY", "phosphor", expected["phosphor"]),
                                                 ("Japanese, two characters", "TEXT", "祇園", expected["祇園"]), ("Japanese, three", "TEXT", "回覧板", expected["回覧板"]),
                                                 ("Japanese, two scripts", "TEXT", "オーロラ便", expected["オーロラ便"]), ("address", "FROM", "sender77@example.org", size // 500),
                                                 ("two words", "SUBJECT", zipf(LATIN) + " quetzal", None), ("nothing", "TEXT", "nowhere-to-be-found", 0)]:
                hits, cpu, elapsed = search(server, client, words, literal, 1 if "opens" in name else 3)
                print(f"    {name:28}{hits:8} hits {cpu:9.1f} ms CPU {elapsed:9.1f} ms" + ("" if wanted is None or hits == wanted else f"  WRONG: {wanted} expected"))
            status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
            print(f"    resident {int(status.split('VmRSS:')[1].split()[0]) // 1024} MiB")
            client.logout()
    finally:
        server.stop()
        shutil.rmtree(FOLDER, ignore_errors=True)


if sys.argv[1] == "--mbox":
    write_mbox(int(sys.argv[2]), sys.argv[3])
else:
    main()
