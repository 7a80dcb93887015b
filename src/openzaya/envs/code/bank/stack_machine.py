"""Stack machine.

A machine has a stack of integers, empty at first. Each line of `code` is one of: `push N` (N an
integer), `add`, `mul`, `sub` (the two topmost a above b become b + a, b * a, b - a), `dup` (doubles
the topmost), `swap`, `pop`. A line that needs more elements than there are does nothing. Return the
stack at the end, the bottom first.
"""

LEVEL = 1


def solve(code: list[str]) -> list[int]:
    stack: list[int] = []
    for line in code:
        name, _, operand = line.partition(" ")
        if name == "push":
            stack.append(int(operand))
        elif name in ("add", "mul", "sub", "swap"):
            if len(stack) < 2:
                continue
            a, b = stack.pop(), stack.pop()
            if name == "add":
                stack.append(b + a)
            elif name == "mul":
                stack.append(b * a)
            elif name == "sub":
                stack.append(b - a)
            else:
                stack += [a, b]
        elif stack:
            top = stack.pop()
            if name == "dup":
                stack += [top, top]
    return stack


def brute(code):
    stack: list[int] = []
    two = {
        "add": lambda b, a: [b + a],
        "mul": lambda b, a: [b * a],
        "sub": lambda b, a: [b - a],
        "swap": lambda b, a: [a, b],
    }
    for line in code:
        words = line.split()
        if len(words) == 2:
            stack = [*stack, int(words[1])]
        elif words[0] in two and len(stack) > 1:
            stack = stack[:-2] + two[words[0]](*stack[-2:])
        elif words[0] == "dup" and stack:
            stack = [*stack, stack[-1]]
        elif words[0] == "pop":
            stack = stack[:-1]
    return stack


def make(rng, size):
    lines = []
    for _ in range(rng.randint(1, 4 + 2 * size)):
        name = rng.choice(("push", "push", "push", "add", "mul", "sub", "dup", "swap", "pop"))
        lines.append(f"push {rng.randint(-9, 9)}" if name == "push" else name)
    return (lines,)


def valid(code):
    import re

    form = "push -?[0-9]{1,6}|add|mul|sub|dup|swap|pop"
    few = code.count("mul") <= 8  # numbers square with dup and mul
    return len(code) <= 60 and few and all(re.fullmatch(form, line) for line in code)
