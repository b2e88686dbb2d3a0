"""A policy's Python functions as CUDA C++.

The contract (`predis_core.policies.contract`) leaves a policy nothing but int64 arithmetic and
branches, so its functions are translated from their syntax trees: names become constants, locals or
calls of translated helpers, operators become functions of `arithmetic.cuh`, which wrap as int64
does and divide, shift and compare as Python does. What is translated is the function that the other
backends run, so a user's policy works like a built-in one.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any, NoReturn

import numpy as np

from predis_core.errors import PolicyError
from predis_core.policies.contract import ARGUMENTS, Policy

_MISSING = object()
_BINARY = {
    ast.Add: "sum",
    ast.Sub: "difference",
    ast.Mult: "product",
    ast.FloorDiv: "quotient",
    ast.Mod: "remainder",
    ast.LShift: "shifted_left",
    ast.RShift: "shifted_right",
    ast.BitAnd: "both",
    ast.BitOr: "either",
    ast.BitXor: "one_of",
}
_UNARY = {ast.USub: "negative", ast.Invert: "complement"}
_COMPARISONS = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_BUILTINS = {min: "lesser", max: "greater"}
_FIX = (
    "a policy for the GPU is int64 arithmetic, comparisons, branches and calls of functions of the "
    "same kind; rewrite the line with these, or use device='cpu'"
)


def translated(policy: Policy) -> str:
    """Return a policy's functions as CUDA C++, each named `policy_` and as the policy has it.

    Scalars are `i64`; `parameters` is `const i64*`; a function that returns a tuple of n returns
    `Several<n>`. The text needs `arithmetic.cuh` before it.

    Raises:
        PolicyError: naming the function, its file and line, and the fix.
    """
    writer = _Writer(policy.name)
    for name, arguments in ARGUMENTS.items():
        writer.write(getattr(policy, name), _is_vector(arguments), f"policy_{name}")
    return "\n".join(writer.done)


def _is_vector(arguments: Sequence[str]) -> tuple[bool, ...]:
    return tuple(argument == "parameters" for argument in arguments)


class _Writer:
    """The functions of a policy and their helpers, each translated once per kinds of arguments."""

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self.done: list[str] = []
        self._found: dict[tuple[CodeType, tuple[bool, ...]], tuple[str, int]] = {}
        self._open: list[CodeType] = []
        self._files: dict[str, list[ast.FunctionDef | ast.Lambda]] = {}

    def write(
        self, function: FunctionType, vectors: tuple[bool, ...], name: str = ""
    ) -> tuple[str, int]:
        """Translate a function unless it is; return its name and how many values it returns.

        `vectors` tells which arguments are the parameter vector.
        """
        at = function.__code__, vectors
        if at not in self._found or name:
            name = name or f"helper_{len(self.done)}"
            self._open.append(function.__code__)
            one = _Function(self, function, vectors)
            self.done.append(one.text(name))
            self._open.pop()
            self._found[at] = name, one.results
        return self._found[at]

    def functions_in(self, function: FunctionType) -> list[ast.FunctionDef | ast.Lambda]:
        """Return the syntax trees of all functions in the file of one; none if it is no file."""
        file = function.__code__.co_filename
        if file not in self._files:
            lines = linecache.getlines(file, function.__globals__)
            try:
                nodes = ast.walk(ast.parse("".join(lines)))
            except SyntaxError:
                nodes = iter(())
            self._files[file] = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.Lambda)]
        return self._files[file]

    def is_open(self, function: FunctionType) -> bool:
        """Whether a function is being translated, so that a call of it is a recursion."""
        return function.__code__ in self._open


class _Function:
    """One function being translated."""

    def __init__(self, writer: _Writer, function: FunctionType, vectors: tuple[bool, ...]) -> None:
        self._writer = writer
        self._function = function
        self._node = self._tree()
        arguments = self._node.args
        if arguments.vararg or arguments.kwarg:
            self._fail(self._node, "takes any number of arguments")
        every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        self._names = [each.arg for each in every]
        self._vectors = {
            name for name, is_vector in zip(self._names, vectors, strict=True) if is_vector
        }
        self._is_vector = vectors
        self._locals = self._assigned()
        self._outer = inspect.getclosurevars(function)
        self._temporaries = 0
        self.results = 0
        """How many values it returns: known once its first `return` is translated."""

    # ------------------------------------------------------------------ the function as a whole

    def text(self, name: str) -> str:
        """Return the C++ function."""
        if isinstance(self._node, ast.Lambda):
            body = self._returned(self._node, self._node.body)
        else:
            if not _always_returns(self._node.body):
                self._fail(self._node, "can end without returning a value")
            body = self._block(self._node.body)
        head = ", ".join(
            f"{'const i64*' if is_vector else 'i64'} {_identifier(argument)}"
            for argument, is_vector in zip(self._names, self._is_vector, strict=True)
        )
        kind = "i64" if self.results == 1 else f"Several<{self.results}>"
        names = sorted(self._locals - set(self._names))
        declared = [f"i64 {', '.join(f'{_identifier(n)} = 0' for n in names)};"] if names else []
        lines = "".join(f"    {line}\n" for line in (*declared, *body))
        return f"DEVICE {kind} {name}({head}) {{\n{lines}}}\n"

    def _tree(self) -> ast.FunctionDef | ast.Lambda:
        """Return the function's syntax tree, with the line numbers of its file."""
        code = self._function.__code__
        found = [node for node in self._writer.functions_in(self._function) if _is_of(node, code)]
        if len(found) != 1:
            raise PolicyError(
                f"policy {self._writer.policy!r}: {code.co_name} cannot run on the GPU: its source "
                f"is not to be found at line {code.co_firstlineno} of {code.co_filename}; define "
                "it with def, in a file"
            )
        return found[0]

    def _assigned(self) -> set[str]:
        return {
            node.id
            for node in ast.walk(self._node)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }

    def _fail(self, node: ast.AST, problem: str) -> NoReturn:
        code = self._function.__code__
        line = getattr(node, "lineno", code.co_firstlineno)
        raise PolicyError(
            f"policy {self._writer.policy!r}: {code.co_name} cannot run on the GPU: line {line} of "
            f"{code.co_filename} {problem}; {_FIX}"
        )

    # ------------------------------------------------------------------ statements

    def _block(self, statements: Sequence[ast.stmt]) -> list[str]:
        return [line for statement in statements for line in self._statement(statement)]

    def _statement(self, node: ast.stmt) -> list[str]:
        if isinstance(node, ast.Return):
            if node.value is None:
                self._fail(node, "returns nothing")
            return self._returned(node, node.value)
        if isinstance(node, ast.If):
            return self._if(node)
        if isinstance(node, ast.Assign):
            return [line for target in node.targets for line in self._assign(target, node.value)]
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            return self._assign(node.target, node.value)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            old = ast.copy_location(ast.Name(node.target.id, ast.Load()), node)
            new = ast.copy_location(ast.BinOp(old, node.op, node.value), node)
            return self._assign(node.target, new)
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.Pass) or (is_text and isinstance(node.value.value, str)):  # type: ignore[attr-defined]
            return []
        self._fail(node, f"has a statement that is not translated ({_kind(node)})")

    def _if(self, node: ast.If) -> list[str]:
        lines = [f"if ({self._test(node.test)}) {{", *_indented(self._block(node.body)), "}"]
        if node.orelse:
            lines[-1] = "} else {"
            lines += [*_indented(self._block(node.orelse)), "}"]
        return lines

    def _assign(self, target: ast.expr, value: ast.expr) -> list[str]:
        if isinstance(target, ast.Name):
            if target.id in self._vectors:
                self._fail(target, "assigns to parameters")
            return [f"{_identifier(target.id)} = {self._scalar(value)};"]
        if not isinstance(target, ast.Tuple):
            self._fail(target, f"assigns to what is no variable ({_kind(target)})")
        self._temporaries += 1
        name, count = f"several_{self._temporaries}", len(target.elts)
        text, results = self._value(value)
        if results != count:
            self._fail(target, f"unpacks {results} into {count} variables")
        lines = [f"const Several<{count}> {name} = {text};"]
        for at, each in enumerate(target.elts):
            if not isinstance(each, ast.Name):
                self._fail(each, f"assigns to what is no variable ({_kind(each)})")
            lines.append(f"{_identifier(each.id)} = {name}.at[{at}];")
        return lines

    def _returned(self, node: ast.AST, value: ast.expr) -> list[str]:
        text, results = self._value(value)
        if self.results not in (0, results):
            self._fail(node, f"returns {results} values where another line returns {self.results}")
        self.results = results
        return [f"return {text};"]

    # ------------------------------------------------------------------ expressions

    def _value(self, node: ast.expr) -> tuple[str, int]:
        """Return an expression and how many values it has."""
        if isinstance(node, ast.Tuple):
            items = ", ".join(f"i64({self._scalar(each)})" for each in node.elts)
            return f"Several<{len(node.elts)}>{{{{{items}}}}}", len(node.elts)
        if isinstance(node, ast.IfExp):
            (yes, some), (no, others) = self._value(node.body), self._value(node.orelse)
            if some != others:
                self._fail(node, f"has {some} values in one branch and {others} in the other")
            cast = "i64" if some == 1 else ""
            return f"({self._test(node.test)} ? {cast}({yes}) : {cast}({no}))", some
        if isinstance(node, ast.Call):
            return self._call(node)
        return self._plain(node), 1

    def _scalar(self, node: ast.expr) -> str:
        text, results = self._value(node)
        if results != 1:
            self._fail(node, f"has {results} values where one is expected")
        return text

    def _plain(self, node: ast.expr) -> str:
        """An expression of one value that is neither a choice nor a call."""
        constant = self._constant(node)
        if constant is not _MISSING:
            return self._literal(node, constant)
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            left, right = self._scalar(node.left), self._scalar(node.right)
            return f"{_BINARY[type(node.op)]}({left}, {right})"
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not):
                return f"!({self._test(node.operand)})"
            operand = self._scalar(node.operand)
            return (
                operand if isinstance(node.op, ast.UAdd) else f"{_UNARY[type(node.op)]}({operand})"
            )
        if isinstance(node, ast.Compare):
            return self._compared(node)
        if isinstance(node, ast.BoolOp):
            return self._chosen(node)
        if isinstance(node, ast.Subscript):
            return self._parameter(node)
        if isinstance(node, ast.Name):
            if node.id in self._vectors:
                self._fail(node, "uses parameters other than as parameters[i]")
            if node.id in self._names or node.id in self._locals:
                return _identifier(node.id)
            self._fail(node, f"uses {node.id!r}, which is no int")
        self._fail(node, f"has an expression that is not translated ({_kind(node)})")

    def _test(self, node: ast.expr) -> str:
        """An expression of which only the truth matters."""
        if isinstance(node, ast.BoolOp):
            sign = " && " if isinstance(node.op, ast.And) else " || "
            return sign.join(f"({self._test(each)})" for each in node.values)
        if isinstance(node, ast.Compare):
            return self._compared(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return f"!({self._test(node.operand)})"
        return f"({self._scalar(node)}) != 0"

    def _compared(self, node: ast.Compare) -> str:
        sides = [f"i64({self._scalar(each)})" for each in (node.left, *node.comparators)]
        parts = []
        for at, operator in enumerate(node.ops):
            if type(operator) not in _COMPARISONS:
                self._fail(node, f"has a comparison that is not translated ({_kind(operator)})")
            parts.append(f"({sides[at]} {_COMPARISONS[type(operator)]} {sides[at + 1]})")
        return parts[0] if len(parts) == 1 else f"({' && '.join(parts)})"

    def _chosen(self, node: ast.BoolOp) -> str:
        """`and` and `or` as Python has them: one of the operands, which have no side effects."""
        *others, text = [f"i64({self._scalar(each)})" for each in node.values]
        for each in reversed(others):
            yes, no = (text, each) if isinstance(node.op, ast.And) else (each, text)
            text = f"({each} != 0 ? {yes} : {no})"
        return text

    def _parameter(self, node: ast.Subscript) -> str:
        base = node.value
        if not (isinstance(base, ast.Name) and base.id in self._vectors):
            self._fail(node, "takes an item of something other than parameters")
        index = self._constant(node.slice)
        if index is not _MISSING and not (isinstance(index, int) and index >= 0):
            self._fail(node, "counts parameters otherwise than from 0 up")
        return f"{_identifier(base.id)}[{self._scalar(node.slice)}]"

    def _call(self, node: ast.Call) -> tuple[str, int]:
        called = self._object(node.func)
        called = getattr(called, "py_func", called)
        if called in (int, bool) and len(node.args) == 1 and not node.keywords:
            text = self._scalar(node.args[0])
            return (text if called is int else f"({text} != 0)"), 1
        if called is abs and len(node.args) == 1:
            return f"magnitude({self._scalar(node.args[0])})", 1
        if called in (min, max) and len(node.args) > 1 and not node.keywords:
            text, *others = [self._scalar(each) for each in node.args]
            for each in others:
                text = f"{_BUILTINS[called]}({text}, {each})"
            return text, 1
        if not inspect.isfunction(called):
            self._fail(node, f"calls {ast.unparse(node.func)}, which is no plain function")
        if self._writer.is_open(called):
            self._fail(node, f"calls {called.__name__} again from within it")
        return self._helper(node, called)

    def _helper(self, node: ast.Call, called: FunctionType) -> tuple[str, int]:
        keywords = {each.arg: each.value for each in node.keywords if each.arg is not None}
        try:
            bound = inspect.signature(called).bind(*node.args, **keywords)
        except TypeError as error:
            self._fail(node, f"calls {called.__name__} with other arguments than it has ({error})")
        bound.apply_defaults()
        vectors = tuple(
            isinstance(given, ast.Name) and given.id in self._vectors
            for given in bound.arguments.values()
        )
        texts = []
        for given, is_vector in zip(bound.arguments.values(), vectors, strict=True):
            if is_vector:
                texts.append(_identifier(given.id))
            elif isinstance(given, ast.expr):
                texts.append(self._scalar(given))
            else:
                texts.append(self._literal(node, given))
        name, results = self._writer.write(called, vectors)
        return f"{name}({', '.join(texts)})", results

    # ------------------------------------------------------------------ names and constants

    def _object(self, node: ast.expr) -> Any:
        """What a name or a module's attribute stands for outside the function, or _MISSING."""
        if isinstance(node, ast.Attribute):
            base = self._object(node.value)
            return getattr(base, node.attr, _MISSING) if isinstance(base, ModuleType) else _MISSING
        if not isinstance(node, ast.Name) or node.id in self._names or node.id in self._locals:
            return _MISSING
        for names in (self._outer.nonlocals, self._outer.globals, self._outer.builtins):
            if node.id in names:
                return names[node.id]
        return _MISSING

    def _constant(self, node: ast.expr) -> Any:
        """The value of an expression of literals and outer ints, or _MISSING."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name | ast.Attribute):
            found = self._object(node)
            return int(found) if isinstance(found, int | np.integer) else _MISSING
        if isinstance(node, ast.BinOp):
            sides = [self._constant(node.left), self._constant(node.right)]
        elif isinstance(node, ast.UnaryOp):
            sides = [self._constant(node.operand)]
        else:
            return _MISSING
        if not all(isinstance(side, int) for side in sides):
            return _MISSING
        values = dict(zip("ab", sides, strict=False))
        try:
            return _folded(node, values)
        except (ArithmeticError, ValueError) as error:
            self._fail(node, f"cannot be computed ({error})")

    def _literal(self, node: ast.AST, value: Any) -> str:
        if not isinstance(value, int) or not -(2**63) <= value < 2**63:
            self._fail(node, f"has {value!r}, which is no int64")
        value = int(value)
        return f"i64({value}ll)" if value > -(2**63) else "i64(-9223372036854775807ll - 1)"


def _folded(node: ast.BinOp | ast.UnaryOp, values: dict[str, Any]) -> Any:
    """Apply an operator to the ints a and b, as Python would."""
    if isinstance(node, ast.BinOp):
        operation: ast.expr = ast.BinOp(
            ast.Name("a", ast.Load()), node.op, ast.Name("b", ast.Load())
        )
    else:
        operation = ast.UnaryOp(node.op, ast.Name("a", ast.Load()))
    tree = ast.fix_missing_locations(ast.Expression(operation))
    return eval(compile(tree, "<constant>", "eval"), {"__builtins__": {}}, values)


def _is_of(node: ast.FunctionDef | ast.Lambda, code: CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return node.name == code.co_name and first == code.co_firstlineno


def _always_returns(statements: Sequence[ast.stmt]) -> bool:
    return any(
        isinstance(each, ast.Return)
        or (
            isinstance(each, ast.If) and _always_returns(each.body) and _always_returns(each.orelse)
        )
        for each in statements
    )


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _identifier(name: str) -> str:
    """A C++ name that no keyword and nothing of ours has."""
    return "v_" + "".join(c if c.isascii() else f"u{ord(c):x}" for c in name)


def _kind(node: ast.AST) -> str:
    return type(node).__name__
