#!/usr/bin/python3
"""bench/queue.py: mail out, Tayori against Postfix from Debian: the same messages to the same sink, each with its queue on the same disk.

    bench/queue.py                          accepted submissions a second, deliveries a second end to end
    bench/queue.py --deferred 1000000       so many messages wait for a destination that is away: start, memory, and how long fresh mail takes

As root, on a quiet machine; a build in build/ (./run --build). Each submission is a transaction of its own over connections that stay open.
Client and sink are Python on the same machine: they use their share of it for both, and are the limit where a server is faster than they.
Postfix takes them by SMTP from loopback, because it has no passwords of its own; Tayori by submission with AUTH once for each connection, without TLS.
"""
import argparse
import asyncio
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = pathlib.Path("/var/tmp/tayori-bench-queue")
SINK, TAYORI, POSTFIX = 12525, 12000, 12526
BODY = ("x" * 70 + "\r\n") * 60


class Sink:
    """Takes all mail as fast as Python does, with PIPELINING; counts, and tells when a given subject came."""

    def __init__(self):
        self.count, self.came = 0, {}

    async def session(self, reader, writer):
        try:
            writer.write(b"220 sink\r\n")
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"EHLO":
                    writer.write(b"250-sink\r\n250-8BITMIME\r\n250 PIPELINING\r\n")
                elif verb == b"DATA":
                    writer.write(b"354 go\r\n")
                    data = await reader.readuntil(b"\r\n.\r\n")
                    self.count += 1
                    at = data.find(b"Subject: fresh")
                    if at >= 0:
                        self.came[data[at + 9:data.index(b"\r", at)].decode()] = time.monotonic()
                    writer.write(b"250 ok\r\n")
                elif verb == b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                else:
                    writer.write(b"250 ok\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()

    async def start(self):
        self.server = await asyncio.start_server(self.session, "127.0.0.1", SINK, limit=1 << 20)


async def answer(reader):
    while (line := await reader.readline())[3:4] == b"-":
        pass
    if line[:1] not in b"23":
        raise RuntimeError(line)


async def client(port, auth, numbers, to, subject="m"):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await answer(reader)
    for line in (b"EHLO bench\r\n",) + ((b"AUTH PLAIN AGJlbmNoQGV4YW1wbGUudGVzdAB4\r\n",) if auth else ()):
        writer.write(line)
        await answer(reader)
    for number in numbers:
        writer.write(f"MAIL FROM:<bench@example.test>\r\nRCPT TO:<u{number}@{to}>\r\nDATA\r\n".encode())
        for _ in range(3):
            await answer(reader)
        writer.write(f"From: bench@example.test\r\nTo: u{number}@{to}\r\nSubject: {subject}{number}\r\nMessage-ID: <{subject}{number}@b>\r\n"
                     f"Date: Sun, 22 Nov 2026 00:00:00 +0000\r\n\r\n{BODY}.\r\n".encode())
        await answer(reader)
    writer.write(b"QUIT\r\n")
    await answer(reader)
    writer.close()


async def submit(server, count, to, connections=32, subject="m"):
    began = time.monotonic()
    await asyncio.gather(*(client(server.port, server.auth, range(i, count, connections), to, subject) for i in range(connections)))
    return time.monotonic() - began


class Tayori:
    name, auth, port = "tayori", True, TAYORI + 87

    def __init__(self, program):
        self.dir, self.program = WORK / "tayori", program

    def command(self, *words, **options):
        return subprocess.run([self.program, *words, "--dir", self.dir], check=True, capture_output=True, text=True, **options).stdout

    def start(self):
        if not self.dir.exists():
            self.dir.mkdir(parents=True)
            (self.dir / "t.conf").write_text(
                f'server {{ name = "out.example.test" }}\nlistener "s" {{ protocol = "submission" address = "127.0.0.1" port = {self.port} tls = "starttls" }}\n'
                f'listener "h" {{ protocol = "http" address = "127.0.0.1" port = {TAYORI + 80} }}\n'
                f'log {{ level = "warning" file = "log" }}\noutbound {{ routes = "away.test=127.0.0.1:9 *=127.0.0.1:{SINK}" }}\n')
            self.command("domain", "add", "example.test")
            self.command("account", "add", "bench@example.test", "--password-stdin", input="{PLAIN}x\n")
        self.process = subprocess.Popen([self.program, "serve", "--dir", self.dir, "--config", self.dir / "t.conf"], stderr=subprocess.DEVNULL)
        while subprocess.run(["curl", "-sf", f"http://127.0.0.1:{TAYORI + 80}/readyz"], capture_output=True).returncode:
            time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def waiting(self):
        return json.loads(self.command("queue", "summary", "--json"))["messages"]

    def memory_mb(self):
        return sum(int(line.split()[1]) for line in open(f"/proc/{self.process.pid}/status") if line.startswith("VmRSS")) / 1024


class Postfix:
    name, auth, port = "postfix", False, POSTFIX

    def __init__(self):
        self.dir = WORK / "postfix"

    def start(self):
        if not self.dir.exists():
            for folder in ("queue", "data", "config"):
                (self.dir / folder).mkdir(parents=True)
            shutil.chown(self.dir / "data", "postfix")
            config = self.dir / "config"
            (config / "main.cf").write_text(
                f"compatibility_level = 3.6\nqueue_directory = {self.dir}/queue\ndata_directory = {self.dir}/data\ncommand_directory = /usr/sbin\n"
                f"daemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\nsetgid_group = postdrop\nmyhostname = out.example.test\nmydestination =\n"
                f"mynetworks = 127.0.0.0/8\nrelayhost = [127.0.0.1]:{SINK}\nmaillog_file = {self.dir}/log\nmaillog_file_prefixes = {self.dir}\n"
                f"inet_interfaces = 127.0.0.1\ndefault_process_limit = 200\nsmtp_destination_concurrency_limit = 40\ninitial_destination_concurrency = 20\n"
                f"transport_maps = inline:{{away.test=smtp:[127.0.0.1]:9}}\nsmtpd_client_connection_count_limit = 0\nqmgr_message_active_limit = 20000\n")
            master = pathlib.Path("/etc/postfix/master.cf").read_text().splitlines()
            lines = [f"{POSTFIX} inet n - n - - smtpd" if line.startswith("smtp ") and " inet " in line else line for line in master]
            (config / "master.cf").write_text("\n".join(line.replace(" y ", " n ", 1) if not line.startswith(" ") else line for line in lines) + "\n")
        subprocess.run(["postfix", "-c", self.dir / "config", "start"], check=True, capture_output=True)
        time.sleep(1)

    def stop(self):
        subprocess.run(["postfix", "-c", self.dir / "config", "stop"], check=False, capture_output=True)

    def waiting(self):
        return sum(1 for folder in ("incoming", "active", "deferred", "maildrop") for path in (self.dir / "queue" / folder).rglob("*") if path.is_file())

    def memory_mb(self):
        total = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if "postfix" in open(f"/proc/{pid}/cgroup").read() or "/usr/lib/postfix" in os.readlink(f"/proc/{pid}/exe"):
                    total += sum(int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith("Pss:"))
            except OSError:
                pass
        return total / 1024


async def throughput(server, sink, count):
    sink.count = 0
    began = time.monotonic()
    took = await submit(server, count, "elsewhere.test")
    while sink.count < count:
        await asyncio.sleep(0.01)
    return count / took, count / (time.monotonic() - began)


async def fresh(server, sink, tries=50):
    """Seconds from the beginning of a submission until the sink has the message."""
    times = []
    for i in range(tries):
        sink.came.clear()
        began = time.monotonic()
        await submit(server, 1, "elsewhere.test", 1, "fresh")
        while "fresh0" not in sink.came:
            await asyncio.sleep(0.0005)
        times.append(sink.came["fresh0"] - began)
    return statistics.median(times), sorted(times)[int(0.99 * tries)]


async def deferred(server, sink, count):
    before = await fresh(server, sink)
    took = await submit(server, count, "away.test")
    memory, during = server.memory_mb(), await fresh(server, sink)
    server.stop()
    began = time.monotonic()
    server.start()
    while server.waiting() < count * 0.99:
        time.sleep(0.1)
    started = time.monotonic() - began
    after = await fresh(server, sink)
    print(f"{server.name}: {count} deferred: taken in {took:.0f} s, {memory:.0f} MB; started in {started:.1f} s, {server.memory_mb():.0f} MB; fresh mail median/99 % ms: "
          f"{before[0] * 1000:.1f}/{before[1] * 1000:.1f} before, {during[0] * 1000:.1f}/{during[1] * 1000:.1f} with them, {after[0] * 1000:.1f}/{after[1] * 1000:.1f} after a start")


async def run(options):
    sink = Sink()
    await sink.start()
    servers = [s for s in (Tayori(options.program), Postfix()) if options.only in (None, s.name)]
    shutil.rmtree(WORK, ignore_errors=True)
    results = {}
    for turn in range(options.runs):
        for server in servers:
            server.start()
            try:
                if options.deferred:
                    await deferred(server, sink, options.deferred)
                else:
                    results.setdefault(server.name, []).append(await throughput(server, sink, options.messages))
            finally:
                server.stop()
                shutil.rmtree(server.dir, ignore_errors=True)
    for name, runs in results.items():
        print(f"{name}: {statistics.median(r[0] for r in runs):.0f} submissions/s, {statistics.median(r[1] for r in runs):.0f} deliveries/s end to end "
              f"({len(runs)} runs of {options.messages})")
    sys.stdout.flush()
    os._exit(0)                          # connections that linger need no farewell


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / "build" / "tayori")
    parser.add_argument("--messages", type=int, default=20000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--deferred", type=int, default=0)
    parser.add_argument("--only", choices=["tayori", "postfix"])
    options = parser.parse_args()
    if options.deferred:
        options.runs = 1
    asyncio.run(run(options))


main()
