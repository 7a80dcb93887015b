"""Next greater.

For each element of `numbers` return the first later element that is greater, or -1 if there is
none. All numbers are positive.
"""

LEVEL = 1


def solve(numbers: list[int]) -> list[int]:
    answer = [-1] * len(numbers)
    open_places: list[int] = []
    for i, number in enumerate(numbers):
        while open_places and numbers[open_places[-1]] < number:
            answer[open_places.pop()] = number
        open_places.append(i)
    return answer


def brute(numbers):
    return [next((b for b in numbers[i + 1 :] if b > a), -1) for i, a in enumerate(numbers)]


def make(rng, size):
    return ([rng.randint(1, 6 + size) for _ in range(rng.randint(0, 4 + size))],)


def valid(numbers):
    return len(numbers) <= 3000 and all(1 <= n <= 10**9 for n in numbers)
