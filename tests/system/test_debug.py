"""What helps whoever looks into a running server: tools/gdb."""
import shutil
import subprocess

import pytest

from conftest import ROOT

pytestmark = pytest.mark.local


@pytest.mark.skipif(not shutil.which("gdb"), reason="gdb is not installed")
def test_gdb_shows_coroutines_and_where_they_wait(server):
    done = subprocess.run(["gdb", "-p", str(server.process.pid), "-batch", "-nx", "-iex", "set debuginfod enabled off", "-x", str(ROOT / "tools/gdb/tayori.py"),
                           "-ex", "tayori coroutines", "-ex", "tayori backtrace 0", "-ex", "tayori nonsense"], capture_output=True, text=True, timeout=120)
    if "ptrace: Operation not permitted" in done.stderr:
        pytest.skip("gdb may not look at processes here")
    lines = done.stdout.splitlines()
    listed = [line for line in lines if " loop " in line and ": waits" in line]
    assert any("main: waits" in line and "run_wait_signal()" in line for line in listed), done.stdout + done.stderr
    frames = [line.split()[2] for line in lines if line.startswith("  #")]
    assert frames[0] == "switch_away()" and "main_coroutine()" in frames and frames[-1] == "context_start()", done.stdout
    assert "tayori coroutines; tayori backtrace" in done.stderr
