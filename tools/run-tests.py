#!/usr/bin/python3
"""Runs all kinds of tests and adds up what they say.

Unit tests and fuzz replays speak TAP, tools exit 0 or not, system tests are pytest. Every failure is shown in
full where it happens; the last line is "N passed, N failed, N skipped".
"""
import argparse
import atexit
import contextlib
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

BUILD = "build-check"
CHAOS_S = 80
SEEDS, SEEDS_LONG = "1..300", "1..20000"
SIMULATION_MAX_S = 7200
UNIT_TESTS_MAX_S, UNIT_TESTS_LONG_MAX_S = 1500, 7200           # with thousands of scenarios


class Count:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, 0, 0
        self.failures = []

    def add(self, passed, failed, skipped):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def one(self, name, ok, output):
        self.add(int(ok), int(not ok), 0)
        if not ok:
            self.failures.append(name)
            print(f"FAILED {name}\n{output}", flush=True)


def run(command, timeout, environment=None):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=timeout, env=environment)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        return -1, (late.stdout or b"").decode(errors="replace") + f"\nno end after {timeout} s"


def heading(text, started):
    print(f"== {text} ({time.monotonic() - started:.0f} s)", flush=True)


def tap_environment(name):
    environment = dict(os.environ)
    if name != "unit-sim":
        # The sanitizer's fake stacks hide how much of a coroutine's own stack is used, which these tests measure.
        environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "").replace("detect_stack_use_after_return=1", "detect_stack_use_after_return=0")
    return environment


def count_tap(count, name, status, output):
    """Shows what went wrong, or was skipped, with its comments; counts the rest."""
    comments, failed_before = [], count.failed
    for line in output.splitlines():
        match = re.match(r"(not ok|ok) \d+ (.*?)( # SKIP.*)?$", line)
        if not match:
            comments.append(line)
            continue
        ok, skipped = match.group(1) == "ok", bool(match.group(3))
        count.add(int(ok and not skipped), int(not ok), int(skipped))
        if not ok:
            count.failures.append(match.group(2))
        if not ok or skipped:
            print("\n".join(comments + [line]), flush=True)
        comments = []
    if status != 0 and count.failed == failed_before:
        count.one(name, False, output[-4000:])


def cluster_folder():
    """In memory where the kernel allows direct I/O there (Linux 6.6), else on disk."""
    path = f"/dev/shm/tayori-check-{os.getpid()}"
    try:
        os.close(os.open(path + ".probe", os.O_CREAT | os.O_RDWR | os.O_DIRECT, 0o600))
        return path
    except OSError:
        return f"/tmp/tayori-check-{os.getpid()}"
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path + ".probe")


def stop_clusters_left_behind():
    """Of runs that were killed."""
    for folder in glob.glob("/dev/shm/tayori-check-*") + glob.glob("/tmp/tayori-check-*"):
        pid = folder.rsplit("-", 1)[1]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            run(["tools/test-cluster", "stop", folder], 60)


@contextlib.contextmanager
def test_cluster():
    """One Ceph for all tests, named by TAYORI_TEST_CEPH; without it those that need it say that they are skipped."""
    if "TAYORI_TEST_CEPH" in os.environ:
        yield
        return
    stop_clusters_left_behind()
    folder = cluster_folder()
    status, output = run(["tools/test-cluster", "start", folder], 120)
    if status == 0:
        os.environ["TAYORI_TEST_CEPH"] = output.splitlines()[-1]
    else:
        print(f"no cluster: {output.strip()}", flush=True)
    try:
        yield
    finally:
        os.environ.pop("TAYORI_TEST_CEPH", None)
        run(["tools/test-cluster", "stop", folder], 60)


class Beside:
    """What computes for long, beside all else, to which it gives way. Its output is in a file."""

    def __init__(self, command, environment=None):
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(["nice", "-n", "19", *command], stdout=self.output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment)
        atexit.register(self.process.kill)

    def end(self, timeout):
        """Status and text."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout)
        self.process.kill()
        self.output.seek(0)
        return self.process.wait(), self.output.read().decode(errors="replace")


def start_simulation(seeds):
    return Beside([f"{BUILD}/simulate", "--seeds", seeds])


def end_simulation(count, simulation, seeds, started):
    heading(f"simulator, seeds {seeds}", started)
    status, text = simulation.end(SIMULATION_MAX_S)
    print(text.strip().splitlines()[-1] if text.strip() else "", flush=True)
    count.one("simulate", status == 0, text[-4000:])


def run_pytest(count, names, long):
    result = os.path.join(BUILD, "pytest.xml")
    command = ["/usr/bin/python3", "-m", "pytest", "-q", "-x" if os.environ.get("CHECK_STOP") else "-q", "--junitxml", result,
               "-p", "no:cacheprovider", "-rs", "--tb=short", "tests/system"]
    if names:
        command += ["-k", " or ".join(names)]
    if not long:
        command += ["-m", "not long"]
    if os.path.exists(result):
        os.remove(result)
    status = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    if not os.path.exists(result):
        count.one("tests/system", status == 5, f"pytest ended with {status}")
        return
    for suite in ET.parse(result).getroot().iter("testsuite"):
        tests, skipped = int(suite.get("tests")), int(suite.get("skipped"))
        failed = int(suite.get("failures")) + int(suite.get("errors"))
        count.add(tests - skipped - failed, failed, skipped)
        for case in suite.iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                count.failures.append(case.get("name"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))      # an orderly end also then: a cluster runs
    with test_cluster():
        return run_all(options)


def run_all(options):
    count, started = Count(), time.monotonic()

    if not options.names:
        heading("tidiness", started)
        for tool in sorted(glob.glob("tools/check-*")):
            status, output = run([tool], 600)
            count.one(tool, status == 0, output)
        status, output = run(["tools/rfc-link", "--check"], 60)
        count.one("tools/rfc-link", status == 0, output)
    seeds = SEEDS_LONG if options.long else SEEDS
    beside = simulation = None
    if options.long and not options.names:
        beside, simulation = Beside([f"{BUILD}/unit-sim"], {**tap_environment("unit-sim"), "TAYORI_TEST_PATIENCE": "9"}), start_simulation(seeds)
    heading("unit tests", started)
    for program in ("unit-sim", "unit-uv", "unit-rados"):
        path = os.path.join(BUILD, program)
        if os.path.exists(path) and not (beside and program == "unit-sim"):
            count_tap(count, program, *run([path, *options.names], UNIT_TESTS_LONG_MAX_S if options.long else UNIT_TESTS_MAX_S, tap_environment(program)))
    if not options.names:
        heading("fuzz targets replayed", started)
        for path in sorted(glob.glob(f"{BUILD}/fuzz-*")):
            if os.path.isfile(path) and os.access(path, os.X_OK):
                status, output = run([path, f"tests/corpus/{os.path.basename(path)[5:]}"], 600)
                count.one(os.path.basename(path), status == 0, output[-4000:])
        if not simulation:
            end_simulation(count, start_simulation(seeds), seeds, started)
    if not options.fast and glob.glob("tests/system/test_*.py"):
        heading("system tests" + (", and beside them the simulator and unit-sim" if beside else ""), started)
        run_pytest(count, options.names, options.long)
    if beside:
        heading("unit-sim, with thousands of scenarios", started)
        count_tap(count, "unit-sim", *beside.end(UNIT_TESTS_LONG_MAX_S))
        end_simulation(count, simulation, seeds, started)
        heading(f"chaos, {CHAOS_S} s", started)
        status, output = run(["tests/chaos/chaos.py", str(CHAOS_S)], 900)
        print(output.strip(), flush=True)
        if status == 77:
            count.add(0, 0, 1)
        else:
            count.one("chaos", status == 0, "")
    heading("end", started)
    for name in count.failures:
        print(f"failed: {name}")
    print(f"{count.passed} passed, {count.failed} failed, {count.skipped} skipped")
    return 1 if count.failed or not count.passed else 0


if __name__ == "__main__":
    sys.exit(main())
