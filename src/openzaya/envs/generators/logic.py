"""Logic: who lies, what follows, what satisfies."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from typing import Any

from openzaya.envs.generators.base import Generator
from openzaya.envs.generators.parse import Unparseable, integers, pairs, picks
from openzaya.envs.generators.text import listed, spaced


class ParityKnights(Generator):
    """Knights and knaves whose statements are parities: one solution, found over GF(2)."""

    name = "parity_knights"
    family = "logic"
    form = "the numbers of all knights, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 6 + difficulty
        knight = [0] + [rng.randint(0, 1) for _ in range(n)]
        while len(set(knight[1:])) < 2:
            knight[rng.randint(1, n)] ^= 1
        claims: list[dict[str, Any]] = []
        basis: dict[int, int] = {}  # highest bit -> row; all n bits there: one solution
        while len(basis) < n or len(claims) < n:
            speaker = len(claims) + 1 if len(claims) < n else rng.randint(1, n)
            others = [v for v in range(1, n + 1) if v != speaker]
            about = sorted(rng.sample(others, rng.choice((1, 2, 2, 3))))
            odd = sum(knight[v] for v in about) % 2 ^ 1 ^ knight[speaker]
            row = sum(1 << v for v in (speaker, *about))
            while row and row.bit_length() in basis:
                row ^= basis[row.bit_length()]
            if row:
                basis[row.bit_length()] = row
            if row or len(claims) < n:
                claims.append({"speaker": speaker, "about": about, "odd": odd})
        lines = "\n".join(f"Person {c['speaker']}: {self._said(c)}" for c in claims)
        question = (
            f"On an island live knights, who always tell the truth, and knaves, who always lie. "
            f"{n} of them, numbered 1 to {n}, say:\n{lines}\n"
            "Find out who is a knight. There is exactly one solution."
        )
        return question, {"n": n, "claims": claims}

    def _said(self, claim: Mapping[str, Any]) -> str:
        about, odd = claim["about"], claim["odd"]
        if len(about) == 1:
            return f'"Person {about[0]} is a {"knight" if odd else "knave"}."'
        if len(about) == 2:
            kinds = "different kinds" if odd else "the same kind"
            return f'"Persons {about[0]} and {about[1]} are of {kinds}."'
        parity = "An odd number" if odd else "An even number (perhaps zero)"
        return f'"{parity} of the persons {about[0]}, {about[1]} and {about[2]} are knights."'

    def solve(self, private: Mapping[str, Any]) -> str:
        rows = []  # speaker + those spoken of = odd + 1 (mod 2), as (bits, value)
        for c in private["claims"]:
            rows.append([sum(1 << v for v in (c["speaker"], *c["about"])), c["odd"] ^ 1])
        for v in range(1, private["n"] + 1):
            at = next(i for i, row in enumerate(rows[v - 1 :], v - 1) if row[0] >> v & 1)
            rows[v - 1], rows[at] = rows[at], rows[v - 1]
            for i, row in enumerate(rows):
                if i != v - 1 and row[0] >> v & 1:
                    row[0], row[1] = row[0] ^ rows[v - 1][0], row[1] ^ rows[v - 1][1]
        knights = [v for v in range(1, private["n"] + 1) if rows[v - 1][1]]
        return spaced(knights)

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        knights = set(picks(answer, private["n"]))
        return all(
            (len(knights & set(c["about"])) % 2 == c["odd"]) == (c["speaker"] in knights)
            for c in private["claims"]
        )

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


class Satisfiability(Generator):
    """Any assignment that satisfies a formula in which one was planted."""

    name = "satisfiability"
    family = "logic"
    form = "the values of x1, x2 and so on in order, as 1 for true or 0 for false,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 6 + difficulty
        planted = [rng.randint(0, 1) for _ in range(n)]
        clauses: list[list[int]] = []
        while len(clauses) < 5 * n:
            clause = [rng.choice((v, -v)) for v in sorted(rng.sample(range(1, n + 1), 3))]
            if clause not in clauses and any(planted[abs(x) - 1] == (x > 0) for x in clause):
                clauses.append(clause)
        text = "\n".join(
            " or ".join(f"x{x}" if x > 0 else f"not x{-x}" for x in clause) for clause in clauses
        )
        question = (
            f"The variables x1 to x{n} are each true or false. Every one of these lines must be "
            f"true:\n{text}\nFind values that make all lines true. Any such values will do."
        )
        return question, {"n": n, "clauses": clauses, "planted": planted}

    def solve(self, private: Mapping[str, Any]) -> str:
        return spaced(private["planted"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        values = integers(answer, private["n"])
        if not set(values) <= {0, 1}:
            raise Unparseable("values 0 and 1 were asked for")
        return all(
            any(values[abs(x) - 1] == (x > 0) for x in clause) for clause in private["clauses"]
        )

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


class HornClosure(Generator):
    """Everything that follows from facts and rules."""

    name = "horn_closure"
    family = "logic"
    form = "the numbers of all statements that must be true, separated by spaces,"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        n = 10 + 3 * difficulty
        order = rng.sample(range(1, n + 1), n)
        facts, k = order[:2], rng.randint(n // 2, 4 * n // 5)
        true, rest = order[:k], order[k:]
        rules = [[rng.sample(true[:i], rng.randint(1, 2)), true[i]] for i in range(2, k)]
        for _ in range(n):
            head = rng.choice(rest)
            body = {rng.choice(rest), rng.choice(order)} - {head}
            if set(body) & set(rest):  # never fires: one of its conditions stays open
                rules.append([sorted(body), head])
        rules = [[sorted(body), head] for body, head in rng.sample(rules, len(rules))]
        lines = "\n".join(f"If {' and '.join(map(str, b))}, then {h}." for b, h in rules)
        question = (
            f"There are {n} statements, numbered 1 to {n}. Statements {facts[0]} and {facts[1]} "
            "are true. These rules hold, where a number stands for the statement with that number "
            f"being true:\n{lines}\nWhich statements must be true? Count the two given ones too."
        )
        return question, {"n": n, "facts": sorted(facts), "rules": rules}

    def solve(self, private: Mapping[str, Any]) -> str:
        missing = [len(body) for body, _ in private["rules"]]
        uses: dict[int, list[int]] = {}
        for i, (body, _) in enumerate(private["rules"]):
            for v in body:
                uses.setdefault(v, []).append(i)
        found, queue = set(private["facts"]), deque(private["facts"])
        while queue:
            for i in uses.get(queue.popleft(), []):
                missing[i] -= 1
                head = private["rules"][i][1]
                if not missing[i] and head not in found:
                    found.add(head)
                    queue.append(head)
        return spaced(sorted(found))

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        said, known = set(picks(answer, private["n"])), set(private["facts"])
        for _ in range(private["n"]):
            known |= {head for body, head in private["rules"] if known.issuperset(body)}
        return said == known

    def size(self, private: Mapping[str, Any]) -> float:
        return private["n"]


class ResolutionProof(Generator):
    """Any refutation by resolution of clauses grown backwards from the empty clause."""

    name = "resolution_proof"
    family = "logic"
    form = 'the steps as a list like "1-2, 3-7", in the order in which they are taken,'

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, dict[str, Any]]:
        steps, n = 4 + difficulty, 4 + difficulty // 2
        clauses: list[frozenset[int]] = [frozenset()]  # a tree; the root is what is proved
        parents: dict[int, tuple[int, int]] = {}
        while len(parents) < steps:
            free = [i for i, c in enumerate(clauses) if i not in parents and len(c) < n]
            if not free:
                break
            at = min(rng.sample(free, min(2, len(free))), key=lambda i: (len(clauses[i]), i))
            used = {abs(x) for x in clauses[at]}
            v = rng.choice([v for v in range(1, n + 1) if v not in used])
            left, right = {v}, {-v}
            for x in sorted(clauses[at]):
                side = rng.choice((0, 0, 1, 1, 2))
                left |= {x} if side != 1 else set()
                right |= {x} if side != 0 else set()
            parents[at] = (len(clauses), len(clauses) + 1)
            clauses += [frozenset(left), frozenset(right)]
        premises = {tuple(sorted(c, key=abs)) for i, c in enumerate(clauses) if i not in parents}
        while len(premises) < 2 + len(parents) + difficulty // 2 and len(premises) < 2**n:
            chosen = sorted(rng.sample(range(1, n + 1), min(n, rng.randint(2, 3))))
            premises.add(tuple(rng.choice((v, -v)) for v in chosen))
        given = rng.sample(sorted(premises), len(premises))
        number = {c: i for i, c in enumerate(given, 1)}
        proof = []
        for at in sorted(parents, reverse=True):  # children were made after their parents
            a, b = (number[tuple(sorted(clauses[i], key=abs))] for i in parents[at])
            proof.append([a, b])
            number.setdefault(tuple(sorted(clauses[at], key=abs)), len(given) + len(proof))
        lines = "\n".join(
            f"{i}: " + " or ".join(f"x{x}" if x > 0 else f"not x{-x}" for x in c)
            for i, c in enumerate(given, 1)
        )
        question = (
            f"These {len(given)} clauses contradict each other:\n{lines}\n"
            "Prove it by resolution. A step names two clauses such that exactly one variable "
            'occurs plain in one and with "not" in the other. It yields a new clause with all '
            "literals of both except those of that variable, each literal once. The first new "
            f"clause has the number {len(given) + 1}, the next one {len(given) + 2}, and so on; "
            "later steps may use them. The last step must yield the empty clause. Any such proof "
            "will do. A step is written as the numbers of its two clauses with - between them."
        )
        return question, {"clauses": [list(c) for c in given], "proof": proof, "steps": steps}

    def solve(self, private: Mapping[str, Any]) -> str:
        return listed(f"{a}-{b}" for a, b in private["proof"])

    def judge(self, private: Mapping[str, Any], answer: str) -> bool:
        known = [set(c) for c in private["clauses"]]
        for a, b in pairs(answer):
            if not (1 <= a <= len(known) and 1 <= b <= len(known)):
                return False
            left, right = known[a - 1], known[b - 1]
            clash = [x for x in left if -x in right]
            if len(clash) != 1:
                return False
            known.append((left - {clash[0]}) | (right - {-clash[0]}))
        return not known[-1]

    def size(self, private: Mapping[str, Any]) -> float:
        return len(private["clauses"])


GENERATORS: tuple[type[Generator], ...] = (
    ParityKnights,
    Satisfiability,
    HornClosure,
    ResolutionProof,
)
