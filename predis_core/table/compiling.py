"""Numba's compiler without the steps that kernels have no use for: two fifths of its time.

Kernels are scalar code over addresses. They have no closures, no `with`, no array expressions, and
nothing that Numba is to inline before it knows types; LLVM inlines what is marked for it. And only
kernels run: the helpers that they call become machine code as parts of them.
"""

from __future__ import annotations

from typing import Any

from numba.core import typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import NativeLowering

_UNUSED = (
    untyped_passes.WithLifting,
    untyped_passes.InlineClosureLikes,
    untyped_passes.RewriteDynamicRaises,
    untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.InlineInlinables,
    untyped_passes.FindLiterallyCalls,
    untyped_passes.LiteralUnroll,
    untyped_passes.LiteralPropagationSubPipelinePass,
    typed_passes.InlineOverloads,
    typed_passes.NopythonRewrites,
    typed_passes.DumpParforDiagnostics,
)


class KernelCompiler(CompilerBase):  # type: ignore[misc]
    """What `numba.njit(pipeline_class=…)` takes for what Python calls."""

    lowering: Any = NativeLowering

    def define_pipelines(self) -> list[PassManager]:
        """Return Numba's pipeline less the steps that are not used."""
        whole = DefaultPassBuilder.define_nopython_pipeline(self.state)
        kept = PassManager(whole.pipeline_name)
        for step, text in whole.passes:
            if step not in _UNUSED:
                kept.add_pass(self.lowering if step is NativeLowering else step, text)
        kept.finalize()
        return [kept]


@register_pass(mutates_CFG=True, analysis_only=False)
class _HelperLowering(NativeLowering):  # type: ignore[misc]
    _name = "helper_lowering"

    def run_pass(self, state: Any) -> bool:
        """Put the function into a library of code that is only ever linked."""
        state.library = _Linked(state.targetctx.codegen(), state.func_id.func_qualname)
        return bool(super().run_pass(state))


class HelperCompiler(KernelCompiler):
    """What `numba.njit(pipeline_class=…)` takes for what only kernels call."""

    lowering = _HelperLowering


class _Linked(JITCodeLibrary):  # type: ignore[misc]
    """LLVM's code of a helper, which kernels take in; no machine code is made of it alone."""

    @property
    def codegen(self) -> Any:
        return _WithoutEnvironments(self._codegen)

    def get_pointer_to_function(self, name: str) -> int:
        """Say that there is none."""
        self._ensure_finalized()
        return 0

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _WithoutEnvironments:
    """Makes code as another does, but what is not in memory is not told its environment."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, name: str, environment: Any) -> None:
        """Do nothing: helpers raise nothing that would need one."""
