"""Parameters that are spread over ranks: their own part, their norm, and whole matrices for Muon.

Newton-Schulz needs a matrix whole. Matrices of one shape are dealt out to the ranks that share
them: each rank sends its rows of matrix i to rank i mod W, which orthogonalises it and sends the
rows back. Every matrix is worked on once, and the update does not depend on the number of ranks.
Expert stacks are cut between experts, so each rank has whole matrices of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor


def own(tensor: Tensor) -> Tensor:
    """This rank's part; shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def own_rows(tensor: Tensor) -> Tensor:
    """Which rows of the first dimension this rank has."""
    rows = torch.arange(tensor.shape[0])
    if not isinstance(tensor, DTensor):
        return rows
    # FSDP cuts what expert parallelism left, and stands before it in the mesh.
    for dim in reversed(range(tensor.device_mesh.ndim)):
        placement = tensor.placements[dim]
        if not placement.is_replicate():
            assert getattr(placement, "dim", None) == 0, "parameters are cut between rows"
            parts = rows.chunk(tensor.device_mesh.size(dim))
            place = tensor.device_mesh.get_local_rank(dim)
            rows = parts[place] if place < len(parts) else rows[:0]
    return rows


def total_norm(grads: Sequence[Tensor]) -> Tensor:
    """Norm of all gradients together, over all ranks."""
    if not any(isinstance(g, DTensor) for g in grads):
        return torch.nn.utils.get_total_norm(list(grads))
    squares = torch.zeros((), dtype=torch.float64)
    for grad in grads:
        assert isinstance(grad, DTensor), "all parameters are spread, or none"
        copies = 1
        for dim, placement in enumerate(grad.placements):
            copies *= grad.device_mesh.size(dim) if placement.is_replicate() else 1
        squares = squares.to(grad.device) + own(grad).double().square().sum() / copies
    dist.all_reduce(squares)
    return squares.sqrt()


def orthogonalise_rows(
    params: Sequence[DTensor], rows: Sequence[Tensor], orthogonalise: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """This rank's rows of the orthogonalised matrices, given its rows of them. `params` have one
    shape; `orthogonalise` takes a batch (M, d_out, d_in)."""
    mesh = params[0].device_mesh
    (dim,) = (d for d, placement in enumerate(params[0].placements) if placement.is_shard())
    group, ranks, me = mesh.get_group(dim), mesh.size(dim), mesh.get_local_rank(dim)
    d_out, d_in = params[0].shape
    parts = torch.arange(d_out).chunk(ranks)
    heights = [len(parts[r]) if r < len(parts) else 0 for r in range(ranks)]
    counts = [len(range(r, len(params), ranks)) for r in range(ranks)]
    sent = [counts[r] * heights[me] * d_in for r in range(ranks)]
    received = [counts[me] * heights[r] * d_in for r in range(ranks)]
    order = [i for r in range(ranks) for i in range(r, len(params), ranks)]
    buffer = rows[0].new_empty(sum(received))
    outgoing = torch.cat([rows[i].reshape(-1) for i in order])
    dist.all_to_all_single(buffer, outgoing, received, sent, group)
    pieces = [
        piece.view(counts[me], heights[r], d_in)
        for r, piece in enumerate(buffer.split(received))
    ]  # fmt: skip
    whole = torch.cat(pieces, dim=1)
    done = orthogonalise(whole) if counts[me] else whole
    back = torch.cat([part.reshape(-1) for part in done.split(heights, dim=1)])
    answer = back.new_empty(sum(sent))
    dist.all_to_all_single(answer, back, sent, received, group)
    result: list[Tensor] = [answer] * len(params)
    for i, piece in zip(order, answer.view(len(params), heights[me], d_in), strict=True):
        result[i] = piece
    return result
