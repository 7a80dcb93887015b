"""Next time on the clock.

A clock shows hours 0-23 and minutes 0-59. Starting `minutes` after midnight (that minute counts
too), return the first minute of the day or of the following days, as minutes since midnight, at
which the digits of the four-digit display HHMM add up to `total`. Return -1 if that never
happens.
"""

LEVEL = 0


def solve(minutes: int, total: int) -> int:
    for later in range(1440):
        now = (minutes + later) % 1440
        hour, minute = divmod(now, 60)
        if hour // 10 + hour % 10 + minute // 10 + minute % 10 == total:
            return now
    return -1


def brute(minutes, total):
    times = [*range(minutes, 1440), *range(minutes)]
    good = [t for t in times if sum(map(int, f"{t // 60:02d}{t % 60:02d}")) == total]
    return good[0] if good else -1


def make(rng, size):
    return (rng.randrange(1440), rng.randint(0, 26))


def valid(minutes, total):
    return 0 <= minutes < 1440 and 0 <= total <= 40
