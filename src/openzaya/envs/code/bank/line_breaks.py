"""Line breaks.

Words of the lengths in `lengths` are set in this order into lines of `width` characters, with one
space between words of a line. Every word fits into a line. A line of length l, not counting the
last line, has the ugliness (width - l) squared. Return the least total ugliness.
"""

LEVEL = 3


def solve(lengths: list[int], width: int) -> int:
    n = len(lengths)
    best = [0] * (n + 1)
    for first in range(n - 1, -1, -1):
        used = -1
        options = []
        for last in range(first, n):
            used += lengths[last] + 1
            if used > width:
                break
            options.append(0 if last == n - 1 else (width - used) ** 2 + best[last + 1])
        best[first] = min(options)
    return best[0]


def brute(lengths, width):
    n = len(lengths)
    least = None
    for cuts in range(1 << max(n - 1, 0)):
        lines: list[list[int]] = [[]]
        for i, length in enumerate(lengths):
            lines[-1].append(length)
            if i < n - 1 and cuts >> i & 1:
                lines.append([])
        used = [sum(line) + len(line) - 1 for line in lines]
        if max(used) <= width:
            ugly = sum((width - u) ** 2 for u in used[:-1])
            least = ugly if least is None else min(least, ugly)
    return least


def make(rng, size):
    width = rng.randint(5, 9 + size)
    return ([rng.randint(1, 5) for _ in range(rng.randint(1, min(3 + size, 11)))], width)


def valid(lengths, width):
    return 1 <= len(lengths) <= 300 and width <= 200 and all(1 <= n <= width for n in lengths)
