"""Journals in a real cluster while it is broken: each acknowledged record is there afterwards, once (tests/cluster/hammer.c looks)."""
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from conftest import CLUSTER_TOOL, PROGRAM

HAMMER = PROGRAM.parent / "rados-hammer"
ENDS_WITHIN_S = 300


class Cluster:
    def __init__(self):
        other = os.environ.get("TAYORI_TEST_CEPH")
        base = pathlib.Path(other).parents[1] if other else pathlib.Path("/dev/shm")
        self.folder = base / f"tayori-check-faults-{os.getpid()}"

    def do(self, command, *words):
        done = subprocess.run([CLUSTER_TOOL, command, self.folder, *map(str, words)], capture_output=True, text=True, timeout=ENDS_WITHIN_S)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def ceph(self, *words):
        environment = {**os.environ, "CEPH_CONF": str(self.folder / "ceph.conf")}
        subprocess.run(["ceph", *map(str, words)], env=environment, check=True, capture_output=True, timeout=ENDS_WITHIN_S)

    def fill(self, is_full):
        """Full is what its ratios say is."""
        for ratio, usual in (("full", 0.95), ("backfillfull", 0.9), ("nearfull", 0.85)):
            self.ceph("osd", f"set-{ratio}-ratio", 0.0001 if is_full else usual)


@pytest.fixture(scope="module")
def cluster():
    if not shutil.which("ceph-mon", path=os.environ["PATH"] + ":/usr/sbin:/sbin") or not shutil.which("ceph"):
        pytest.skip("no Ceph here (packages ceph-mon, ceph-osd, ceph-common)")
    cluster = Cluster()
    cluster.do("start")
    yield cluster
    cluster.do("stop")


def hammer_while(cluster, breaks, seconds, *options):
    """Runs breaks() under appends; what the hammer counted, by its words."""
    config = cluster.folder / "ceph.conf"
    process = subprocess.Popen([HAMMER, "--config", config, "--seconds", str(seconds), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "begun\n"
        time.sleep(1)
        breaks()
        output, errors = process.communicate(timeout=ENDS_WITHIN_S)
    finally:
        process.kill()
    print(output)
    assert process.returncode == 0, output + errors
    counted = dict((words, int(number)) for number, words in re.findall(r"(\d+) ([a-z]+(?: [a-z]+)*)", output))
    assert counted["lost"] == counted["twice"] == counted["done though refused"] == 0
    return counted


def test_osd_killed(cluster):
    def breaks():
        cluster.do("kill-osd", 0)
        time.sleep(3)
        cluster.do("start-osd", 0)

    counted = hammer_while(cluster, breaks, 8)
    assert counted["acknowledged"] > 200 and counted["unknown"] == 0
    cluster.do("wait")


def test_cluster_full(cluster):
    """Refused at once with words, not held back; and taken again when there is room."""
    def breaks():
        cluster.fill(True)
        time.sleep(4)
        cluster.fill(False)

    counted = hammer_while(cluster, breaks, 9)
    assert counted["acknowledged"] > 200 and counted["refused"] > 200 and counted["unknown"] == 0


@pytest.mark.long
def test_osd_hangs(cluster):
    """Longer than the callers wait: what is not answered in time may or may not be done, and says so."""
    def breaks():
        cluster.do("hang-osd", 1)
        time.sleep(6)
        cluster.do("resume-osd", 1)

    counted = hammer_while(cluster, breaks, 14, "--deadline", "1500")
    assert counted["acknowledged"] > 200 and counted["unknown"] > 0
    cluster.do("wait")


@pytest.mark.long
def test_monitor_restarts(cluster):
    counted = hammer_while(cluster, lambda: cluster.do("restart-mon", 2), 8)
    assert counted["acknowledged"] > 200 and counted["unknown"] == 0
