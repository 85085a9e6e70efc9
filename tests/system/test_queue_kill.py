"""
kill -9 of the sender while thousands of messages are in flight: none is lost, and one goes twice only where the 250 for it was not answered.

With --long 10,000 messages and 100 kills, below ten minutes: they are handed in while it is killed, and the other side takes them at a pace that keeps thousands
in the queue until the last kill. On a cluster the lease of a dead owner lasts longer than the next one lives, so that shards move now and then only.
"""
import collections
import os
import random
import re
import socketserver
import threading
import time

from mail import message, wait_for
from test_submission import login, queued, sender

LONG = bool(os.environ.get("TAYORI_CHECK_LONG"))
MESSAGES, KILLS = (10_000, 100) if LONG else (600, 6)
ALIVE_S = (0.3, 1.5) if LONG else (0.5, 3)
KILLING_S, DRAINING_S = (360, 150) if LONG else (60, 60)     # no kill is begun after the first; the last message has gone after the second


class CountingSink:
    """Takes everything; knows for which messages the client has gone on after the 250, and so has recorded it."""

    def __init__(self):
        self.taken, self.unanswered, self.lock = collections.Counter(), collections.Counter(), threading.Lock()
        self.interval_s, self.next = 0, 0          # between two messages: the pace at which they are taken
        sink = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self):
                self.pending = None
                try:
                    self.talk()
                except OSError:
                    pass
                if self.pending:
                    with sink.lock:
                        sink.unanswered[self.pending] += 1

            def say(self, text):
                self.wfile.write(text + b"\r\n")

            def talk(self):
                self.say(b"220 sink.test")
                while line := self.rfile.readline():
                    self.pending = None
                    verb = line[:4].upper()
                    if verb == b"EHLO":
                        self.say(b"250-sink.test\r\n250 PIPELINING")
                    elif verb == b"DATA":
                        self.say(b"354 go on")
                        data = b""
                        while not data.endswith(b"\r\n.\r\n"):
                            piece = self.rfile.readline()
                            if not piece:
                                return
                            data += piece
                        self.take(re.search(rb"Subject: (\S+)", data).group(1))
                    elif verb == b"QUIT":
                        self.say(b"221 bye")
                        return
                    else:
                        self.say(b"250 ok")

            def take(self, subject):
                with sink.lock:
                    sink.next = max(sink.next, time.monotonic()) + sink.interval_s
                    wait = sink.next - time.monotonic()
                if sink.interval_s and wait > 0:
                    time.sleep(wait)
                with sink.lock:
                    sink.taken[subject] += 1
                self.pending = subject
                if random.random() < 0.002:        # the 250 is cut off
                    raise ConnectionError
                self.say(b"250 taken")

        class Listener(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            request_queue_size = 128

        self.listener = Listener(("127.0.0.1", 0), Session)
        self.port = self.listener.server_address[1]
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()


def submit_all(server, numbers, acknowledged, until):
    """Until each has its 250; one that may have been taken without one gets another subject."""
    client = None
    for number in numbers:
        for attempt in range(10_000):
            assert time.monotonic() < until
            subject = f"q{number}.{attempt}"
            try:
                client = client or login(server)
                client.sendmail("hanako@example.test", [f"u{number % 50}@elsewhere.test"], message(subject, sender="hanako@example.test"))
                acknowledged.add(subject.encode())
                break
            except (OSError, AssertionError, Exception):
                client = None
                time.sleep(0.2)


def test_kills_lose_nothing_and_duplicate_next_to_nothing(new_server, tmp_path):
    sink = CountingSink()
    server = sender(new_server, tmp_path, f"*=127.0.0.1:{sink.port}", 'retry_min = "1s" retry_max = "2s"')
    server.command("queue", "summary")
    acknowledged = [set() for _ in range(4)]
    until = time.monotonic() + KILLING_S
    threads = [threading.Thread(target=submit_all, args=(server, range(i, MESSAGES, 4), acknowledged[i], until)) for i in range(4)]
    sink.interval_s = KILLS * sum(ALIVE_S) / MESSAGES if LONG else 0
    for thread in threads:
        thread.start()
    kills, waiting = 0, []
    while kills < KILLS and time.monotonic() < until:
        time.sleep(random.uniform(*ALIVE_S))
        server.kill()
        kills += 1
        server.start()
        waiting.append(sum(map(len, acknowledged)) - len(sink.taken))
    for thread in threads:
        thread.join()
    sink.interval_s = 0
    wait_for(lambda: server.command("queue", "summary", json_rows=True)[0]["messages"] == 0, DRAINING_S)
    wanted = set().union(*acknowledged)
    lost = wanted - set(sink.taken)
    twice = {subject: times - 1 for subject, times in sink.taken.items() if times > 1}
    print(f"{len(wanted)} messages, {kills} kills, at the median one {sorted(waiting)[len(waiting) // 2]} acknowledged ones were under way; "
          f"{sum(twice.values())} sent again, {sum(sink.unanswered.values())} answers were not acted on")
    assert len(wanted) == MESSAGES and not lost and kills > KILLS * 0.6
    assert all(times <= sink.unanswered[subject] for subject, times in twice.items()), twice
    sink.listener.shutdown()
