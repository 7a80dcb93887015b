"""Calculator.

`text` is a correct expression of non-negative integers, +, -, * and round brackets, without spaces;
a minus stands between two operands only. Return its value, * before + and -.
"""

LEVEL = 3


def solve(text: str) -> int:
    place = 0

    def sum_of_products() -> int:
        nonlocal place
        total = product()
        while place < len(text) and text[place] in "+-":
            sign = text[place]
            place += 1
            total = total + product() if sign == "+" else total - product()
        return total

    def product() -> int:
        nonlocal place
        value = atom()
        while place < len(text) and text[place] == "*":
            place += 1
            value *= atom()
        return value

    def atom() -> int:
        nonlocal place
        if text[place] == "(":
            place += 1
            value = sum_of_products()
            place += 1
            return value
        start = place
        while place < len(text) and text[place].isdigit():
            place += 1
        return int(text[start:place])

    return sum_of_products()


def brute(text):
    return eval(text)


def make(rng, size):
    def write(depth):
        if depth == 0 or rng.random() < 0.2:
            return str(rng.randint(0, 20))
        inner = write(depth - 1) + rng.choice("+-*") + write(depth - 1)
        return f"({inner})" if rng.random() < 0.5 else inner

    return (write(min(1 + size // 2, 6)),)


def valid(text):
    import re

    if len(text) > 400 or not re.fullmatch(r"[0-9+*()-]+", text):
        return False
    if re.search(r"(?<![0-9])0[0-9]|[0-9]{10}|[0-9][(]|[)][0-9(]", text):
        return False
    before = None
    while before != text:
        before = text
        text = re.sub(r"[(][0-9]+[)]|[0-9]+[-+*][0-9]+", "1", text)
    return re.fullmatch("[0-9]+", text) is not None
