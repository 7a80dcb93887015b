"""Rejected solutions: accepted ones with one honest mistake in them.

Each mutant is one small change of the syntax tree, of a kind that people make. It is kept only if a
hidden test kills it, so that a task to find its fault has an answer.
"""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from openzaya.envs.code.judge import judge
from openzaya.envs.code.problem import Problem, Solution
from openzaya.envs.sandbox import Sandbox
from openzaya.types import Outcome

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip
OPERATORS: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Add,), ast.FloorDiv: (ast.Mod,),
    ast.Mod: (ast.FloorDiv,), ast.Div: (ast.FloorDiv,), ast.Pow: (ast.Mult,),
    ast.BitXor: (ast.BitOr,), ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,),
    ast.LShift: (ast.RShift,), ast.RShift: (ast.LShift,),
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
WORD = 1 << 32


def mutants(source: str, inside: str | None = None) -> Iterator[Solution]:
    """Every mutant of a Python program, the notes saying what was done. Nothing for other text.

    `inside`: only the function of this name is changed; others may be what tests lean on.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    seen = {ast.unparse(tree)}
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == inside]
    mine = {id(n) for function in functions for n in ast.walk(function)}
    for number, node in enumerate(ast.walk(tree)):
        if inside is not None and id(node) not in mine:
            continue
        for which, (note, _) in enumerate(_changes(node)):
            changed = copy.deepcopy(tree)
            target = next(n for i, n in enumerate(ast.walk(changed)) if i == number)
            _changes(target)[which][1]()
            code = ast.unparse(ast.fix_missing_locations(changed))
            if code not in seen:
                seen.add(code)
                line = getattr(node, "lineno", 0)
                yield Solution("python", code + "\n", f"line {line}: {note}")


def killed_mutants(
    sandbox: Sandbox, problem: Problem, most: int, tries: int, seed: int = 0
) -> list[Solution]:
    """Up to `most` mutants of the Python reference that a hidden test kills by its result, the
    least conspicuous first. Those that pass nothing are no honest mistakes; those that never end
    are judged by the clock; both are left out."""
    source = problem.reference()
    if source is None:
        return []
    made = list(mutants(source))
    random.Random(f"mutants:{problem.name}:{seed}").shuffle(made)
    ranked: list[tuple[int, Solution]] = []
    for mutant in made[:tries]:
        plain = replace(problem, prelude="") if problem.prelude else problem
        verdict = judge(sandbox, plain, mutant.code, "python", problem.hidden, keep_going=True)
        if verdict.outcome is Outcome.WRONG and verdict.passed > 0:
            ranked.append((verdict.passed, mutant))
    ranked.sort(key=lambda pair: -pair[0])
    return [mutant for _, mutant in ranked[:most]]


def _changes(node: ast.AST) -> list[tuple[str, Callable[[], None]]]:
    """(what, how to do it in place) for each mistake that can be made at `node`."""
    made: list[tuple[str, Callable[[], None]]] = []

    def offer(note: str, field: str, value: object) -> None:
        made.append((note, lambda: setattr(node, field, value)))

    match node:
        case ast.Compare():
            for i, op in enumerate(node.ops):
                for other in COMPARISONS.get(type(op), ()):
                    ops = [*node.ops[:i], other(), *node.ops[i + 1 :]]
                    offer("flipped comparison", "ops", ops)
        case ast.BinOp() | ast.AugAssign():
            for other in OPERATORS.get(type(node.op), ()):
                offer("wrong operator", "op", other())
        case ast.BoolOp():
            offer("and for or", "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not()):
            offer("lost negation", "op", ast.UAdd())
        case ast.Constant(value=bool()):
            offer("wrong truth value", "value", not node.value)
        case ast.Constant(value=int(number)):
            offer("off by one", "value", number + 1)
            offer("off by one", "value", number - 1)
        case ast.Constant(value=float(real)):
            offer("wrong constant", "value", real + 1.0)
        case ast.Constant(value=str(words)) if words:
            offer("wrong text", "value", words[:-1])
        case ast.If():
            offer("dropped case", "test", ast.Constant(False))
            offer("case without condition", "test", ast.Constant(True))
            if node.orelse:
                offer("dropped alternative", "orelse", [])
        case ast.IfExp():
            offer("dropped case", "test", ast.Constant(False))
            offer("case without condition", "test", ast.Constant(True))
        case ast.Name(ctx=ast.Load()) if node.id in NAMES:
            offer(f"{NAMES[node.id]} for {node.id}", "id", NAMES[node.id])
        case ast.Call(func=ast.Name(id="range"), args=args) if args:
            stop = 0 if len(args) == 1 else 1
            shorter = ast.BinOp(args[stop], ast.Sub(), ast.Constant(1))
            offer("loop too short", "args", [*args[:stop], shorter, *args[stop + 1 :]])
            if len(args) >= 2:
                later = ast.BinOp(args[0], ast.Add(), ast.Constant(1))
                offer("loop starts late", "args", [later, *args[1:]])
        case ast.Call(func=ast.Name(id="sorted" | "set" | "reversed" as name), args=[_]):
            offer(f"forgotten {name}", "func", ast.Name("list", ast.Load()))
            if node.keywords:
                offer("wrong order", "keywords", [])
        case ast.Call(args=[first, second], keywords=[]):
            offer("swapped arguments", "args", [second, first])
        case ast.Subscript(slice=ast.Slice(lower=lower, upper=upper, step=step)):
            if upper is not None:
                end = ast.BinOp(upper, ast.Sub(), ast.Constant(1))
                offer("slice too short", "slice", ast.Slice(lower, end, step))
            if lower is not None:
                offer("slice from the start", "slice", ast.Slice(None, upper, step))
        case ast.Return(value=value) if value is not None:
            wrapped = ast.parse(f"(lambda v: (v + {WORD // 2}) % {WORD} - {WORD // 2} "
                                "if type(v) is int else v)(0)", mode="eval").body  # fmt: skip
            assert isinstance(wrapped, ast.Call)
            wrapped.args = [value]
            offer("overflow of 32 bits", "value", wrapped)
    for name in ("body", "orelse"):
        block = getattr(node, name, None)
        if not isinstance(block, list):
            continue
        for i, statement in enumerate(block):
            if isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr | ast.Break):
                swap: ast.stmt = ast.Pass()
                if isinstance(statement, ast.Break):
                    swap = ast.Continue()
                note = "does not stop" if isinstance(statement, ast.Break) else "forgotten step"
                offer(note, name, [*block[:i], swap, *block[i + 1 :]])
            elif isinstance(statement, ast.While) and not statement.orelse:
                once = ast.If(statement.test, statement.body, [])
                if not any(isinstance(n, ast.Break | ast.Continue) for n in ast.walk(statement)):
                    offer("once for as long as", name, [*block[:i], once, *block[i + 1 :]])
    return made
