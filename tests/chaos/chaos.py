#!/usr/bin/python3
"""Three nodes on one Ceph cluster under mixed load while parts of both are killed, hung, cut off and restarted in turn.

    tests/chaos/chaos.py SECONDS [--seed N] [--faults NAME,...] [--keep]

Clients send by SMTP and LMTP, flag, move and expunge by IMAP, delete by POP3; accounts are compacted all the time, on any node,
and of every second one what is older than seconds goes to the archive meanwhile. They remember what was acknowledged. Afterwards each acknowledged delivery must be there exactly once, each acknowledged flag, move
and expunge in effect, what is in the archive must read as it was sent, all nodes must give the same digests, and `tayori store verify` must find
nothing. What was not answered may be done or not, but never twice or by half. The last line is "N acknowledged, N lost, N twice, N flags lost, digests equal".
"""
import argparse
import collections
import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "system"), str(pathlib.Path(__file__).parent)]
from clients import Imap, Lost, Pop, Refused, Sender  # noqa: E402
from conftest import CLUSTER_TOOL, RadosStore, Server  # noqa: E402

ACCOUNTS = [f"u{i}@example.test" for i in range(18)]
POP_ACCOUNTS = ACCOUNTS[8:]      # many, because the maildrop of a node that died stays locked for a minute
ARCHIVED = ACCOUNTS[::2]
ARCHIVE_AFTER = "5s"
PASSWORD = "x"
QUIET_S = 4                      # between two faults
CUT_OFF_S = 16                   # longer than watches and leases live
KEPT = "Kept"
LINE = "x" * 70 + "\r\n"
READ_WHOLE_MAX = 300              # of a mailbox, afterwards
READ_AT_ONCE = 20


def new_message(name):
    """Small ones stand in the journal, large ones are objects of their own."""
    lines = random.choice([4, 60, 60, 1200, 3000])
    return f"From: <load@example.org>\r\nSubject: {name}\r\nMessage-ID: <{name}@example.org>\r\nLines: {lines}\r\n\r\n{LINE * lines}".encode()


def is_whole(data):
    lines = re.search(rb"^Lines: (\d+)\r\n\r\n", data, re.M)
    return bool(lines) and data[lines.end():] == LINE.encode() * int(lines.group(1))


class Book:
    """What clients were told. A message is (account, name)."""
    def __init__(self):
        self.lock = threading.Lock()
        self.number = 0
        self.delivered, self.perhaps = set(), set()
        self.flagged, self.moved, self.expunged = set(), set(), set()
        self.unsure = set()          # asked to move or expunge and not answered
        self.answers = []            # (begun, ended, node, kind, why it failed or None)

    def name(self):
        with self.lock:
            self.number += 1
            return f"k{self.number}"

    def note(self, begun, node, kind, why):
        with self.lock:
            self.answers.append((begun, time.monotonic(), node.folder.name, kind, why))


class Load:
    def __init__(self, nodes):
        self.nodes, self.book, self.stopped = nodes, Book(), threading.Event()
        self.threads = []

    def timed(self, node, kind, action):
        begun, why = time.monotonic(), "?"
        try:
            result = action()
            why = None
            return result
        except (Refused, Lost) as error:
            why = re.sub(r"\bt\d+ |\d{5,}|0x\w+", "", str(error))[:70]
            raise
        finally:
            self.book.note(begun, node, kind, why)

    def run(self, work, *arguments):
        while not self.stopped.is_set():
            node, client = random.choice(self.nodes), []
            try:
                work(node, client, *arguments)
            except (Refused, Lost):
                time.sleep(0.1)
            finally:
                for connection in client:
                    connection.close()

    def start(self):
        jobs = [(self.send, False)] * 4 + [(self.send, True)] * 2 + [(self.change, account, part) for account in ACCOUNTS[:8] for part in range(2)]
        jobs += [(self.delete, account) for account in POP_ACCOUNTS] + [(self.compact,)] * 2
        self.threads = [threading.Thread(target=self.run, args=job, daemon=True) for job in jobs]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(120)

    # ---- what clients do, for a while on one node

    def send(self, node, client, is_lmtp):
        sender = Sender(node.port("lmtp" if is_lmtp else "smtp"), is_lmtp)
        client.append(sender)
        for _ in range(random.randrange(1, 30)):
            name, to = self.book.name(), random.sample(ACCOUNTS, random.choice([1, 1, 1, 3]))
            data = new_message(name)
            with self.book.lock:
                self.book.perhaps.update((account, name) for account in to)
            sure, _ = self.timed(node, "delivery", lambda: sender.deliver(to, data))
            with self.book.lock:
                self.book.delivered.update((account, name) for account in sure)
            if self.stopped.wait(random.uniform(0, 0.05)):
                return

    def mine(self, account, name, part):
        """Each message is changed by one client only, so that the order of its changes is known; what is unsure is left alone."""
        is_pops = account in POP_ACCOUNTS and int(name[1:]) % 3 == 0
        return int(name[1:]) % 2 == part and not is_pops and (account, name) not in self.book.unsure

    def change(self, node, client, account, part):
        imap = self.timed(node, "login", lambda: Imap(node.port("imap"), account, PASSWORD))
        client.append(imap)
        imap.ask("SELECT INBOX")
        for _ in range(random.randrange(2, 12)):
            messages = [m for m in self.timed(node, "fetch", imap.messages) if self.mine(account, m[1], part)]
            if random.random() < 0.3:
                self.append(node, imap, account)
            for uid, name, flags in random.sample(messages, min(4, len(messages))):
                self.change_one(node, imap, account, uid, name, flags)
            if self.stopped.wait(random.uniform(0, 0.3)):
                return

    def append(self, node, imap, account):
        name = self.book.name()
        with self.book.lock:
            self.book.perhaps.add((account, name))
        self.timed(node, "append", lambda: imap.append(new_message(name)))
        with self.book.lock:
            self.book.delivered.add((account, name))

    def change_one(self, node, imap, account, uid, name, flags):
        book, message, what = self.book, (account, name), random.random()
        if "kept" not in flags and what < 0.6:
            answers = self.timed(node, "flag", lambda: imap.ask(f"UID STORE {uid} +FLAGS (kept)"))
            if any(b"kept" in answer for answer in answers[:-1]):
                with book.lock:
                    book.flagged.add(message)
        elif what < 0.8:
            self.unless_sure(message, node, "move", lambda: imap.ask(f"UID MOVE {uid} {KEPT}"), book.moved, b"COPYUID")
        elif what < 0.9:
            imap.ask(f"UID STORE {uid} +FLAGS.SILENT (\\Deleted)")
            self.unless_sure(message, node, "expunge", lambda: imap.ask(f"UID EXPUNGE {uid}"), book.expunged, b"EXPUNGE")

    def unless_sure(self, message, node, kind, action, done, sign):
        """Unsure until the answer has come, and if it does not say that this was done."""
        with self.book.lock:
            self.book.unsure.add(message)
        answers = self.timed(node, kind, action)
        if any(sign in answer for answer in answers[:-1]):
            with self.book.lock:
                done.add(message)
                self.book.unsure.discard(message)

    def delete(self, node, client, account):
        pop = self.timed(node, "pop3", lambda: Pop(node.port("pop3"), account, PASSWORD))
        client.append(pop)
        chosen = []
        for line in pop.ask("LIST", is_many=True)[:30]:
            number = line.split()[0].decode()
            header = b"\n".join(pop.ask(f"TOP {number} 0", is_many=True))
            name = re.search(rb"Subject: (\S+)", header).group(1).decode()
            if int(name[1:]) % 3 == 0 and random.random() < 0.5:
                pop.ask(f"DELE {number}")
                chosen.append((account, name))
        with self.book.lock:
            self.book.unsure.update(chosen)
        self.timed(node, "pop3", lambda: pop.ask("QUIT"))
        with self.book.lock:
            self.book.expunged.update(chosen)
            self.book.unsure.difference_update(chosen)
        self.stopped.wait(random.uniform(0, 0.5))

    def compact(self, node, client):
        try:
            node.command("account", "compact", random.choice(ACCOUNTS), check=False)
        except subprocess.TimeoutExpired:
            pass
        self.stopped.wait(random.uniform(0, 0.5))


# ---- faults


class Trouble:
    def __init__(self, cluster_folder, nodes, store):
        self.folder, self.nodes, self.store = cluster_folder, nodes, store
        self.problems = []

    def tool(self, *words):
        done = subprocess.run([CLUSTER_TOOL, words[0], self.folder, *map(str, words[1:])], capture_output=True, text=True)
        if done.returncode:
            self.problems.append(f"test-cluster {words}: {done.stderr}")
        return done.stdout

    def node_killed(self):
        node = random.choice(self.nodes)
        node.kill()
        time.sleep(1)
        node.start()
        return node

    def two_nodes_killed(self):
        for node in self.nodes[:2]:
            node.kill()
        for node in self.nodes[:2]:
            node.start()
        return self.nodes[0]

    def node_cut_off(self):
        node = random.choice(self.nodes)
        node.process.send_signal(signal.SIGSTOP)
        time.sleep(CUT_OFF_S)
        node.process.send_signal(signal.SIGCONT)
        return node

    def node_fenced(self):
        watchers = re.findall(r"watcher=(\S+)", self.tool("watchers", f"signal.{random.randrange(16):02x}", f"{self.store.name}.s"))
        if watchers:
            self.tool("blocklist", random.choice(watchers))
        time.sleep(3)

    def osd_killed(self):
        number = random.randrange(3)
        self.tool("kill-osd", number)
        time.sleep(4)
        self.tool("start-osd", number)
        self.tool("wait")

    def osd_hung(self):
        number = random.randrange(3)
        self.tool("hang-osd", number)
        time.sleep(8)
        self.tool("resume-osd", number)
        time.sleep(1)
        self.tool("wait")

    def mon_restarted(self):
        self.tool("restart-mon", 3)

    def node_killed_while_osd_hangs(self):
        number = random.randrange(3)
        self.tool("hang-osd", number)
        node = self.node_killed()
        time.sleep(4)
        self.tool("resume-osd", number)
        time.sleep(1)
        self.tool("wait")
        return node

    FAULTS = ("node_killed", "osd_killed", "node_cut_off", "node_fenced", "osd_hung", "mon_restarted", "two_nodes_killed", "node_killed_while_osd_hangs")

    def check_nodes(self):
        for node in self.nodes:
            if node.process and node.process.poll() is not None:
                self.problems.append(f"node {node.folder.name} ended by itself with {node.process.returncode}:\n{node.log_text()[-6000:]}")
                node.process = None
                node.start()


def show_stall(book, name, broken, begun, ended):
    """What was asked from the fault until a moment after it."""
    longest = collections.defaultdict(float)
    failed = collections.Counter()
    with book.lock:
        answers = [a for a in book.answers if a[1] >= begun and a[0] <= ended]
    for from_s, to_s, node, kind, why in answers:
        where = "on it" if broken and node == broken.folder.name else "elsewhere"
        longest[where] = max(longest[where], to_s - from_s)
        if why:
            failed[f"{kind}: {why}"] += 1
    text = ", ".join(f"{seconds:.2f} s {where}" for where, seconds in sorted(longest.items(), reverse=True))
    print(f"{name.replace('_', ' ')}{' (' + broken.folder.name + ')' if broken else ''}: took {ended - begun:.1f} s; longest answer {text or 'none'}; "
          f"{len(answers)} answers, {sum(failed.values())} failed", flush=True)
    for why, count in failed.most_common(4):
        print(f"    {count} {why}")


def make_trouble(trouble, load, seconds, names):
    end, turn = time.monotonic() + seconds, 0
    time.sleep(QUIET_S)
    while time.monotonic() < end:
        name = names[turn % len(names)]
        turn += 1
        begun = time.monotonic()
        broken = getattr(trouble, name)()
        time.sleep(QUIET_S)
        show_stall(load.book, name, broken, begun, time.monotonic())
        trouble.check_nodes()


# ---- afterwards


def read_all(nodes):
    """(account, name) -> [(mailbox, flags)]"""
    found = collections.defaultdict(list)
    for number, account in enumerate(ACCOUNTS):
        imap = Imap(nodes[number % len(nodes)].port("imap"), account, PASSWORD)
        for mailbox in ("INBOX", KEPT):
            imap.ask(f"EXAMINE {mailbox}")
            for _, name, flags in imap.messages():
                found[account, name].append((mailbox, flags))
        imap.close()
    return found


def judge(book, found):
    """What is wrong, by kind."""
    wrong = collections.defaultdict(list)
    for message in book.delivered:
        if message not in book.expunged and message not in book.unsure and not found.get(message):
            wrong["lost"].append(message)
    for message, places in found.items():
        mailboxes = [mailbox for mailbox, _ in places]
        if len(places) > 1:
            wrong["twice"].append((message, mailboxes))
        if message not in book.perhaps:
            wrong["from nowhere"].append(message)
        if message in book.expunged:
            wrong["expunges undone"].append(message)
        if message in book.moved and mailboxes != [KEPT]:
            wrong["moves undone"].append((message, mailboxes))
        if message not in book.moved and message not in book.unsure and mailboxes != ["INBOX"]:
            wrong["moved by nobody"].append((message, mailboxes))
        if message in book.flagged and not all("kept" in flags for _, flags in places):
            wrong["flags lost"].append(message)
    return wrong


def read_archived(nodes):
    """How many messages are in the archive, and those that do not read as they were sent."""
    count, broken = 0, []
    for number, account in enumerate(ARCHIVED):
        node = nodes[number % len(nodes)]
        count += node.command("account", "show", account, json_rows=True)[0]["archived_messages"]
        imap = Imap(node.port("imap"), account, PASSWORD)
        for mailbox in ("INBOX", KEPT):
            imap.ask(f"EXAMINE {mailbox}")
            names = {uid: name for uid, name, _ in imap.messages()}
            uids = random.sample(list(names), min(READ_WHOLE_MAX, len(names)))
            for at in range(0, len(uids), READ_AT_ONCE):
                bodies = imap.bodies(uids[at:at + READ_AT_ONCE])
                broken += [(account, names[uid]) for uid in uids[at:at + READ_AT_ONCE] if not is_whole(bodies.get(uid, b""))]
        imap.close()
    return count, broken


def digests_differ(nodes):
    different = []
    for account in ACCOUNTS:
        digests = [node.command("account", "digest", account, json_rows=True)[0]["digest"] for node in nodes]
        if len(set(digests)) > 1:
            different.append((account, digests))
    return different


def idle_latencies(nodes):
    """After all that was broken, an IDLE client on each node is told at once what another node takes in."""
    took = []
    for number, node in enumerate(nodes):
        imap = Imap(node.port("imap"), ACCOUNTS[0], PASSWORD)
        imap.ask("SELECT INBOX")
        imap.send(b"i IDLE\r\n")
        while not imap.line().startswith(b"+"):
            pass
        sender = Sender(nodes[number - 1].port("smtp"), False)
        for _ in range(5):
            if not sender.deliver([ACCOUNTS[0]], new_message(f"idle{number}"))[0]:
                return []
            accepted = time.monotonic()
            while b"EXISTS" not in imap.line():
                pass
            took.append(time.monotonic() - accepted)
            time.sleep(0.1)
        sender.close()
        imap.close()
    return took


def show_rates(book, seconds):
    counts = collections.Counter(kind for *_, kind, why in book.answers if not why)
    print(", ".join(f"{count} {kind} ({count / seconds:.0f}/s)" for kind, count in counts.most_common()))


def conclude(trouble, load, nodes, seconds):
    book, problems = load.book, trouble.problems
    trouble.check_nodes()
    trouble.tool("wait")
    show_rates(book, seconds)
    wrong = judge(book, read_all(nodes))
    archived, wrong["not as sent"] = read_archived(nodes)
    if not archived:
        problems.append("nothing went to the archive")
    different = digests_differ(nodes)
    try:
        idle = idle_latencies(nodes)
    except (Lost, Refused):
        idle = []
    if idle:
        print(f"a delivery is seen by IDLE on another node after {statistics.median(idle) * 1000:.0f} ms (median), {max(idle) * 1000:.0f} ms at most")
    if not idle or statistics.median(idle) > 1:
        problems.append("IDLE on another node is not told of deliveries any more")
    verify = nodes[0].command("store", "verify", check=False)
    if verify.returncode:
        problems.append(f"store verify: {verify.stdout}{verify.stderr}")
    for kind, messages in wrong.items():
        if messages:
            print(f"{kind}: {len(messages)}, as {messages[:5]}")
    for problem in problems + [f"digests differ: {d}" for d in different]:
        print(f"PROBLEM {problem}")
    print(f"{archived} messages in the archive at the end")
    print(f"{len(book.flagged)} flags, {len(book.moved)} moves, {len(book.expunged)} expunges acknowledged; {len(wrong['moves undone'])} moves and "
          f"{len(wrong['expunges undone'])} expunges undone; verify {'clean' if verify.returncode == 0 else 'NOT clean'}")
    print(f"{len(book.delivered)} acknowledged, {len(wrong['lost'])} lost, {len(wrong['twice'])} twice, {len(wrong['flags lost'])} flags lost, "
          f"digests {'differ' if different else 'equal'}", flush=True)
    return 1 if any(wrong.values()) or problems or different or not book.delivered else 0


def make_nodes(folder, store):
    nodes = [Server(folder / name, store=store, settings='mailbox { grace = "3s" }\n').start() for name in ("a", "b", "c")]
    nodes[0].add_domain()
    for account in ACCOUNTS:
        nodes[0].add_account(account, PASSWORD, *(["--archive-after", ARCHIVE_AFTER] if account in ARCHIVED else []))
        imap = Imap(nodes[0].port("imap"), account, PASSWORD)
        imap.ask(f"CREATE {KEPT}")
        imap.close()
    return nodes


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--faults", default=",".join(Trouble.FAULTS))
    parser.add_argument("--keep", action="store_true", help="leave folder and logs")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    random.seed(options.seed)
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
    cluster_folder = f"{base}/tayori-check-{os.getpid()}"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tayori-chaos-"))
    started = subprocess.run([CLUSTER_TOOL, "start", cluster_folder], capture_output=True, text=True)
    if started.returncode:
        print(f"skipped: no cluster: {started.stderr.strip()}")
        return 77
    nodes, status = [], 1
    try:
        store = RadosStore(started.stdout.split()[-1])
        nodes = make_nodes(folder, store)
        trouble, load = Trouble(cluster_folder, nodes, store), Load(nodes)
        print(f"seed {options.seed}", flush=True)
        began = time.monotonic()
        load.start()
        faults = options.faults.split(",")
        random.shuffle(faults)
        make_trouble(trouble, load, options.seconds, faults)
        load.stop()
        status = conclude(trouble, load, nodes, time.monotonic() - began)
        return status
    finally:
        for node in nodes:
            if node.process:
                node.kill()
        subprocess.run([CLUSTER_TOOL, "stop", cluster_folder])
        if status and options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
