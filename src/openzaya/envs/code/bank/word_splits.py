"""Split into words.

Return the number of ways to cut `text` into pieces that are all in `words`. Pieces may be used
repeatedly; the words are different and not empty. An empty text can be cut in one way.
"""

LEVEL = 2


def solve(text: str, words: list[str]) -> int:
    ways = [1] + [0] * len(text)
    for end in range(1, len(text) + 1):
        for word in words:
            if text[:end].endswith(word):
                ways[end] += ways[end - len(word)]
    return ways[len(text)]


def brute(text, words):
    if not text:
        return 1
    return sum(brute(text[len(w) :], words) for w in words if text.startswith(w))


def make(rng, size):
    words = {"".join(rng.choice("ab") for _ in range(rng.randint(1, 3))) for _ in range(4)}
    chosen = sorted(words)
    text = "".join(rng.choice(chosen) for _ in range(rng.randint(0, min(2 + size, 6))))
    return (text + rng.choice(("", "", "a")), chosen)


def valid(text, words):
    return (
        len(text) <= 300
        and 1 <= len(words) <= 50
        and len(set(words)) == len(words)
        and all(1 <= len(w) <= 30 for w in words)
        and all(not w or (w.isascii() and w.isalpha() and w.islower()) for w in [text, *words])
    )
