"""What the programs that measure share: a network of their own, what others used meanwhile, tables."""
import os
import pathlib
import re
import resource
import statistics
import sys
import time

from servers import ROOT, shell

END = "<!-- end -->"


def enter_namespace():
    """Runs this program again in a network namespace with a quiet, ordinary network."""
    if os.environ.get("TAYORI_BENCH_INSIDE"):
        shell("ip", "link", "set", "lo", "up", "mtu", "1500")
        pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text("reno")
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return
    os.environ["TAYORI_BENCH_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])


def quiet():
    """What others use of the machine, in cores, over a second."""
    def busy():
        fields = list(map(int, pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]))
        return sum(fields[:3]) + sum(fields[5:8])
    before = busy()
    time.sleep(1)
    return (busy() - before) / os.sysconf("SC_CLK_TCK")


def more_is_better(row):
    return re.search(r" per s\b", row) is not None


def number(value):
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(figures, known, incomparable=()):
    """Markdown. The ratio is against the better of what the peers did here and the best they are known for; rows that begin as `incomparable` says have none."""
    names = list(figures)
    peers = names[1:]
    more = (["known best of peers"] if known else []) + ["ratio"] if peers else []
    lines = ["| | " + " | ".join(names + more) + " |", "|---" * (1 + len(names + more)) + "|"]
    for row in dict.fromkeys(row for name in names for row in figures[name]):
        medians = [statistics.median(figures[name][row]) if row in figures[name] else None for name in names]
        cells = [number(value) for value in medians]
        if peers:
            rivals = [value for value in [*medians[1:], known.get(row)] if value]
            best = (max if more_is_better(row) else min)(rivals, default=None)
            ratio = None if not best or not medians[0] or row.startswith(tuple(incomparable)) else medians[0] / best if more_is_better(row) else best / medians[0]
            cells += [number(known.get(row))] if known else []
            cells.append("" if ratio is None else f"{ratio:.1f}")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_pages(program, pages, text, note):
    """Between the program's mark and the next end mark of each page."""
    mark = f"<!-- made by {program} --markdown -->"
    for page in (ROOT / name for name in pages):
        before, begin, rest = page.read_text().partition(mark)
        _, end, after = rest.partition(END)
        if begin and end:
            page.write_text(f"{before}{mark}\n{note}\n\n{text}\n{END}{after}")
