"""The process whose instructions are counted: it makes every verb's calls, between client requests.

    valgrind --tool=callgrind --instr-atstart=no … python -m benchmarks.instructions.counting

A client request is a sequence of instructions that does nothing on a processor and speaks to
valgrind under it (valgrind.h, callgrind.h). Here it stands in a function of a few bytes, so that
one process is enough for all verbs: callgrind begins anew before a verb's calls, and writes what
they took after them. Without valgrind the same program compiles the kernels that the verbs need,
and leaves them on disk.
"""

from __future__ import annotations

import ctypes
import gc
import mmap

from benchmarks.instructions.verbs import VERBS

# int64 request(int64 question[6]): rax = rdi, the question; edx = 0, the answer without valgrind;
# rdi turned four times, by 128 bits together; xchg rbx, rbx: the request; rax = rdx; return.
_CODE = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
_CALLGRIND = (ord("C") << 24) + (ord("T") << 16)
_ZERO, _DUMP_AT, _START = _CALLGRIND + 1, _CALLGRIND + 3, _CALLGRIND + 4
_Question = ctypes.c_int64 * 6


class Callgrind:
    """Speaks to the callgrind that runs this process; without one, nothing happens."""

    def __init__(self) -> None:
        access = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=access)
        self._page.write(_CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._request = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.POINTER(_Question))(address)

    def start(self) -> None:
        """Begin to count; until then the process runs at valgrind's full speed."""
        self._request(_Question(_START))

    def zero(self) -> None:
        """Begin anew, at zero."""
        self._request(_Question(_ZERO))

    def dump(self, name: str) -> None:
        """Write what was counted, under a name."""
        text = ctypes.create_string_buffer(name.encode("ascii"))
        self._request(_Question(_DUMP_AT, ctypes.addressof(text)))


def main() -> None:
    """Have every verb's calls counted, in a process where all of them were made before."""
    gc.disable()
    tasks = {verb.name: verb.prepare() for verb in VERBS}
    for task in tasks.values():
        task.warm_up()
    callgrind = Callgrind()
    callgrind.start()
    for name, task in tasks.items():
        callgrind.zero()
        task.run()
        callgrind.dump(f"{len(task.arguments)} {name}")


if __name__ == "__main__":
    main()
