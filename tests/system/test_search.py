"""Searches for texts: with an index, without, and with one that is damaged, all with the same hits."""
import base64
import pathlib

import pytest
from conftest import TESTDATA
from mail import imap

NEEDLES = ["東京", "会議", "東京都", "テスト", "ﾃｽﾄ", "メール", "です", "お願い", "日", "ありがとう", "Subject", "test", "example.jp", "ISO", "添付", "本文です", "こんにちは", "の", "=?", "a b"]


def encoded(subject, body, charset, coding):
    raw = body.encode(charset)
    text = base64.encodebytes(raw).replace(b"\n", b"\r\n") if coding == "base64" else raw
    word = base64.b64encode(subject.encode(charset)).decode()
    return (f"From: =?{charset}?B?{base64.b64encode('山田太郎'.encode(charset)).decode()}?= <taro.yamada@example.jp>\r\nTo: hanako@example.test\r\n"
            f"Subject: =?{charset}?B?{word}?=\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset={charset}\r\n"
            f"Content-Transfer-Encoding: {coding}\r\n\r\n").encode() + text + b"\r\n"


def made_messages():
    yield encoded("会議のお知らせ", "東京都の会議室で打ち合わせをします。", "iso-2022-jp", "7bit")
    yield encoded("請求書の件", "ｶﾀｶﾅのテストです。東京タワー", "cp932", "base64")
    yield encoded("Re: 旅行", "京都と大阪へ行きます。", "euc-jp", "base64")
    yield encoded("資料送付", "添付の資料をご確認ください。", "utf-8", "base64")
    yield encoded("long", "あ" * 40 + "東京" + "漢" * 30 + "会議", "utf-8", "base64")
    html = "<html><style>p{color:red}</style><p>明日の<b>会</b>議は&nbsp;中止です</p></html>"
    yield encoded("HTML", html, "utf-8", "base64").replace(b"text/plain", b"text/html")
    yield encoded("large", "東京の大きな" + "手紙 letter\r\n" * 8000, "utf-8", "base64")
    yield b"Subject: plain\r\nFrom: bob@example.org\r\n\r\nHello wonderful World, anti-disestablishment. a b\r\n"


def hits(client, key, needle, *more):
    literal = needle.encode()
    tag = client._new_tag()
    client.send(tag + b" UID SEARCH CHARSET UTF-8 " + key.encode() + b" {%d+}\r\n%s" % (len(literal), literal) + "".join(more).encode() + b"\r\n")
    found = None
    while not (line := client.readline()).startswith(tag):
        if line.startswith(b"* SEARCH"):
            found = line.split()[2:]
    assert line.split()[1] == b"OK", line
    return found


def all_hits(client, needles=NEEDLES[:5]):
    found = {(key, needle): hits(client, key, needle) for needle in needles for key in ("TEXT", "BODY", "SUBJECT", "FROM", "NOT TEXT", "OR SUBJECT x BODY")}
    found["and not"] = hits(client, "TEXT", "東京", " NOT BODY x")
    return found


def segments(server):
    return list(pathlib.Path(server.folder).rglob("i-" + "[0-9a-f]" * 32))


def fill(server):
    client = imap(server)
    samples = [path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for path in sorted((TESTDATA / "japanese").rglob("*.eml"))][:300]
    for data in [*made_messages(), *samples]:
        assert client.append("INBOX", None, None, data)[0] == "OK"
    client.select("INBOX")
    return client


@pytest.mark.local
def test_search_finds_the_same_with_and_without_an_index(server):
    client = fill(server)
    scanned = all_hits(client, NEEDLES)
    assert scanned["TEXT", "東京"][:2] == [b"1", b"2"] and scanned["BODY", "会議"][:3] == [b"1", b"5", b"6"]
    assert scanned["TEXT", "ﾃｽﾄ"] == scanned["TEXT", "テスト"]
    server.command("account", "compact", "hanako@example.test")
    assert segments(server)
    assert all_hits(client, NEEDLES) == scanned
    # what comes now is found at once
    assert client.append("INBOX", None, None, encoded("新着", "東京の新着", "utf-8", "base64"))[0] == "OK"
    client.noop()
    assert hits(client, "TEXT", "東京")[:-1] == scanned["TEXT", "東京"]
    client.logout()


@pytest.mark.local
@pytest.mark.parametrize("harm", ["removed", "cut", "changed"])
def test_search_does_without_what_is_damaged_and_mends_it(server, harm):
    client = fill(server)
    scanned = all_hits(client)
    client.logout()
    server.command("account", "compact", "hanako@example.test")
    before = {path.name for path in segments(server)}
    server.stop()
    for path in segments(server):
        data = bytearray(path.read_bytes())
        path.unlink()
        if harm == "cut":
            path.write_bytes(data[:-7])
        elif harm == "changed":
            data[20:len(data) // 2:50] = bytes(len(data[20:len(data) // 2:50]))
            path.write_bytes(data)
    server.start()
    client = imap(server)
    assert all_hits(client) == scanned
    server.command("account", "compact", "hanako@example.test")
    assert {path.name for path in segments(server)} - before
    assert all_hits(client) == scanned
    assert "account_index_damaged" in server.log_text()
    client.logout()
