"""Gray code.

The Gray code of n bits lists all bit strings: for one bit 0, 1; for n + 1 bits the list for n
with 0 in front, then the same list backwards with 1 in front. Return the position of `bits` in
the list of its length, counting from 0.
"""

LEVEL = 1


def solve(bits: str) -> int:
    position = 0
    current = 0
    for bit in bits:
        current ^= int(bit)
        position = position * 2 + current
    return position


def brute(bits):
    codes = ["0", "1"]
    for _ in range(len(bits) - 1):
        codes = ["0" + c for c in codes] + ["1" + c for c in codes[::-1]]
    return codes.index(bits)


def make(rng, size):
    return ("".join(rng.choice("01") for _ in range(rng.randint(1, min(2 + size, 12)))),)


def valid(bits):
    return 1 <= len(bits) <= 60 and set(bits) <= set("01")
