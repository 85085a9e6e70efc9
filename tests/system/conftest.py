"""A real server for system tests: the sanitized program, on ports of its own, in a folder of its own."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("TAYORI_PROGRAM", ROOT / "build-check" / "tayori"))
TESTDATA = pathlib.Path(os.environ.get("TAYORI_TESTDATA", ROOT.parent / "shared" / "testdata"))
PASSWORD = "correct horse 馬"
START_TIMEOUT_S = 30
CLUSTER_TOOL = ROOT / "tools" / "test-cluster"
PORT_OFFSETS = {"smtp": 25, "lmtp": 24, "submission": 87, "submissions": 65, "imap": 43, "imaps": 93, "pop3": 10, "pop3s": 95, "http": 80}


LISTENERS = {"smtp": ("smtp", "starttls"), "lmtp": ("lmtp", "starttls"), "imap": ("imap", "starttls"), "imaps": ("imap", "implicit"),
             "pop3": ("pop3", "starttls"), "pop3s": ("pop3", "implicit"), "submission": ("submission", "starttls"),
             "submissions": ("submission", "implicit"), "http": ("http", "none")}


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; only with ./check --long")
    config.addinivalue_line("markers", "local: about the local engine, or about none")
    config.addinivalue_line("markers", "rados: about several nodes on one cluster")
    config.addinivalue_line("markers", "both: on the rados engine too in every ./check; other tests only with --long")


def pytest_generate_tests(metafunc):
    """Whatever serves runs on both engines."""
    if "engine" not in metafunc.fixturenames:
        return
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    engines = ["local"] if "rados" not in marks else []
    if "local" not in marks:
        engines.append(pytest.param("rados", marks=[] if marks & {"both", "rados"} else [pytest.mark.long]))
    metafunc.parametrize("engine", engines)


def free_port_base():
    """A base whose ports are all free now, below the range that outgoing connections take theirs from. By process id, so that two runs do not meet."""
    base = 10000 + os.getpid() % 220 * 100
    while True:
        try:
            for offset in PORT_OFFSETS.values():
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", base + offset))
            return base
        except OSError:
            base = base + 100 if base < 32000 else 10000


def free_port():
    """Any, for what is not a server of ours."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def node_modules():
    """What package-lock.json names, installed; anew when it has changed."""
    folder = ROOT / "tests" / "node"
    installed = folder / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (folder / "package-lock.json").stat().st_mtime:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True, timeout=600)
    return folder


def listeners(base):
    """Those that a server has without a configuration, for one that has one."""
    return "".join(f'listener "{name}" {{ protocol = "{protocol}" address = "127.0.0.1" port = {base + PORT_OFFSETS[name]} tls = "{tls}" }}\n'
                   for name, (protocol, tls) in LISTENERS.items())


class RadosStore:
    """A store of its own in a test cluster; several servers may have it open."""
    def __init__(self, ceph_config):
        self.ceph_config, self.name = ceph_config, f"t{uuid.uuid4().hex}"

    def rados(self, *words, **options):
        """Of Ceph's tool, in the pool and namespace of message packs."""
        line = ["rados", "-c", self.ceph_config, "-p", "tayori-objects", "-N", f"{self.name}.o", *words]
        return subprocess.run(line, check=True, capture_output=True, **options).stdout

    def truncate_largest_object(self):
        largest = max((self.rados("get", name, "-") for name in self.rados("ls", text=True).split()), key=len)
        name = next(name for name in self.rados("ls", text=True).split() if self.rados("get", name, "-") == largest)
        self.rados("put", name, "-", input=largest[:len(largest) // 2])

    def section(self):
        return (f'store {{ engine = "rados" ceph_config = "{self.ceph_config}" pool = "tayori" object_pool = "tayori-objects" archive_pool = "tayori-objects" '
                f'namespace = "{self.name}" }}\n')

    def config(self, node, base, more=""):
        return f'server {{ node = "{node}" }}\n{self.section()}{more}{listeners(base)}'


class Server:
    """`store`: a RadosStore; None: the local engine. `settings`: more sections of the configuration, with a store."""
    def __init__(self, folder, options=(), config=None, store=None, settings="", program=PROGRAM):
        self.folder = pathlib.Path(folder)
        self.base = free_port_base()
        self.options, self.config, self.store, self.program = list(options), config, store, program
        self.process = None
        if store and not config:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.config = self.folder.parent / f"{self.folder.name}.conf"
            self.config.write_text(store.config(self.folder.name, self.base, settings))
        self.log = self.folder.parent / (self.folder.name + ".log")

    def port(self, name):
        return self.base + PORT_OFFSETS[name]

    def command(self, *words, stdin=None, check=True, json_rows=False):
        """Runs `tayori words`; its standard output, or the rows of --json."""
        line = [str(self.program), *map(str, words), "--dir", str(self.folder)] + (["--json"] if json_rows else [])
        if self.store and words[0] not in ("man", "version", "events"):
            line += ["--config", str(self.config)]
        done = subprocess.run(line, input=stdin, capture_output=True, text=True, timeout=600)
        if check:
            assert done.returncode == 0, f"{line}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            return [json.loads(row) for row in done.stdout.splitlines()] if json_rows else done.stdout
        return done

    def start(self, is_ready=200):
        self.folder.mkdir(parents=True, exist_ok=True)
        how = ["--config", str(self.config)] if self.config else ["--port-base", str(self.base)]
        log = open(self.log, "ab")
        environment = dict(os.environ)
        if self.store:
            # What is written to the cluster passes through memory, of which the sanitizer keeps 256 MB that were freed.
            environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=32"
        self.process = subprocess.Popen([str(self.program), "serve", "--dir", str(self.folder), *how, *self.options], stdout=log, stderr=log,
                                        stdin=subprocess.DEVNULL, env=environment)
        self.wait_ready(is_ready=is_ready)
        return self

    def wait_ready(self, port=None, is_ready=200):
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log_text()[-4000:]}")
            try:
                with socket.create_connection(("127.0.0.1", port or self.port("http")), timeout=1) as probe:
                    probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    if b" %d " % is_ready in probe.recv(100):
                        return
            except OSError:
                pass
            assert time.monotonic() < deadline, f"not ready:\n{self.log_text()[-4000:]}"
            time.sleep(0.02)

    def stop(self):
        """An orderly stop; what the sanitizers found fails the test."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"no end after SIGTERM:\n{self.log_text()[-4000:]}")
        code = self.process.returncode if self.process else 0
        self.process = None
        assert code == 0, f"the server ended with {code}:\n{self.log_text()[-6000:]}"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def metrics(self):
        with socket.create_connection(("127.0.0.1", self.port("http"))) as s:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            data = b""
            while piece := s.recv(65536):
                data += piece
        return data.decode()

    def add_domain(self, name="example.test"):
        self.command("domain", "add", name)

    def add_account(self, address, password=PASSWORD, *options):
        # A clear password under a scheme: hashing under sanitizers costs a second each.
        self.command("account", "add", address, "--password-stdin", *options, stdin="{PLAIN}" + password + "\n")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "var"


@pytest.fixture(scope="session")
def ceph_config():
    """Of the cluster that tools/run-tests.py has started for all, or of one of our own."""
    if "TAYORI_TEST_CEPH" in os.environ:
        yield os.environ["TAYORI_TEST_CEPH"]
        return
    folder = f"/dev/shm/tayori-check-{os.getpid()}"
    done = subprocess.run([CLUSTER_TOOL, "start", folder], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no Ceph cluster: {done.stderr.strip()}")
    yield done.stdout.split()[-1]
    subprocess.run([CLUSTER_TOOL, "stop", folder])


@pytest.fixture
def store(engine, request):
    """What the servers of a test share; None: each has a local store of its own."""
    return RadosStore(request.getfixturevalue("ceph_config")) if engine == "rados" else None


@pytest.fixture
def new_server(tmp_path, store):
    """A function that makes servers; all are ended at the end."""
    made = []

    def make(name="var", **options):
        server = Server(tmp_path / name, **{"store": store, **options})
        made.append(server)
        return server

    yield make
    for server in made:
        if server.process:
            server.stop()


@pytest.fixture
def server(new_server):
    """A running server with the domain example.test and the account hanako@example.test."""
    server = new_server().start()
    server.add_domain()
    server.add_account("hanako@example.test")
    return server


def need(program):
    if not shutil.which(program):
        pytest.fail(f"{program} is not installed: tools/install-packages test")
    return program


def sample_folder(path):
    folder = TESTDATA / path
    if not folder.exists():
        pytest.skip(f"no shared test data here: {path}")
    return folder
