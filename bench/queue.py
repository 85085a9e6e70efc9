#!/usr/bin/python3
"""bench/queue.py: mail out, Tayori against Postfix from Debian, in turn: the same messages to the same sink, each with its queue on the same disk.

    bench/queue.py --runs 3 --markdown      everything, and the table of doc/figures.md anew
    bench/queue.py --messages 2000 --runs 1 --deferred 5000 --peer-deferred 1000      quickly
    bench/queue.py --only deferred --peers no --deferred 1000000

As root; nothing else should run meanwhile, and build/ is built first. Servers, client and sink (bench/load, C) share the machine, in a network namespace of
their own. Messages of 5 KB with one recipient each, a transaction each, over 50 connections that stay open. The clock of an end-to-end rate runs from the
first connection until the sink has the last message; that of accepted ones until the last 250, while mail already leaves.
"""
import argparse
import datetime
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from figures import enter_namespace, quiet, table, write_pages  # noqa: E402
from queue_servers import Postfix, Sender, Sink  # noqa: E402
from servers import ROOT, WORK, build_load, shell, wait_until  # noqa: E402

LOAD = WORK / "load"
CONNECTIONS = 50
SETTLE_S = 3                                 # what a server still does when it has just started, or taken much, is no effect of what waits
COUNTS_DIFFER = ("messages that wait", "server memory", "start until")     # rows in which fewer messages wait at the peer: no ratio


def submission(server, messages, connections=CONNECTIONS, **more):
    words = [f"port={server.port()}", f"messages={messages}", f"connections={min(connections, messages)}", *server.submits, *(f"{k}={v}" for k, v in more.items())]
    return subprocess.Popen([str(LOAD), "submit", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process):
    told, problem = process.communicate(timeout=7200)
    if process.returncode:
        raise RuntimeError(f"load submit: {problem.strip()}")
    return json.loads(told)


def sent(server, sink, messages, **more):
    """What the client and what the sink have to say of it, when the last message has come."""
    sink.ask("reset")
    client = ended(submission(server, messages, **more))
    return client, sink.ask(f"wait {messages}")


def warm(server, sink):
    sent(server, sink, 200, domains=20, first=1)


def rates(server, options, title, rows, **more):
    sink = Sink(LOAD)
    try:
        warm(server, sink)
        cpu = server.cpu()
        client, arrived = sent(server, sink, options.messages, **more)
        rows[f"submissions accepted per s, {title}"] = options.messages / client["seconds"]
        rows[f"delivered end to end per s, {title}"] = options.messages / (arrived["last"] - client["began"])
        rows[f"server CPU ms per message, {title}"] = 1000 * (server.cpu() - cpu) / options.messages
    finally:
        sink.stop()


def throughput(server, options):
    rows = {}
    rates(server, options, "one destination", rows, domain="elsewhere.test")
    return rows


def many_domains(server, options):
    rows = {}
    rates(server, options, "1,000 destinations", rows, domains=1000)
    return rows


def slow_destination(server, options):
    """End to end to 20 destinations, while 500 messages wait for one that takes 60 s for each."""
    rows = {}
    sink = Sink(LOAD, slow="slow.test", slow_s=60)
    try:
        warm(server, sink)
        for title in ("no slow destination", "one that takes 60 s a message"):
            if title != "no slow destination":
                ended(submission(server, 500, domain="slow.test"))
                time.sleep(1)
            client, arrived = sent(server, sink, options.messages, domains=20)
            rows[f"delivered end to end per s, {title}"] = options.messages / (arrived["last"] - client["began"])
    finally:
        sink.stop()
    return rows


def fresh(server, sink, rows, title):
    """From the beginning of a submission until the sink has the header, at 50 a second."""
    _, arrived = sent(server, sink, 500, connections=4, rate=50, stamped=1, domains=20)
    rows[f"fresh mail, {title}, p50 ms"], rows[f"fresh mail, {title}, p99 ms"] = arrived["p50_ms"], arrived["p99_ms"]


def deferred(server, options):
    """So many messages wait for a destination that is away."""
    rows, count = {}, options.deferred if server.name == "Tayori" else options.peer_deferred
    sink = Sink(LOAD)
    try:
        warm(server, sink)
        time.sleep(SETTLE_S)
        fresh(server, sink, rows, "nothing waits")
        before = server.memory_kb()
        took = ended(submission(server, count, domain="away.test", first=1000000))
        rows["messages that wait"] = count
        rows["submissions accepted per s, destination away"] = count / took["seconds"]
        time.sleep(SETTLE_S)
        rows["server memory with them, MB"] = server.memory_kb() / 1024
        fresh(server, sink, rows, "while they wait")
        server.stop()
        server.drop_caches()
        began = time.monotonic()
        server.start()
        if server.name == "Tayori":          # Postfix finds them when it looks through its folders
            wait_until(lambda: server.waiting() >= count, "all messages are there again", 600)
        rows["start until all that waits is known, s"] = time.monotonic() - began
        warm(server, sink)
        time.sleep(SETTLE_S)
        rows["server memory after a start, MB"] = server.memory_kb() / 1024
        if server.name == "Tayori":          # Postfix has files
            rows["server memory after a start, per message that waits, bytes"] = (server.memory_kb() - before) * 1024 / count
        fresh(server, sink, rows, "while they wait, after a start")
    finally:
        sink.stop()
    return rows


MEASURES = {"throughput": throughput, "many-domains": many_domains, "slow": slow_destination, "deferred": deferred}


def measure(server, name, options):
    try:
        server.prepare()
        server.start()
        return MEASURES[name](server, options)
    finally:
        server.stop()


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--messages", type=int, default=20000)
    parser.add_argument("--deferred", type=int, default=1000000)
    parser.add_argument("--peer-deferred", type=int, default=20000, help="for Postfix, which takes half an hour for a million")
    parser.add_argument("--deferred-runs", type=int, default=1)
    parser.add_argument("--only", default=",".join(MEASURES))
    parser.add_argument("--peers", default="yes", choices=("yes", "no", "only"))
    parser.add_argument("--markdown", action="store_true", help="write the table into doc/figures.md")
    return parser.parse_args()


def build():
    shell(ROOT / "tools" / "install-packages", "build", "bench")
    subprocess.run([str(ROOT / "run"), "--build"], check=True)
    WORK.mkdir(parents=True, exist_ok=True)
    build_load(WORK)


def main():
    options = parse()
    if os.environ.get("TAYORI_BENCH_INSIDE") is None:
        build()
    enter_namespace()
    servers = ([Sender()] if options.peers != "only" else []) + ([Postfix()] if options.peers != "no" else [])
    figures, failures, others, began = {server.name: {} for server in servers}, [], [], time.monotonic()
    for run in range(options.runs):
        for name in options.only.split(","):
            if name == "deferred" and run >= options.deferred_runs:
                continue
            for server in servers:
                others.append(quiet())
                try:
                    for row, value in measure(server, name, options).items():
                        figures[server.name].setdefault(row, []).append(value)
                        print(f"run {run + 1}, {server.name}: {row}: {value:.4g}", flush=True)
                except Exception as error:  # one measure that fails does not end the others
                    failures.append(f"run {run + 1}, {server.name}, {name}: {type(error).__name__}: {error}")
                    print(failures[-1], flush=True)
    note = (f"Medians of {options.runs} runs ({options.deferred_runs} where messages wait), {datetime.date.today()}, {os.cpu_count()} cores; {options.messages:,} messages; "
            f"others used {statistics.median(others):.2f} cores (at most {max(others):.2f}); {(time.monotonic() - began) / 60:.0f} minutes."
            + (f" {len(failures)} measures failed." if failures else ""))
    text = table(figures, {}, COUNTS_DIFFER if options.deferred != options.peer_deferred else ())
    print(f"\n{note}\n\n{text}")
    for failure in failures:
        print("failed:", failure)
    if options.markdown:
        write_pages("bench/queue.py", ("doc/figures.md",), text, note)
    if not failures:
        for folder in WORK.glob("*.*.*"):
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
