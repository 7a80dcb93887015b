"""Run lengths.

Replace each longest stretch of one repeated letter in `text` by the letter and, if it is longer
than one, its length. Example: aaabcc becomes a3bc2. Return the result.
"""

LEVEL = 0


def solve(text: str) -> str:
    written = ""
    i = 0
    while i < len(text):
        j = i
        while j < len(text) and text[j] == text[i]:
            j += 1
        written += text[i] + (str(j - i) if j - i > 1 else "")
        i = j
    return written


def brute(text):
    import itertools

    groups = [(letter, len(list(group))) for letter, group in itertools.groupby(text)]
    return "".join(letter if n == 1 else f"{letter}{n}" for letter, n in groups)


def make(rng, size):
    runs = [
        rng.choice("abc") * rng.choice((1, 1, 2, 3, 12)) for _ in range(rng.randint(0, 2 + size))
    ]
    return ("".join(runs),)


def valid(text):
    return len(text) <= 2000 and (
        not text or (text.isascii() and text.isalpha() and text.islower())
    )
