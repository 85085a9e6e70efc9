"""Old messages go to the archive, another folder or pool, and clients see nothing of it."""
import re
import time

import pytest

from conftest import listeners
from mail import fetch_all, imap, message, send

ACCOUNT = "hanako@example.test"
OLD, YOUNG = 30, 10
LARGE = ("zoo " * 17 + "\r\n") * 2000                 # no word too long for the index: such messages are read
ITEMS = "(UID FLAGS INTERNALDATE RFC822.SIZE MODSEQ EMAILID SAVEDATE ENVELOPE BODYSTRUCTURE)"


@pytest.fixture
def archived(new_server, tmp_path, store):
    """A server with an archive. Locally another folder; of a cluster another namespace."""
    server = new_server("var", **({} if store else {"config": tmp_path / "var.conf"}))
    if not store:
        server.config.write_text(f'store {{ archive_directory = "{tmp_path / "cold"}" }}\n{listeners(server.base)}')
    server.start()
    server.add_domain()
    server.add_account(ACCOUNT)
    return server


def metric(server, name):
    return int(re.search(rf"^tayori_{name} (\d+)", server.metrics(), re.M).group(1))


def is_large(number):
    return number % 10 == 3


def fill(server):
    with imap(server) as client:
        for number in range(OLD + YOUNG):
            body = LARGE if is_large(number) else f"word{number} 東京都庁 and some text\r\n" * 20
            date = '"01-Feb-2020 10:00:00 +0900"' if number < OLD else '"01-Nov-2026 10:00:00 +0900"'
            assert client.append("INBOX", r"(\Seen)" if number % 3 else "", date, message(f"m{number}", body=body))[0] == "OK"


def look(client):
    """All that lists ask for."""
    assert client.noop()[0] == "OK"
    return client.uid("FETCH", "1:*", ITEMS)[1]


def search(client):
    found = [client.uid("SEARCH", None, "TEXT", f"word{n}")[1] for n in (1, 12, OLD + 1)]
    client.literal = "東京都".encode()
    found.append(client.uid("SEARCH", "CHARSET", "UTF-8", "TEXT")[1])
    return found


def archive(server, limit="365d"):
    server.command("account", "set", ACCOUNT, "--archive-after", limit)
    time.sleep(4.5)                          # for as long a row of the directory may be remembered
    server.command("account", "compact", ACCOUNT)


def shown(server):
    return server.command("account", "show", ACCOUNT, json_rows=True)[0]


@pytest.mark.both
def test_clients_see_nothing_of_it(archived):
    fill(archived)
    archived.command("account", "compact", ACCOUNT)
    assert shown(archived)["archived_messages"] == 0
    with imap(archived, select=None) as client, imap(archived) as other:
        client.enable("QRESYNC")
        assert client.select("INBOX")[0] == "OK"
        before, bodies, hits, digest = look(client), fetch_all(client), search(client), archived.command("account", "digest", ACCOUNT)
        assert len(bodies) == OLD + YOUNG and len(hits[3][0].split()) == (OLD + YOUNG) - (OLD + YOUNG) // 10
        other.noop()
        archive(archived)
        row = shown(archived)
        assert row["archived_messages"] == OLD and row["archive_after"] == "365d"
        assert row["archived_bytes"] > 3 * len(LARGE)
        assert metric(archived, "archived_messages_total") == OLD
        # Sessions that were open are told nothing, and what they ask for is as it was.
        other.untagged_responses.clear()
        assert other.noop()[0] == "OK" and not other.untagged_responses
        reads = metric(archived, "archive_reads_total")
        assert look(client) == before
        assert search(client) == hits
        assert metric(archived, "archive_reads_total") == reads, "lists and searches read the archive"
        assert fetch_all(client) == bodies
        assert metric(archived, "archive_reads_total") > reads
        assert archived.command("account", "digest", ACCOUNT) == digest
        # A session that comes back is told of no change.
        validity = client.response("UIDVALIDITY")[1][-1].decode()
        tag = client._new_tag()
        highest = max(int(n) for n in re.findall(rb"MODSEQ \((\d+)\)", b" ".join(i if isinstance(i, bytes) else i[0] for i in before)))
        client.send(tag + f' SELECT INBOX (QRESYNC ({validity} {highest}))\r\n'.encode())
        lines = []
        while not (line := client.readline()).startswith(tag):
            lines.append(line)
        assert not [line for line in lines if b"FETCH" in line or b"VANISHED" in line], lines
    archived.command("store", "verify")


@pytest.mark.both
def test_what_is_in_the_archive_is_like_any_other_message(archived):
    fill(archived)
    archive(archived)
    with imap(archived) as client:
        bodies = fetch_all(client)
        assert client.create("Other")[0] == "OK"
        assert client.copy("1:5", "Other")[0] == "OK"
        assert client.uid("MOVE", "6:10", "Other")[0] == "OK"
        client.uid("STORE", "11:14", "+FLAGS", r"(\Deleted)")
        client.expunge()
        assert client.select("Other")[0] == "OK"
        assert list(fetch_all(client).values()) == [bodies[uid] for uid in range(1, 11)]
    archived.command("account", "compact", ACCOUNT)
    assert archived.command("account", "restore", ACCOUNT, json_rows=True)[0]["restored"] == 4
    with imap(archived) as client:
        assert sorted(fetch_all(client).values()) == sorted(bodies[uid] for uid in bodies if not 6 <= uid <= 10)
    archived.stop()
    archived.start()
    with imap(archived, select="Other") as client:
        assert list(fetch_all(client).values()) == [bodies[uid] for uid in range(1, 11)]
    # A longer limit brings nothing back, and takes nothing more.
    moved = shown(archived)["archived_messages"]
    archive(archived, "never")
    assert shown(archived)["archived_messages"] == moved > 0


@pytest.mark.both
def test_a_tenants_limit_is_its_accounts_unless_they_have_their_own(archived):
    archived.add_account("own@example.test")
    archived.command("account", "set", "own@example.test", "--archive-after", "never")
    with imap(archived) as mine, imap(archived, "own@example.test") as own:
        for client in (mine, own):
            client.append("INBOX", "", '"01-Feb-2020 10:00:00 +0900"', message("old"))
    archived.command("tenant", "set", "default", "--archive-after", "30d")
    time.sleep(4.5)
    archived.command("store", "upkeep", "start")
    deadline = time.monotonic() + 60
    while shown(archived)["archived_messages"] != 1:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert archived.command("account", "show", "own@example.test", json_rows=True)[0]["archived_messages"] == 0
    assert archived.command("tenant", "show", "default", json_rows=True)[0]["archive_after"] == "30d"
    assert archived.command("account", "set", ACCOUNT, "--archive-after", "soon", check=False).returncode != 0


@pytest.mark.local
def test_an_archive_that_is_away_concerns_its_messages_alone(archived, tmp_path):
    fill(archived)
    archive(archived)
    with imap(archived) as client:
        bodies = fetch_all(client)
    with imap(archived) as client:           # to which nothing is recent
        before = look(client)
    archived.stop()
    (tmp_path / "cold").rename(tmp_path / "elsewhere")
    archived.start()
    with imap(archived) as client:
        status, text = client.uid("FETCH", "1", "(BODY.PEEK[])")
        assert status == "NO" and b"UNAVAILABLE" in text[0], text
        assert client.uid("FETCH", "4", "(BODY.PEEK[])")[0] == "NO"
        assert look(client) == before
        assert client.uid("FETCH", f"{OLD + 1}", "(BODY.PEEK[])")[0] == "OK"
        assert client.append("INBOX", "", None, message("new"))[0] == "OK"
        client.uid("STORE", "1:3", "+FLAGS", r"(\Flagged)")
    send(archived, message("more"))
    archived.command("account", "compact", ACCOUNT)
    assert archived.command("store", "verify", check=False).returncode != 0
    assert "store_archive_away" in archived.metrics()
    (tmp_path / "elsewhere").rename(tmp_path / "cold")
    time.sleep(5.5)
    with imap(archived) as client:
        again = fetch_all(client)
        assert {uid: again[uid] for uid in bodies} == bodies
    archived.command("store", "verify")


@pytest.mark.local
def test_backups_have_the_archive(archived, new_server, tmp_path):
    fill(archived)
    archive(archived)
    archived.command("store", "backup", tmp_path / "backup")
    with imap(archived) as client:
        bodies = fetch_all(client)
    other = new_server("other", config=tmp_path / "other.conf")
    assert other.command("store", "restore", tmp_path / "backup", check=False).returncode == 1       # where is its archive to be?
    other.config.write_text(archived.config.read_text().replace(str(tmp_path / "cold"), str(tmp_path / "cold2")).replace(str(archived.base // 100), str(other.base // 100)))
    other.command("store", "restore", tmp_path / "backup", "--config", other.config)
    archived.stop()
    other.start()
    with imap(other) as client:
        assert fetch_all(client) == bodies
    other.command("store", "verify")
