#!/usr/bin/python3
"""What accounts cost on a cluster: a small case measured, and the arithmetic for many.

    tools/test-cluster start /dev/shm/bench-ceph; TAYORI_TEST_CEPH=/dev/shm/bench-ceph/ceph.conf bench/capacity.py [PROGRAM]
    bench/capacity.py --figures FILE          the table alone, from figures that a run before has printed

The assumptions stand in ASSUMED; change them to those of a provider. doc/operations/cluster.md has a run of it.
"""
import base64
import json
import math
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
OSDS = 3
KEY_BYTES = 32                   # of an account's row; an address's is about as long
ROWS = 20000                     # accounts without mail
MAILBOXES, MESSAGES, MESSAGE_BYTES = 40, 50, 20000
IDLE = 500                       # IMAP sessions in IDLE, each of an account of its own

ASSUMED = {
    "active": 0.6,               # accounts that have mail
    "messages": 3000,            # kept by each of them
    "small_bytes": 13000,        # mean of messages up to 64 KiB, which stand in packs
    "large_bytes": 600000,       # mean of those above, which are objects of their own
    "large_share": 0.08,
    "received_a_day": 20,        # by each of them
    "logins_a_day": 40,          # POP3 polls and IMAP log-ins
    "idle_at_once": 0.15,        # IMAP sessions open
    "peak": 3,                   # of the busiest hour over the mean
    "k": 4, "m": 2, "size": 3,
    "piece_db_bytes": 1000,      # of an OSD's database for each piece of an object: BlueStore's onode
    "row_overhead": 1.5,         # of rows in it: keys of its own, and what waits for compaction
    "full": 0.70,                # of a disk, so that what a lost host held has room
    "osd_bytes": 16e12, "osds_a_host": 12,
    "node_cores": 16, "core_share": 0.5,
}


# ---- the small case ----

def osd_figures(ceph_config):
    """Bytes that the OSDs have allocated for objects, all together."""
    total = {"data": 0}
    for number in range(OSDS):
        socket = pathlib.Path(ceph_config).parent / "run" / f"osd.{number}.asok"
        figures = json.loads(subprocess.run(["ceph", "--admin-daemon", str(socket), "perf", "dump"], check=True, capture_output=True).stdout)
        total["data"] += figures["bluestore"]["bluestore_allocated"]
    return total


def grown(ceph_config, action):
    before = osd_figures(ceph_config)
    action()
    after = osd_figures(ceph_config)
    return {key: after[key] - before[key] for key in after}


def rows_of(store):
    """Rows to an account, and their mean bytes of key and value, by a sample of the tables' shards."""
    rows = size = 0
    names = [f"{table}.{shard}" for table in ("account", "address") for shard in range(0, 256, 16)]
    for name in names:
        line = ["rados", "-c", store.ceph_config, "-p", "tayori", "-N", f"{store.name}.t", "listomapvals", name]
        text = subprocess.run(line, capture_output=True, text=True, errors="replace").stdout
        values = re.findall(r"^value \((\d+) bytes\)", text, re.M)
        rows += len(values)
        size += sum(map(int, values)) + KEY_BYTES * len(values)
    return rows * 16 / ROWS, size / rows


def mail(number):
    """Half text, half what does not compress, as mail with attachments is."""
    chance = random.Random(number)
    words = [str(base64.b32encode(chance.randbytes(5)), "ascii").lower() for _ in range(400)]
    text = "\r\n".join(" ".join(chance.choices(words, k=10)) for _ in range(MESSAGE_BYTES // 2 // 91))
    attachment = base64.encodebytes(chance.randbytes(MESSAGE_BYTES // 2 * 3 // 4)).decode().replace("\n", "\r\n")
    return f"From: <you@example.org>\r\nTo: <all@example.test>\r\nSubject: message {number}\r\n\r\n{text}\r\n{attachment}".encode()


def resident_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def idle_sessions(server, users, imap):
    clients = []
    for user in users:
        client = imap(server, user=user)
        client.send(b"x IDLE\r\n")
        client.readline()
        clients.append(client)
    return clients


def measure():
    sys.path.insert(0, str(ROOT / "tests" / "system"))
    from conftest import PASSWORD, RadosStore, Server
    from mail import imap, send
    ceph_config = os.environ["TAYORI_TEST_CEPH"]
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        store = RadosStore(ceph_config)
        server = Server(f"{folder}/a", options=["--roles", "smtp,imap,http"], store=store, settings='access { plaintext_login = "always" }\n').start()
        server.add_domain()
        lines = pathlib.Path(folder) / "accounts"
        hashed = "{CRYPT}$6$rounds=5000$0123456789abcdef$" + "x" * 86
        lines.write_text("".join(json.dumps({"address": f"row{i}@example.test", "password": hashed, "quota": "5G"}) + "\n" for i in range(ROWS)))
        server.command("account", "load", lines)
        figures["rows_an_account"], figures["row_bytes"] = rows_of(store)
        users = [f"u{i}@example.test" for i in range(max(MAILBOXES, IDLE))]
        lines.write_text("".join(json.dumps({"address": user, "password": "{PLAIN}" + PASSWORD}) + "\n" for user in users))
        server.command("account", "load", lines)

        def deliver():
            for number in range(MESSAGES):
                send(server, mail(number), to=users[:MAILBOXES])

        def compact():
            for user in users[:MAILBOXES]:
                server.command("account", "compact", user)
        count = MAILBOXES * MESSAGES
        wire = sum(len(mail(number)) for number in range(MESSAGES)) / MESSAGES
        delivered = grown(ceph_config, deliver)
        compacted = grown(ceph_config, compact)
        names = store.rados("ls", text=True).split()
        figures["message_bytes"] = wire
        figures["journal_bytes_a_message"] = delivered["data"] / count
        figures["kept_bytes_a_message"] = (delivered["data"] + compacted["data"]) / count
        figures["objects_an_account"] = len(names) / MAILBOXES
        server.stop()
        server.start()
        before = resident_bytes(server.process.pid)
        clients = idle_sessions(server, users[:IDLE], imap)
        figures["idle_session_bytes"] = (resident_bytes(server.process.pid) - before) / IDLE
        for client in clients:
            client.shutdown()
        server.stop()
    return figures


# ---- the arithmetic ----

def amount(number):
    for unit in ("", "K", "M", "G", "T", "P"):
        if abs(number) < 1000:
            return f"{number:.3g} {unit}".strip()
        number /= 1000
    return f"{number:.3g} E"


TEST_CODE = 1.5                  # of the test cluster's object pool, 2+1
INDEX_ROW_BYTES = 120
PACK_BYTES = 4 << 20             # compaction folds a journal when it has grown by so much: accounts_options.compact_journal_bytes
CPU_S = {"delivery": 0.0004, "login": 0.0006}     # of a node, measured on the local engine (doc/figures.md); the cluster's client adds about as much again
CLIENT_FACTOR = 2
REPLICATED_OP_CPU_S = 0.0015     # of all OSDs together for an append, three copies
SECONDS_A_DAY = 86400


def scale(accounts, f, a):
    active = accounts * a["active"]
    messages = active * a["messages"]
    code = (a["k"] + a["m"]) / a["k"]
    packed = f["kept_bytes_a_message"] / f["message_bytes"] / TEST_CODE          # zstd, indexes and padding
    small, large = messages * (1 - a["large_share"]), messages * a["large_share"]
    mean_bytes = (1 - a["large_share"]) * a["small_bytes"] + a["large_share"] * a["large_bytes"]
    raw = (small * a["small_bytes"] * packed + large * a["large_bytes"]) * code
    osds = max(math.ceil(raw / a["full"] / a["osd_bytes"]), a["osds_a_host"] * (a["k"] + a["m"] + 1))
    packs = max(active, small * a["small_bytes"] / PACK_BYTES)
    stored = active + packs + large                                  # snapshots, packs, large messages
    pieces = active * a["size"] + stored * (a["k"] + a["m"])         # journals are replicated
    rows = accounts * f["rows_an_account"]
    db = pieces * a["piece_db_bytes"] + (rows * f["row_bytes"] + stored * INDEX_ROW_BYTES) * a["size"] * a["row_overhead"]
    received_s = active * a["received_a_day"] / SECONDS_A_DAY * a["peak"]
    logins_s = active * a["logins_a_day"] / SECONDS_A_DAY * a["peak"]
    cpu = (received_s * CPU_S["delivery"] + logins_s * CPU_S["login"]) * CLIENT_FACTOR
    idle = accounts * a["idle_at_once"]
    nodes = max(3, math.ceil(cpu / (a["node_cores"] * a["core_share"])) + 1, math.ceil(idle / 100000) + 1)
    bytes_s = received_s * mean_bytes
    replicated_s = received_s * ((1 - a["large_share"]) * a["small_bytes"] + 500)
    coded_s = received_s * a["large_share"] * a["large_bytes"] + received_s * a["small_bytes"]     # large ones, and packs later
    cluster_s = replicated_s * (a["size"] + 1) + coded_s * code + bytes_s     # and what clients read once
    return [
        ("messages kept", amount(messages)), ("raw bytes", amount(raw) + "B"), ("OSDs of 16 TB", f"{osds}"), ("hosts of 12 OSDs", f"{math.ceil(osds / a['osds_a_host'])}"),
        ("objects", amount(stored + active)), ("of those, large messages", amount(large)), ("pieces an OSD", amount(pieces / osds)),
        ("rows of the largest table", amount(accounts)), ("rows of the index of names", amount(stored)),
        ("database an OSD", amount(db / osds) + "B"), ("deliveries a second, peak", f"{received_s:.0f}"), ("log-ins a second, peak", f"{logins_s:.0f}"),
        ("appends an OSD and second, peak", f"{received_s * a['size'] / osds:.1f}"), ("OSD cores for appends, peak", f"{received_s * REPLICATED_OP_CPU_S:.1f}"),
        ("sessions in IDLE", amount(idle)), ("nodes of 16 cores", f"{nodes}"), ("sessions a node, one lost", amount(idle / (nodes - 1))),
        ("memory a node for them", amount(idle / (nodes - 1) * f["idle_session_bytes"]) + "B"),
        ("network in from senders, peak", amount(bytes_s * 8) + "bit/s"),
        ("network of the cluster, peak", amount(cluster_s * 8) + "bit/s"),
    ]


def main():
    words = sys.argv[1:]
    if words[:1] == ["--figures"]:
        figures = json.loads(pathlib.Path(words[1]).read_text(encoding="utf-8"))
    else:
        if words:
            os.environ["TAYORI_PROGRAM"] = str(pathlib.Path(words[0]).resolve())
        figures = measure()
    print(json.dumps(figures, indent=2))
    tables = [scale(accounts, figures, ASSUMED) for accounts in (1e6, 10e6, 50e6)]
    print("| | 1 million | 10 million | 50 million |\n|---|---|---|---|")
    for rows in zip(*tables):
        print(f"| {rows[0][0]} | " + " | ".join(row[1] for row in rows) + " |")


if __name__ == "__main__":
    main()
