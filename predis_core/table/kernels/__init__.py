"""The verbs of a CPU table in machine code; `predis_core.table.reference` defines what they do.

This package is a template: `codegen` copies it for each combination of policy, keys and values,
with `constants` and `policy` replaced. As it stands here it is a table of int64 keys under FIFO.

Kernels work on addresses. With int64 keys and rows they run without the GIL under the table's lock,
taken anew for every block of keys so that nobody waits long. With references they hold the GIL; no
Python code can run inside them, because references are taken or handed over, never dropped.
"""

from __future__ import annotations
