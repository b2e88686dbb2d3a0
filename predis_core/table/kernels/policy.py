"""The policy that kernels are compiled with. Generated packages have their own in its place."""

from __future__ import annotations

from predis_core.policies.fifo import POLICY
from predis_core.table.codegen import compile_function

tally = compile_function(POLICY.tally)
on_insert = compile_function(POLICY.on_insert)
rank = compile_function(POLICY.rank)
segment = compile_function(POLICY.segment)
admit = compile_function(POLICY.admit)
passes = compile_function(POLICY.passes)
on_pass = compile_function(POLICY.on_pass)
on_evict = compile_function(POLICY.on_evict)
on_hit = compile_function(POLICY.on_hit)
on_value = compile_function(POLICY.on_value)
