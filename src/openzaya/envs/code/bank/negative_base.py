"""Base minus two.

Every integer can be written with the digits 0 and 1 in base -2: the places are worth 1, -2, 4, -8
and so on. Return `number` in this form, without leading zeros ("0" for zero).
"""

LEVEL = 1


def solve(number: int) -> str:
    if number == 0:
        return "0"
    digits = ""
    while number:
        digits = str(number % 2) + digits
        number = (number - number % 2) // -2
    return digits


def brute(number):
    length = 1
    while True:
        for bits in range(1 << (length - 1) if length > 1 else 0, 1 << length):
            if sum((-2) ** i for i in range(length) if bits >> i & 1) == number:
                return f"{bits:b}"
        length += 1


def make(rng, size):
    return (rng.randint(-10 * size, 10 * size),)


def valid(number):
    return abs(number) <= 10**18
