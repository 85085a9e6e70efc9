"""Coroutines for gdb:

    gdb -p PID -x tools/gdb/tayori.py          or with a program and its core file
    (gdb) tayori coroutines                    of all loops: number, loop, name, state, what it waits for, where
    (gdb) tayori backtrace NUMBER | all        of one that waits, or of all

A coroutine that waits has saved its registers on its own stack (runtime/switch_*.S); frames are walked by frame pointers, so nothing
is changed and core files do as well.
"""
import gdb

STATES = ["ready", "running", "waits", "ended"]
FRAMES_MAX = 60
# Words from the saved stack pointer: where the frame pointer and the return address are.
SAVED = {"x86-64": (5, 6), "aarch64": (10, 11)}


def word_at(address):
    return int.from_bytes(gdb.selected_inferior().read_memory(address, 8).tobytes(), "little")


def offset_of(struct, field):
    return int(gdb.parse_and_eval(f"(unsigned long)&((struct {struct} *)0)->{field}"))


def loops():
    """Of every thread that runs one, in order of their numbers."""
    found = {}
    before = gdb.selected_thread()
    for thread in gdb.selected_inferior().threads():
        thread.switch()
        try:
            loop = gdb.parse_and_eval("'loop.c'::self")
            if int(loop):
                found[int(loop["index"])] = loop
        except gdb.error:
            continue
    if before:
        before.switch()
    return [found[index] for index in sorted(found)]


def coroutines():
    offset, kind = offset_of("coroutine", "all_node"), gdb.lookup_type("struct coroutine").pointer()
    for loop in loops():
        head = int(loop["all"].address)
        node = int(loop["all"]["next"])
        while node != head:
            coroutine = gdb.Value(node - offset).cast(kind)
            yield loop, coroutine
            node = int(coroutine["all_node"]["next"])


def frames_of(coroutine):
    """Places, innermost first; nothing of one that runs: gdb's own backtrace shows it."""
    state = STATES[int(coroutine["state"])]
    if state in ("running", "ended") or not int(coroutine["context"]):
        return []
    architecture = gdb.selected_inferior().architecture().name()
    fp_word, pc_word = SAVED["aarch64" if "aarch64" in architecture else "x86-64"]
    context = int(coroutine["context"])
    low, high = int(coroutine["stack"]["low"]), int(coroutine["stack"].cast(gdb.lookup_type("unsigned long")))
    places, fp = [word_at(context + 8 * pc_word)], word_at(context + 8 * fp_word)
    while low <= fp <= high - 16 and len(places) < FRAMES_MAX:
        pc, above = word_at(fp + 8), word_at(fp)
        if not pc:
            break
        places.append(pc)
        if above <= fp:
            break
        fp = above
    return places


def describe(pc):
    block, line = gdb.block_for_pc(pc - 1), gdb.find_pc_line(pc - 1)
    while block and not block.function:
        block = block.superblock
    name = block.function.name if block else "??"
    where = f" at {line.symtab.filename}:{line.line}" if line.symtab else ""
    return f"{name}(){where}"


def text_of(value):
    return value.string() if int(value) else ""


class Tayori(gdb.Command):
    """tayori coroutines; tayori backtrace NUMBER|all"""

    def __init__(self):
        super().__init__("tayori", gdb.COMMAND_STACK, prefix=False)

    def invoke(self, argument, from_tty):
        words = argument.split()
        if words[:1] == ["coroutines"]:
            self.show_all()
        elif words[:1] == ["backtrace"] and len(words) == 2:
            self.backtrace(words[1])
        else:
            raise gdb.GdbError(self.__doc__)

    def show_all(self):
        for number, (loop, coroutine) in enumerate(coroutines()):
            places = frames_of(coroutine)
            outer = next((describe(pc) for pc in places if not describe(pc).startswith(("switch_away", "coroutine_", "waitlist_", "completion_"))), "")
            print(f"{number:5} loop {int(loop['index'])}  {text_of(coroutine['name'])}: {STATES[int(coroutine['state'])]} {text_of(coroutine['waits_for'])} {outer}")

    def backtrace(self, which):
        for number, (loop, coroutine) in enumerate(coroutines()):
            if which not in ("all", str(number)):
                continue
            print(f"coroutine {number}, loop {int(loop['index'])}, {text_of(coroutine['name'])}: {STATES[int(coroutine['state'])]} {text_of(coroutine['waits_for'])}")
            for depth, pc in enumerate(frames_of(coroutine)):
                print(f"  #{depth:<2} {pc:#x} {describe(pc)}")


Tayori()
