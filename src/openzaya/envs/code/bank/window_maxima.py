"""Window maxima.

Return the largest value of each `width` neighbouring elements of `numbers`, from left to right.
"""

from collections import deque

LEVEL = 2


def solve(numbers: list[int], width: int) -> list[int]:
    best: deque[int] = deque()
    maxima = []
    for i, number in enumerate(numbers):
        while best and numbers[best[-1]] <= number:
            best.pop()
        best.append(i)
        if best[0] <= i - width:
            best.popleft()
        if i >= width - 1:
            maxima.append(numbers[best[0]])
    return maxima


def brute(numbers, width):
    return [max(numbers[i : i + width]) for i in range(len(numbers) - width + 1)]


def make(rng, size):
    numbers = [rng.randint(-9, 9) for _ in range(rng.randint(1, 4 + 2 * size))]
    return (numbers, rng.randint(1, len(numbers)))


def valid(numbers, width):
    return 1 <= width <= len(numbers) <= 3000 and all(abs(n) <= 10**9 for n in numbers)
