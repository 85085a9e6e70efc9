"""What bench/run measures: each takes a started server and a scale, and gives {row: figure}."""
import json
import mmap
import os
import subprocess
import time

from servers import ACCOUNTS, WORK

LOAD = WORK / "load"
CPU_DELIVERED, CPU_LOGIN = "server CPU s per 1,000 delivered, %s", "server CPU ms per log-in, %s"


def load(*words):
    done = subprocess.run([str(LOAD), *map(str, words), f"accounts={ACCOUNTS}"], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"load {words}: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def to(server, protocol, **more):
    return [f"port={server.ports[protocol]}", *(f"{name}={value}" for name, value in more.items())]


def is_tayori(server):
    return server.name == "Tayori"


def delivery(server, scale):
    rows = {}
    load("smtp", *to(server, "smtp", connections=50, messages=ACCOUNTS))       # every mailbox is there, every process has been started
    server.wait_delivered()
    plans = [("50 connections", 50, 1, 20000 if is_tayori(server) else 4000), ("1 connection", 1, 1, 4000 if is_tayori(server) else 1500),
             ("50 recipients a message, recipients", 20, 50, 2000 if is_tayori(server) else 150)]
    for title, connections, recipients, messages in plans:
        messages = max(100, int(messages * scale))
        cpu, began = server.cpu(), time.monotonic()
        load("smtp", *to(server, "smtp", connections=connections, recipients=recipients, messages=messages))
        server.wait_delivered()
        seconds = time.monotonic() - began
        rows[f"delivered until visible, {title} per s"] = messages * recipients / seconds
        if recipients == 1:
            rows[CPU_DELIVERED % title] = (server.cpu() - cpu) / messages * 1000
    return rows


def logins(server, scale):
    rows = {}
    load("login", *to(server, "imap", cycles=ACCOUNTS, connections=10))        # each account's first log-in makes its mailbox
    for title, port, tls, cycles in (("plain", "imap", 0, 5000), ("full TLS handshakes", "imaps", 1, 3000)):
        cycles = int(cycles * scale)
        cpu = server.cpu()
        told = load("login", *to(server, port, tls=tls, cycles=cycles, connections=10))
        rows[f"log-in, SELECT, LOGOUT per s, {title}"] = told["cycles"] / told["seconds"]
        rows[CPU_LOGIN % title] = (server.cpu() - cpu) / cycles * 1000
    return rows


def bare_sync_ms(folder, seconds):
    """What a synced write of 8 KB over blocks that are there costs here, a hundred a second, as a delivery's: median and 99th of a hundred."""
    block = mmap.mmap(-1, 8192)
    block.write(b"x" * 8192)
    fd = os.open(folder / "bare-sync", os.O_RDWR | os.O_CREAT | os.O_DIRECT | os.O_DSYNC)
    for i in range(64):
        os.pwrite(fd, block, i * 8192)
    samples = []
    for i in range(int(100 * seconds)):
        began = time.monotonic()
        os.pwrite(fd, block, i % 64 * 8192)
        samples.append(1000 * (time.monotonic() - began))
        time.sleep(0.01)
    os.close(fd)
    samples.sort()
    return samples[len(samples) // 2], samples[len(samples) * 99 // 100]


def idle_at(server, scale, title, port, tls, count, rate):
    rows = {}
    server.stop()
    server.start()
    load("login", *to(server, port, tls=tls, cycles=200, connections=10))
    before = server.memory_kb()
    words = to(server, port, smtp_port=server.ports["smtp"], tls=tls, connections=count, accounts=ACCOUNTS, rate=rate, seconds=max(5, int(10 * scale)))
    process = subprocess.Popen([str(LOAD), "idle", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("idle connections were not made")
        time.sleep(2)
        rows[f"KB per connection in IDLE, {title}"] = (server.memory_kb() - before) / count
        told = json.loads(process.communicate("\n", timeout=120)[0].splitlines()[-1])
    finally:
        process.kill()
        process.wait()
    rows[f"final dot to 250, {title}, p99 ms"] = told["answer_p99_ms"]
    rows[f"final dot to EXISTS, {title}, p50 ms"] = told["p50_ms"]
    rows[f"final dot to EXISTS, {title}, p99 ms"] = told["p99_ms"]
    if told["heard"] < told["sent"]:
        rows[f"notices not heard of {told['sent']}, {title}"] = told["sent"] - told["heard"]
    return rows


def idle(server, scale):
    rows = {}
    if is_tayori(server):
        rows["a bare synced write of 8 KB, p50 ms"], rows["a bare synced write of 8 KB, p99 ms"] = bare_sync_ms(server.dir, max(2, 10 * scale))
    for title, port, tls in (("plain", "imap", 0), ("TLS", "imaps", 1)):
        rows.update(idle_at(server, scale, title, port, tls, int((5000 if is_tayori(server) else 1000) * scale), 100))
    return rows


def idle_many(server, scale):
    """10,000 connections with TLS while 200 messages a second arrive; fewer for the peers, which have a process to a connection."""
    count = int((10000 if is_tayori(server) else 1000) * scale)
    return idle_at(server, scale, "10,000 with TLS, 200 messages/s", "imaps", 1, count, 200)


def append(server, user, messages, size_bytes):
    """Each in its fastest durable way: Tayori with a hundred APPENDs under way, the peers with MULTIAPPEND, which they sync once per command."""
    how = {"window": 100} if is_tayori(server) else {"window": 1, "multi": 500}
    return load("mailbox", "do=append", *to(server, "imap", user=user, messages=messages, bytes=size_bytes, **how))


def mailbox(server, scale, count=100000):
    rows, user, size = {}, "u7@example.test", int(count * scale)
    name = f"{count:,}"

    def seconds_of(command):
        return load("mailbox", "do=x", *to(server, "imap", user=user), f"command={command}")["seconds"]

    told = append(server, user, size, 500)
    rows[f"APPEND of {name} (500 bytes) per s"] = size / told["seconds"]
    server.stop()
    server.drop_caches()
    server.start()
    load("mailbox", "do=select", *to(server, "imap", user="u9@example.test"))  # the process is warm, the mailbox is not
    told = load("mailbox", "do=select", *to(server, "imap", user=user))
    rows[f"LOGIN and SELECT of {name}, cold, ms"] = 1000 * (told["seconds"] + told["login_seconds"])
    rows[f"SELECT of {name}, warm, ms"] = 1000 * load("mailbox", "do=select", *to(server, "imap", user=user, repeat=21))["seconds"]
    rows[f"STORE 1:* of {name}, ms"] = 1000 * seconds_of("STORE 1:* +FLAGS.SILENT (\\Deleted)")
    rows[f"FETCH 1:* (FLAGS) of {name}, ms"] = 1000 * seconds_of("FETCH 1:* (FLAGS)")
    rows[f"EXPUNGE of {name}, ms"] = 1000 * seconds_of("EXPUNGE")
    return rows


def million(server, scale):
    return mailbox(server, scale, 1000000)


million.tayori_alone = True


def pop3(server, scale):
    user, size = "u8@example.test", int(10000 * scale)
    append(server, user, size, 5000)
    server.stop()
    server.drop_caches()
    server.start()
    cold = load("pop3", "do=uidl", *to(server, "pop3", user=user))
    warm = load("pop3", "do=uidl", *to(server, "pop3", user=user))
    retr = load("pop3", "do=retr", *to(server, "pop3", user=user, messages=size))
    return {"POP3 UIDL of 10,000, cold (with PASS), ms": 1000 * (cold["seconds"] + cold["login_seconds"]), "POP3 UIDL of 10,000, cold, ms": 1000 * cold["seconds"],
            "POP3 UIDL of 10,000, warm, ms": 1000 * warm["seconds"],
            "POP3 RETR of 10,000 pipelined, s": retr["seconds"]}


MEASURES = {"delivery": delivery, "logins": logins, "idle": idle, "idle-many": idle_many, "mailbox": mailbox, "million": million, "pop3": pop3}

# The best that Postfix and Dovecot were seen to do on a machine of this size (2 cores, Debian 12); Cyrus where it is the better one.
KNOWN = {
    "delivered until visible, 50 connections per s": 540, CPU_DELIVERED % "50 connections": 3.7, "delivered until visible, 1 connection per s": 360,
    "delivered until visible, 50 recipients a message, recipients per s": 973, "log-in, SELECT, LOGOUT per s, plain": 1480,
    "log-in, SELECT, LOGOUT per s, full TLS handshakes": 510, "KB per connection in IDLE, plain": 535, "KB per connection in IDLE, TLS": 600,
    "final dot to EXISTS, plain, p50 ms": 4, "final dot to EXISTS, plain, p99 ms": 7, "APPEND of 100,000 (500 bytes) per s": 18000,
    "LOGIN and SELECT of 100,000, cold, ms": 6, "SELECT of 100,000, warm, ms": 0.5, "STORE 1:* of 100,000, ms": 110, "FETCH 1:* (FLAGS) of 100,000, ms": 66,
    "EXPUNGE of 100,000, ms": 330, "POP3 UIDL of 10,000, cold, ms": 4, "POP3 UIDL of 10,000, warm, ms": 3, "POP3 RETR of 10,000 pipelined, s": 0.30,
}
