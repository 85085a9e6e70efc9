"""The servers that bench/run compares: prepare (a fresh store with its accounts), start, stop, and how each is watched."""
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORK = pathlib.Path(os.environ.get("TAYORI_BENCH_DIR", "/var/tmp/tayori-bench"))
ACCOUNTS = 1000


def shell(*words, **options):
    return subprocess.run([str(word) for word in words], check=True, timeout=300, **options)


def build_load(folder):
    """The load generator, with BoringSSL as Debian packages it: its client takes two thirds of the CPU that OpenSSL 3.0's takes for a handshake."""
    where = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True, check=True).stdout.strip()
    shell("gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-I/usr/include/android", "-o", folder / "load", *sorted((ROOT / "bench" / "load").glob("*.c")),
          f"-L/usr/lib/{where}/android", f"-Wl,-rpath,/usr/lib/{where}/android", "-lssl", "-lcrypto", "-lpthread")
    return folder / "load"


def wait_until(holds, what, seconds=60):
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise RuntimeError(f"{what}: not in {seconds} s")
        time.sleep(0.05)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def tree_of(roots):
    """These processes and all below them: {pid: seconds of CPU, those of ended children that were waited for among them}."""
    parents, seconds = {}, {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
        seconds[int(folder.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    found, fresh = {}, set(roots) & set(parents)
    while fresh:
        found.update({pid: seconds[pid] for pid in fresh})
        fresh = {pid for pid, parent in parents.items() if parent in fresh and pid not in found}
    return found


class Server:
    """Each prepare() takes a fresh folder, and what was there before is deleted when all is done: ext4 keeps the inodes of files that were deleted
    in the last minutes aside and looks through them at each creation, which doubled what a message cost Postfix and Dovecot."""
    fresh = itertools.count(1)

    def prepare(self):
        self.dir = WORK / f"{type(self).__name__.lower()}.{os.getpid()}.{next(Server.fresh)}"
        self.dir.mkdir(parents=True)
        self.fill()

    def cpu(self):
        return sum(tree_of(self.roots()).values())

    def memory_kb(self):
        total = 0
        for pid in tree_of(self.roots()):
            try:
                lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total

    def drop_caches(self):
        shell("sync")
        for path in self.dir.rglob("*"):
            if path.is_file() and not path.is_symlink():
                fd = os.open(path, os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)

    def make_certificate(self):
        shell("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-days", "30",
              "-keyout", self.dir / "key.pem", "-out", self.dir / "certificate.pem", stderr=subprocess.DEVNULL)

    def fill_in(self, folder):
        """bench/peers/<folder>/* with @DIR@ filled in; later names win, as in a copy."""
        for source in (ROOT / "bench" / "peers" / folder).iterdir():
            (self.dir / folder).mkdir(exist_ok=True)
            (self.dir / folder / source.name).write_text(source.read_text().replace("@DIR@", str(self.dir)))


class Tayori(Server):
    name = "Tayori"
    ports = {"smtp": 3025, "imap": 3043, "imaps": 3093, "pop3": 3010}
    process = None

    def fill(self):
        program = ROOT / "build" / "tayori"
        shell(program, "domain", "add", "example.test", "--dir", self.dir)
        lines = self.dir / "accounts.ndjson"
        with open(lines, "w") as f:
            for i in range(ACCOUNTS):
                f.write(json.dumps({"address": f"u{i}@example.test", "password": "{PLAIN}secret"}) + "\n")
        shell(program, "account", "load", lines, "--dir", self.dir, stdout=subprocess.DEVNULL)
        text = "".join(f'{room} {{ connections_per_address = "0" }}\n' for room in ("smtp",))
        for name, protocol, tls in (("smtp", "smtp", "starttls"), ("imap", "imap", "starttls"), ("imaps", "imap", "implicit"), ("pop3", "pop3", "starttls")):
            text += f'listener "{name}" {{ protocol = "{protocol}" address = "127.0.0.1" port = {self.ports[name]} tls = "{tls}" }}\n'
        (self.dir / "tayori.conf").write_text(text)

    def start(self):
        if any(map(listens, self.ports.values())):
            raise RuntimeError("another server listens there: it would be measured, and given the messages")
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen([str(ROOT / "build" / "tayori"), "serve", "--dir", str(self.dir), "--config", str(self.dir / "tayori.conf")],
                                            stdout=log, stderr=subprocess.STDOUT)
        wait_until(lambda: all(map(listens, self.ports.values())), "Tayori listens")

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def roots(self):
        return [self.process.pid]

    def wait_delivered(self):
        pass                                 # a 250 is a message that can be read


class Behind:
    """What the peers share: Postfix, and what it hands messages to by LMTP."""

    def prepare_postfix(self):
        for folder in ("postfix", "data"):
            (self.dir / folder).mkdir()
        shutil.chown(self.dir / "data", "postfix")
        self.fill_in("postfix")
        (self.dir / "postfix").rename(self.dir / "postfix-config")
        (self.dir / "postfix").mkdir()

    def start_postfix(self):
        shell("postfix", "-c", self.dir / "postfix-config", "start", stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def postfix_pid(self):
        return self.dir / "postfix/pid/master.pid"

    def roots(self):
        return [int(path.read_text().split()[0]) for path in self.pid_files() if path.exists()]

    def wait_started(self):
        wait_until(lambda: all(path.exists() and path.read_text().strip() for path in self.pid_files()), f"{self.name} starts")
        wait_until(lambda: all(map(listens, self.ports.values())), f"{self.name} listens")

    def stop(self):
        roots = self.roots()
        processes = tree_of(roots)
        for pid in roots:
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in processes), f"{self.name} stops")

    def wait_delivered(self):
        """Until the queues are empty: what was handed over can be read. Looked at seldom, because looking costs CPU as well."""
        queues = [self.dir / "postfix" / name for name in ("incoming", "active")]
        wait_until(lambda: not any(True for queue in queues for _ in os.scandir(queue)), "the queues are empty", 300)
        if any(files for _, _, files in os.walk(self.dir / "postfix" / "deferred")):
            raise RuntimeError(f"messages were deferred; see {self.dir}/postfix.log")


class Dovecot(Behind, Server):
    name = "Postfix+Dovecot"
    ports = {"smtp": 4125, "imap": 4143, "imaps": 4193, "pop3": 4110}

    def fill(self):
        subprocess.run(["useradd", "--system", "--no-create-home", "vmail"], stderr=subprocess.DEVNULL)
        self.prepare_postfix()
        self.fill_in("dovecot")
        for folder in ("run", "state", "mail"):
            (self.dir / folder).mkdir()
        shutil.chown(self.dir / "mail", "vmail")
        self.make_certificate()
        pathlib.Path("/proc/sys/fs/inotify/max_user_instances").write_text("20000")

    def start(self):
        self.start_postfix()
        shell("dovecot", "-c", self.dir / "dovecot/dovecot.conf", stderr=subprocess.DEVNULL)
        self.wait_started()

    def pid_files(self):
        return [self.dir / "run/master.pid", self.postfix_pid()]


class Cyrus(Server):
    """Debian's Cyrus, for what is asked of one mailbox: no mail arrives, messages are appended."""
    name = "Cyrus"
    ports = {"imap": 5143}

    def fill(self):
        self.unpack_program()
        self.fill_in("cyrus")
        for folder in ("config", "config/socket", "config/db", "config/proc", "config/lock", "spool"):
            (self.dir / folder).mkdir()
        for user in ("u0", "admin"):
            shell("saslpasswd2", "-p", "-c", "-f", self.dir / "sasldb2", "-u", socket.gethostname(), user, input=b"secret")
        shell("chown", "-R", "cyrus:mail", self.dir)
        self.dir.chmod(0o755)

    def unpack_program(self):
        """Its package cannot be installed beside Dovecot's (both are Debian's imap-server): installing one removes the other. So it is only unpacked."""
        shell("apt-get", "download", "-qq", "cyrus-imapd", cwd=self.dir)
        for package in self.dir.glob("cyrus-imapd_*.deb"):
            shell("dpkg", "-x", package, self.dir / "program")

    def start(self):
        with open(self.dir / "log", "ab") as log:
            shell("/usr/lib/cyrus/bin/master", "-C", self.dir / "cyrus/imapd.conf", "-M", self.dir / "cyrus/cyrus.conf", "-p", self.dir / "master.pid", "-d",
                  stdout=log, stderr=log)
        wait_until(lambda: all(map(listens, self.ports.values())), "Cyrus listens")

    def roots(self):
        return [int((self.dir / "master.pid").read_text().split()[0])]

    def stop(self):
        roots = self.roots()
        processes = tree_of(roots)
        os.kill(roots[0], signal.SIGTERM)
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in processes), "Cyrus stops")
