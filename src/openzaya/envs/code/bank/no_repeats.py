"""No repeats.

Return the length of the longest contiguous part of `text` in which no character occurs twice.
"""

LEVEL = 1


def solve(text: str) -> int:
    last: dict[str, int] = {}
    start = best = 0
    for i, character in enumerate(text):
        if character in last and last[character] >= start:
            start = last[character] + 1
        last[character] = i
        best = max(best, i - start + 1)
    return best


def brute(text):
    n = len(text)
    parts = (text[i:j] for i in range(n) for j in range(i + 1, n + 1))
    return max((len(p) for p in parts if len(set(p)) == len(p)), default=0)


def make(rng, size):
    return ("".join(rng.choice("abcdef"[: 3 + size]) for _ in range(rng.randint(0, 4 + 2 * size))),)


def valid(text):
    return len(text) <= 5000 and (not text or (text.isascii() and text.isalpha()))
