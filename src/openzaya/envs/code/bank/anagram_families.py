"""Anagram families.

Two words belong to one family if one is the other with its letters in another order. Return the
sizes of all families of `words`, largest first. Equal words count each.
"""

LEVEL = 1


def solve(words: list[str]) -> list[int]:
    families: dict[str, int] = {}
    for word in words:
        key = "".join(sorted(word))
        families[key] = families.get(key, 0) + 1
    return sorted(families.values(), reverse=True)


def brute(words):
    left, sizes = list(words), []
    while left:
        first = left[0]
        same = [
            w for w in left if len(w) == len(first) and all(w.count(c) == first.count(c) for c in w)
        ]
        sizes.append(len(same))
        left = [w for w in left if w not in same]
    return sorted(sizes)[::-1]


def make(rng, size):
    letters = [rng.choice("abc") for _ in range(3)]
    words = []
    for _ in range(rng.randint(1, 3 + size)):
        rng.shuffle(letters)
        words.append("".join(letters[: rng.randint(1, 3)]))
    return (words,)


def valid(words):
    return len(words) <= 500 and all(
        1 <= len(w) <= 50 and w.isascii() and w.isalpha() and w.islower() for w in words
    )
