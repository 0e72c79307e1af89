"""Distributed programs, and calls on distributed tensors with the types they have or why none."""

from __future__ import annotations

HEAD = """@I.ir_module
class Module:
    I.module_global_infos({"mesh": [R.device_mesh((2, 2), I.Range(0, 4)), R.device_mesh((2,), [5, 3])]})

    @T.prim_func(s_tir=True)
    def copy(x: T.Buffer((T.int64(8), T.int64(4)), "float32"), y: T.Buffer((T.int64(8), T.int64(4)), "float32")):
        for i, j in T.grid(T.int64(8), T.int64(4)):
            with T.sblock("copy"):
                vi, vj = T.axis.remap("SS", [i, j])
                T.reads(x[vi, vj])
                T.writes(y[vi, vj])
                y[vi, vj] = x[vi, vj]
"""  # noqa: E501


def dtensor(placement: str, shape: str = "(8, 4)", mesh: int = 0, dtype: str = "float32") -> str:
    """Return the text of a type."""
    return f'R.DTensor({shape}, "{dtype}", "mesh[{mesh}]", "{placement}")'


PARAMS = {
    "rows": dtensor("S[0], R"),
    "columns": dtensor("R, S[1]"),
    "across": dtensor("S[1], R"),
    "other": dtensor("R, S[0]"),
    "whole": dtensor("R, R"),
    "twice": dtensor("S[0], S[0]"),
    "square": dtensor("S[0], S[1]", "(4, 4)"),
    "vector": dtensor("R, S[0]", "(4,)"),
    "scalar": dtensor("R, R", "()"),
    "narrow": dtensor("S[0], R", "(8, 1)"),
    "thin": dtensor("S[1], R", "(8, 1)"),
    "batch": dtensor("S[0], S[1]", "(2, 8, 4)"),
    "flags": dtensor("S[0], R", dtype="bool"),
    "bits": dtensor("S[0], R", dtype="int32"),
    "sized": dtensor("S[0], R", '("n", "m")'),
    "ranked": 'R.DTensor(dtype="float32", device_mesh="mesh[0]", placement="S[0], R", ndim=2)',
    "pair": dtensor("R", "(8, 4)", 1),
    "halves": dtensor("S[0]", "(8, 4)", 1),
    "plain": 'R.Tensor((8, 4), "float32")',
}


def program(*lines: str) -> str:
    """Return a module whose function main has these lines and the parameters that stand in them."""
    used = {p: ty for p, ty in PARAMS.items() if any(p in line for line in lines)}
    params = ", ".join(f"{p}: {ty}" for p, ty in used.items())
    body = "".join(f"        {line}\n" for line in ("cls = Module", *lines))
    return f"{HEAD}\n    @R.function\n    def main({params}):\n{body}"


TYPES = {
    "R.nn.relu(rows)": dtensor("S[0], R"),
    "R.nn.relu(twice)": dtensor("S[0], S[0]"),
    "R.nn.relu(ranked)": PARAMS["ranked"],
    "R.exp(sized)": dtensor("S[0], R", "(n, m)"),
    "R.isnan(columns)": dtensor("R, S[1]", dtype="bool"),
    "R.builtin.stop_lift_params(rows)": dtensor("S[0], R"),
    "R.add(rows, rows)": dtensor("S[0], R"),
    "R.add(rows, whole)": dtensor("S[0], R"),
    "R.add(whole, rows)": dtensor("S[0], R"),
    "R.add(rows, columns)": dtensor("S[0], S[1]"),
    "R.add(rows, vector)": dtensor("S[0], S[1]"),
    "R.add(rows, scalar)": dtensor("S[0], R"),
    "R.add(whole, narrow)": dtensor("S[0], R"),
    "R.add(rows, thin)": dtensor("S[0], R"),
    "R.add(sized, sized)": dtensor("S[0], R", "(n, m)"),
    "R.equal(rows, rows)": dtensor("S[0], R", dtype="bool"),
    "R.matmul(rows, square)": dtensor("S[0], S[1]"),
    "R.matmul(whole, square)": dtensor("R, S[1]"),
    "R.matmul(vector, vector)": dtensor("R, R", "()"),
    "R.matmul(rows, vector)": dtensor("S[0], R", "(8,)"),
    "R.permute_dims(rows)": dtensor("S[1], R", "(4, 8)"),
    "R.permute_dims(batch, [2, 0, 1])": dtensor("S[1], S[2]", "(4, 2, 8)"),
    "R.sum(rows)": dtensor("R, R", "()"),
    "R.sum(rows, axis=[1])": dtensor("S[0], R", "(8,)"),
    "R.sum(batch, axis=[0])": dtensor("R, S[0]", "(8, 4)"),
    "R.sum(batch, axis=[-1], keepdims=True)": dtensor("S[0], S[1]", "(2, 8, 1)"),
    "R.variance(rows, axis=[0])": dtensor("R, R", "(4,)"),
    "R.nn.softmax(rows)": dtensor("S[0], R"),
    "R.nn.softmax(batch, axis=1)": dtensor("S[0], R", "(2, 8, 4)"),
    "R.reshape(whole, (32,))": dtensor("R, R", "(32,)"),
    "R.reshape(columns, (2, 4, 4))": dtensor("R, S[2]", "(2, 4, 4)"),
    "R.reshape(columns, (8, 2, 2))": dtensor("R, S[1]", "(8, 2, 2)"),
    "R.ccl.allreduce(batch)": dtensor("R, R", "(2, 8, 4)"),
    "R.dist.annotate_sharding(plain, 'mesh[0]', 'S[0], R')": PARAMS["plain"],
    "R.dist.annotate_sharding(rows, device_mesh='mesh[0]', placement='R, R')": PARAMS["rows"],
    "R.dist.redistribute(rows, device_mesh='mesh[1]', placement='S[1]')": dtensor("S[1]", mesh=1),
    "R.dist.redistribute(twice, 'mesh[0]', ' S[1]R,')": dtensor("S[1], R"),
    "R.dist.redistribute_replica_to_shard(pair, 2, 1)": dtensor("S[1]", mesh=1),
    "R.dist.redistribute_replica_to_shard(plain, num_workers=4, axis=0)": (
        'R.Tensor((2, 4), dtype="float32")'
    ),
    f"R.dist.call_tir(cls.copy, (rows,), out_ty={dtensor('R, R')})": dtensor("R, R"),
    f"R.dist.call_tir(cls.copy, rows, {dtensor('R, R')})": dtensor("R, R"),
    f"R.dist.call_tir_local_view(cls.copy, halves, {dtensor('S[1]', mesh=1)})": (
        dtensor("S[1]", mesh=1)
    ),
}
"""The type of the result of a call, here and in TVM."""

REFUSED = {
    "R.add(rows, plain)": "mixes distributed tensors with x2, float32[8, 4]",
    "R.add(rows, R.const(1.0, 'float32'))": "write a constant as R.dist.const",
    "R.add(rows, pair)": "lie on different meshes; move one with R.dist.redistribute",
    "R.add(rows, other)": "would cut one axis of the result of add; place",
    "R.add(ranked, rows)": "must be known where it is distributed",
    "R.sum(ranked, axis=0)": "must be known where it is distributed",
    "R.clip(rows, 0, 1)": "clip takes no distributed tensors",
    "R.trunc(rows)": "trunc takes no distributed tensors",
    "R.concat((rows, rows))": "concat takes no distributed tensors",
    "R.where(flags, rows, rows)": "where takes no distributed tensors",
    "R.nn.layer_norm(rows, vector, vector, axes=[1])": "layer_norm takes no distributed tensors",
    "R.ccl.allgather(rows, 2)": "ccl.allgather takes no distributed tensors",
    "R.dist.redistribute(plain, 'mesh[1]', 'R')": "redistribute moves a distributed tensor, got",
    "R.dist.redistribute(rows, 'mesh[1]', 'S[2]')": "cuts axis 2 of float32[8, 4]",
    "R.dist.redistribute(rows, 'mesh[1]', 'R, R')": "has 2 entries, one per axis of a mesh",
    "R.dist.redistribute(rows, 'mesh[2]', 'R')": "no mesh 'mesh[2]' (it has: mesh[0], mesh[1])",
    "R.dist.redistribute(rows, 'grid[0]', 'R')": "the module has no mesh 'grid[0]'",
    "R.dist.redistribute(rows, 'mesh', 'R, R')": "the module has no mesh 'mesh'",
    "R.dist.redistribute(rows, 'mesh[0]', 'S0, R')": "'S0, R' is no placement",
    "R.dist.redistribute(rows, 'mesh[0]', 's[0], R')": "is no placement",
    "R.dist.redistribute_replica_to_shard(rows, 2, 0)": "a mesh with one axis holds whole, got",
    "R.dist.redistribute_replica_to_shard(halves, 2, 1)": "a mesh with one axis holds whole, got",
    "R.dist.redistribute_replica_to_shard(pair, 3, 0)": "cannot be cut into 3 equal parts",
    "R.dist.redistribute_replica_to_shard(pair, 2, 2)": "is not known to have an axis 2",
    "R.dist.redistribute_replica_to_shard(pair, 2, -1)": "is not known to have an axis -1",
    f"R.dist.call_tir('copy', (rows,), out_ty={dtensor('R, R')})": "cannot call 'copy'",
    "R.dist.call_tir(cls.copy, (rows,), out_ty=R.Tensor((8, 4), 'float32'))": (
        "R.dist.call_tir gives R.DTensor"
    ),
    f"R.call_tir(cls.copy, (rows,), out_ty={dtensor('R, R')})": "only R.dist.call_tir gives",
}
"""Calls that TVM refuses too, with what is said here."""

OPEN = {
    "R.add(rows, across)": dtensor("S[1], R"),
    "R.matmul(batch, square)": dtensor("R, S[1]", "(2, 8, 4)"),
    "R.reshape(rows, (8, 2, 2))": dtensor("S[0], R", "(8, 2, 2)"),
    "R.mean(rows, axis=None, keepdims=True)": dtensor("R, R", "(1, 1)"),
}
"""Calls for which TVM chooses one of several placements; here it is declared, as one of them."""
