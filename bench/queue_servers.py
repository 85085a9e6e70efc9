"""The two servers that bench/queue.py has send mail: each takes it on a port of its own and has its queue in a fresh folder of the same disk."""
import json
import os
import subprocess

from servers import ROOT, Behind, Server, Tayori, shell

SINK = 12525
# What the sink's messages are for: all destinations lead to it, one of them over an address of its own, and one leads nowhere.
ROUTES = f"away.test=127.0.0.3:9 slow.test=127.0.0.2:{SINK} *=127.0.0.1:{SINK}"


class Sender(Tayori):
    """Tayori by submission, with AUTH once for each connection and without TLS."""
    ports = {"submission": 12587, "http": 12580}
    submits = ["auth=AGJlbmNoQGV4YW1wbGUudGVzdABzZWNyZXQ="]

    def fill(self):
        program = ROOT / "build" / "tayori"
        shell(program, "domain", "add", "example.test", "--dir", self.dir)
        for name in ("bench", "fresh"):
            shell(program, "account", "add", f"{name}@example.test", "--password-stdin", "--dir", self.dir, input=b"{PLAIN}secret\n", stdout=subprocess.DEVNULL)
        (self.dir / "tayori.conf").write_text(
            'server { name = "out.example.test" }\nsmtp { connections_per_address = "0" }\n'
            f'listener "s" {{ protocol = "submission" address = "127.0.0.1" port = {self.ports["submission"]} tls = "starttls" }}\n'
            f'listener "h" {{ protocol = "http" address = "127.0.0.1" port = {self.ports["http"]} }}\n'
            f'outbound {{ routes = "{ROUTES}" connections = "50" }}\n')

    def port(self):
        return self.ports["submission"]

    def waiting(self):
        told = subprocess.run([str(ROOT / "build" / "tayori"), "queue", "summary", "--json", "--dir", str(self.dir)], check=True, capture_output=True, text=True).stdout
        return json.loads(told)["messages"]


class Postfix(Behind, Server):
    """Debian's Postfix by SMTP from loopback: it has no passwords of its own, and is spared looking them up."""
    name = "Postfix"
    ports = {"smtp": 12526}
    submits = []

    def fill(self):
        (self.dir / "postfix").mkdir()
        (self.dir / "data").mkdir()
        shell("chown", "postfix", self.dir / "data")
        self.fill_in("postfix-out")
        (self.dir / "postfix-out").rename(self.dir / "postfix-config")

    def start(self):
        self.start_postfix()
        self.wait_started()

    def pid_files(self):
        return [self.postfix_pid()]

    def port(self):
        return self.ports["smtp"]

    def waiting(self):
        folders = (self.dir / "postfix" / name for name in ("maildrop", "incoming", "active", "deferred"))
        return sum(len(files) for folder in folders for _, _, files in os.walk(folder))


class Sink:
    """`load sink`: its answers are lines of JSON."""

    def __init__(self, load, **options):
        words = [f"{name}={value}" for name, value in {"port": SINK, **options}.items()]
        self.process = subprocess.Popen([str(load), "sink", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the sink does not start")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        if line != "reset":
            return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)
