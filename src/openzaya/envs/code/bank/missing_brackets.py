"""Missing brackets.

`text` consists of the characters ( and ) only. Return the smallest number of brackets that must be
inserted, anywhere, so that every bracket has its partner.
"""

LEVEL = 0


def solve(text: str) -> int:
    depth = missing = 0
    for character in text:
        if character == "(":
            depth += 1
        elif depth > 0:
            depth -= 1
        else:
            missing += 1
    return missing + depth


def brute(text):
    while "()" in text:
        text = text.replace("()", "")
    return len(text)


def make(rng, size):
    return ("".join(rng.choice("()") for _ in range(rng.randint(0, 4 + 2 * size))),)


def valid(text):
    return len(text) <= 5000 and set(text) <= set("()")
