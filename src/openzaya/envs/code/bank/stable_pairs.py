"""Stable pairs.

Applicants and schools are both numbered from 0 to n - 1. `wishes[i]` are the schools as applicant
i likes them, the best first; `ranking[j]` are the applicants as school j likes them. Each school
takes one. Return the school of each applicant in the stable matching that is best for the
applicants: no applicant and school prefer each other to what they have.
"""

LEVEL = 4


def solve(wishes: list[list[int]], ranking: list[list[int]]) -> list[int]:
    n = len(wishes)
    rank = [{applicant: i for i, applicant in enumerate(order)} for order in ranking]
    asked, taken = [0] * n, [-1] * n
    free = list(range(n))
    while free:
        applicant = free.pop()
        school = wishes[applicant][asked[applicant]]
        asked[applicant] += 1
        rival = taken[school]
        if rival < 0 or rank[school][applicant] < rank[school][rival]:
            taken[school] = applicant
            if rival >= 0:
                free.append(rival)
        else:
            free.append(applicant)
    matched = [0] * n
    for school, applicant in enumerate(taken):
        matched[applicant] = school
    return matched


def brute(wishes, ranking):
    import itertools

    n = len(wishes)
    best = None
    for schools in itertools.permutations(range(n)):
        holder = {school: applicant for applicant, school in enumerate(schools)}
        stable = not any(
            wishes[a].index(s) < wishes[a].index(schools[a])
            and ranking[s].index(a) < ranking[s].index(holder[s])
            for a in range(n)
            for s in range(n)
        )
        places = [wishes[a].index(schools[a]) for a in range(n)]
        if stable and (best is None or sum(places) < best[0]):
            best = (sum(places), list(schools))
    return best[1] if best else []


def make(rng, size):
    n = rng.randint(1, min(2 + size, 5))
    return tuple([rng.sample(range(n), n) for _ in range(n)] for _ in range(2))


def valid(wishes, ranking):
    n = len(wishes)
    whole = list(range(n))
    return (
        1 <= n <= 40
        and len(ranking) == n
        and all(sorted(order) == whole for order in wishes + ranking)
    )
