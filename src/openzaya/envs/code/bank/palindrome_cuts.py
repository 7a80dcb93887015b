"""Palindrome cuts.

Return the fewest cuts that divide `text`, which is not empty, into parts that all read the same
forwards and backwards.
"""

LEVEL = 3


def solve(text: str) -> int:
    n = len(text)
    cuts = list(range(-1, n))
    for middle in range(n):
        for left, right in ((middle, middle), (middle, middle + 1)):
            while left >= 0 and right < n and text[left] == text[right]:
                cuts[right + 1] = min(cuts[right + 1], cuts[left] + 1)
                left -= 1
                right += 1
    return cuts[n]


def brute(text):
    if text == text[::-1]:
        return 0
    return 1 + min(brute(text[i:]) for i in range(1, len(text)) if text[:i] == text[:i][::-1])


def make(rng, size):
    return ("".join(rng.choice("aabbc") for _ in range(rng.randint(1, min(5 + size, 14)))),)


def valid(text):
    return 1 <= len(text) <= 300 and text.isascii() and text.isalpha() and text.islower()
