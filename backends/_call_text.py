"""The native entry that Python calls, as LLVM IR: `eqsat_call`, a method with CPython's fast call.

It serves every program. `self` is the program's table, a NumPy array of 64-bit words (`TABLE`);
its `slots` lead, by a hash of the sizes, to a row (`ROW`) for each combination of sizes that
was checked before. A call whose arguments are plain arrays of the right dtypes and of such sizes
makes its outputs and runs, without any Python code. For any other, `admit` is called in Python: it
checks the arguments, or fails, adds a row, and returns the arguments in plain form.

Objects are read where the binary interfaces of CPython and NumPy say, everything else goes through
functions of these interfaces, which `_call.py` links.
"""

from __future__ import annotations

import re

from eqsat.backends._driver import RUN_ARGS

_OBJECT_BYTES = object.__basicsize__
# In front of what it holds, an object ends with its type.
_OFFSETS = {
    "TYPE": _OBJECT_BYTES - 8,
    "DATA": _OBJECT_BYTES,
    "NDIM": _OBJECT_BYTES + 8,
    "DIMS": _OBJECT_BYTES + 16,
    "DTYPE": _OBJECT_BYTES + 40,
    "FLAGS": _OBJECT_BYTES + 48,
    "ITEMS": tuple.__basicsize__,
}  # fmt: skip

# Addresses but for the numbers. `params` and `outputs` have a dtype and a rank each, for a
# number that is passed a null and 0; `patches` say which pointers the arrays, inputs and then
# outputs, go to: (array, place).
TABLE = (
    "num_params", "num_sizes", "num_outputs", "num_patches", "is_tuple",
    "params", "outputs", "patches", "slots", "arena", "admit", "team", "allocate", "run",
)  # fmt: skip
# The workspace of native code, held while a call runs; `sleepers` as in `_driver.py`. `grow` is
# called in Python.
ARENA = ("held", "sleepers", "base", "num_bytes", "grow")
# `key` are the sizes; `fills` say which pointers lead into the workspace: (place, offset);
# `sizes` are for each output its bytes and dims. `args` are RUN_ARGS, of which the addresses
# in the workspace are filled in when `base` is no longer where it is.
ROW = (
    "next", "base", "total_bytes", "shared_at", "scratch_at", "mode",
    "num_fills", "key", "fills", "sizes", *(name for _, name in RUN_ARGS),
)  # fmt: skip
NUM_SLOTS = 256
HASH_FACTOR, HASH_SHIFT = 0x9E3779B97F4A7C15, 56
# How a row's kernels run: at once, with Python's lock given up, or by the team.
AT_ONCE, UNLOCKED, BY_TEAM = range(3)

_NUMBERS = {
    **_OFFSETS,
    "HASH_FACTOR": HASH_FACTOR,
    "HASH_SHIFT": HASH_SHIFT,
    "AT_ONCE": AT_ONCE,
    "UNLOCKED": UNLOCKED,
}

_CALL = """
@PyArray_Type = external global i8
@PyLong_Type = external global i8
declare ptr @PyArray_DescrFromType(i32)
declare ptr @PyArray_NewFromDescr(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)
declare i32 @PyArray_SetBaseObject(ptr, ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare i32 @PyErr_BadArgument()
declare void @PyErr_Clear()
declare i64 @PyLong_AsLongLong(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare ptr @PyObject_CallOneArg(ptr, ptr)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare i64 @PyTuple_Size(ptr)

; Return new memory on a cache line: an array that holds it, and its address.
define ptr @eqsat_allocate(i64 %num_bytes, ptr %address_at) #0 {
  %length_at = alloca i64, align 8
  %length = add i64 %num_bytes, 64
  store i64 %length, ptr %length_at, align 8
  %dtype = call ptr @PyArray_DescrFromType(i32 2)
  %raw = call ptr @PyArray_NewFromDescr(ptr @PyArray_Type, ptr %dtype, i32 1, ptr %length_at, ptr null, ptr null, i32 0, ptr null)
  %failed = icmp eq ptr %raw, null
  br i1 %failed, label %end, label %made
made:
  %data_at = getelementptr i8, ptr %raw, i64 {DATA}
  %data = load i64, ptr %data_at, align 8
  %up = add i64 %data, 63
  %address = and i64 %up, -64
  store i64 %address, ptr %address_at, align 8
  br label %end
end:
  ret ptr %raw
}

; Return a new array over new memory, or null with an error set.
define internal ptr @eqsat_output(ptr %allocate, ptr %dtype, i32 %ndim, ptr %sizes, ptr %address_at) #0 {
  %num_bytes = load i64, ptr %sizes, align 8
  %dims = getelementptr i64, ptr %sizes, i64 1
  %memory = call ptr %allocate(i64 %num_bytes, ptr %address_at)
  %failed = icmp eq ptr %memory, null
  br i1 %failed, label %none, label %view
view:
  %address = load ptr, ptr %address_at, align 8
  call void @Py_IncRef(ptr %dtype)
  %array = call ptr @PyArray_NewFromDescr(ptr @PyArray_Type, ptr %dtype, i32 %ndim, ptr %dims, ptr null, ptr %address, i32 1281, ptr null)
  %no_array = icmp eq ptr %array, null
  br i1 %no_array, label %drop_memory, label %own
own:
  %status = call i32 @PyArray_SetBaseObject(ptr %array, ptr %memory)
  %refused = icmp slt i32 %status, 0
  br i1 %refused, label %drop_array, label %good
good:
  ret ptr %array
drop_array:
  call void @Py_DecRef(ptr %array)
  br label %none
drop_memory:
  call void @Py_DecRef(ptr %memory)
  br label %none
none:
  ret ptr null
}

; Return the row for these arguments, null where one is not plain or the sizes are new.
define internal ptr @eqsat_find(ptr %table, ptr %args, i64 %count, ptr %sizes, ptr %addresses) #0 {
entry:
  %num_params = load i64, ptr %table, align 8
  %complete = icmp eq i64 %count, %num_params
  br i1 %complete, label %begin, label %none
begin:
  %params = call ptr @eqsat_word(ptr %table, i64 {TABLE.params})
  br label %next
next:
  %i = phi i64 [ 0, %begin ], [ %i1, %array_done ], [ %i2, %number ]
  %k = phi i64 [ 0, %begin ], [ %k1, %array_done ], [ %k2, %number ]
  %hash = phi i64 [ 0, %begin ], [ %hash1, %array_done ], [ %hash2, %number ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %look, label %search
look:
  %arg_at = getelementptr ptr, ptr %args, i64 %i
  %arg = load ptr, ptr %arg_at, align 8
  %param = getelementptr [2 x i64], ptr %params, i64 %i
  %wanted_dtype = load ptr, ptr %param, align 8
  %wanted_ndim = call i64 @eqsat_number(ptr %param, i64 1)
  %type_at = getelementptr i8, ptr %arg, i64 {TYPE}
  %type = load ptr, ptr %type_at, align 8
  %is_array = icmp eq ptr %type, @PyArray_Type
  %wants_number = icmp eq ptr %wanted_dtype, null
  br i1 %wants_number, label %maybe_number, label %maybe_array

maybe_number:
  %is_number = icmp eq ptr %type, @PyLong_Type
  br i1 %is_number, label %number, label %none
number:
  %value = call i64 @PyLong_AsLongLong(ptr %arg)
  call void @PyErr_Clear()
  %value_at = getelementptr i64, ptr %sizes, i64 %k
  store i64 %value, ptr %value_at, align 8
  %hash2 = call i64 @eqsat_hash(i64 %hash, i64 %value)
  %i2 = add i64 %i, 1
  %k2 = add i64 %k, 1
  br label %next

maybe_array:
  br i1 %is_array, label %array, label %none
array:
  %dtype_at = getelementptr i8, ptr %arg, i64 {DTYPE}
  %dtype = load ptr, ptr %dtype_at, align 8
  %same_dtype = icmp eq ptr %dtype, %wanted_dtype
  %ndim_at = getelementptr i8, ptr %arg, i64 {NDIM}
  %ndim_32 = load i32, ptr %ndim_at, align 4
  %ndim = sext i32 %ndim_32 to i64
  %same_ndim = icmp eq i64 %ndim, %wanted_ndim
  %flags_at = getelementptr i8, ptr %arg, i64 {FLAGS}
  %flags = load i32, ptr %flags_at, align 4
  %dense = and i32 %flags, 257
  %is_dense = icmp eq i32 %dense, 257
  %fits = and i1 %same_dtype, %same_ndim
  %plain = and i1 %fits, %is_dense
  br i1 %plain, label %plain_array, label %none
plain_array:
  %data_at = getelementptr i8, ptr %arg, i64 {DATA}
  %data = load ptr, ptr %data_at, align 8
  %address_at = getelementptr ptr, ptr %addresses, i64 %i
  store ptr %data, ptr %address_at, align 8
  %dims_at = getelementptr i8, ptr %arg, i64 {DIMS}
  %dims = load ptr, ptr %dims_at, align 8
  br label %dim
dim:
  %j = phi i64 [ 0, %plain_array ], [ %j1, %one_dim ]
  %hash1 = phi i64 [ %hash, %plain_array ], [ %hash3, %one_dim ]
  %more_dims = icmp slt i64 %j, %ndim
  br i1 %more_dims, label %one_dim, label %array_done
one_dim:
  %dim_at = getelementptr i64, ptr %dims, i64 %j
  %size = load i64, ptr %dim_at, align 8
  %place = add i64 %k, %j
  %place_at = getelementptr i64, ptr %sizes, i64 %place
  store i64 %size, ptr %place_at, align 8
  %hash3 = call i64 @eqsat_hash(i64 %hash1, i64 %size)
  %j1 = add i64 %j, 1
  br label %dim
array_done:
  %i1 = add i64 %i, 1
  %k1 = add i64 %k, %ndim
  br label %next

search:
  %slots = call ptr @eqsat_word(ptr %table, i64 {TABLE.slots})
  %slot = lshr i64 %hash, {HASH_SHIFT}
  %first = call ptr @eqsat_word(ptr %slots, i64 %slot)
  br label %candidate
candidate:
  %row = phi ptr [ %first, %search ], [ %next_row, %other ]
  %ends = icmp eq ptr %row, null
  br i1 %ends, label %none, label %compare
compare:
  %words = call ptr @eqsat_words(ptr %row)
  %key = call ptr @eqsat_word(ptr %words, i64 {ROW.key})
  br label %size_of
size_of:
  %m = phi i64 [ 0, %compare ], [ %m1, %equal ]
  %same_so_far = icmp slt i64 %m, %k
  br i1 %same_so_far, label %one_size, label %found
one_size:
  %have = call i64 @eqsat_number(ptr %sizes, i64 %m)
  %want = call i64 @eqsat_number(ptr %key, i64 %m)
  %same = icmp eq i64 %have, %want
  br i1 %same, label %equal, label %other
equal:
  %m1 = add i64 %m, 1
  br label %size_of
other:
  %next_row = call ptr @eqsat_word(ptr %words, i64 {ROW.next})
  br label %candidate
found:
  ret ptr %row
none:
  ret ptr null
}

; Take the arena; Python's lock is given up while another call has it.
define internal void @eqsat_take(ptr %arena) #0 {
entry:
  %sleepers = getelementptr i8, ptr %arena, i64 8
  %try = cmpxchg ptr %arena, i32 0, i32 1 seq_cst seq_cst
  %got = extractvalue { i32, i1 } %try, 1
  br i1 %got, label %done, label %give_up
give_up:
  %state = call ptr @PyEval_SaveThread()
  br label %wait
wait:
  call void @eqsat_wait(ptr %arena, i32 1, ptr %sleepers)
  %again = cmpxchg ptr %arena, i32 0, i32 1 seq_cst seq_cst
  %got_now = extractvalue { i32, i1 } %again, 1
  br i1 %got_now, label %resume, label %wait
resume:
  call void @PyEval_RestoreThread(ptr %state)
  br label %done
done:
  ret void
}

define internal void @eqsat_leave(ptr %arena) #0 {
  %sleepers = getelementptr i8, ptr %arena, i64 8
  store atomic i32 0, ptr %arena seq_cst, align 4
  call void @eqsat_wake(ptr %arena, ptr %sleepers)
  ret void
}

; Call a Python function of one number; say whether it went well.
define internal i1 @eqsat_tell(ptr %function, i64 %value) #0 {
  %number = call ptr @PyLong_FromLongLong(i64 %value)
  %failed = icmp eq ptr %number, null
  br i1 %failed, label %bad, label %call
call:
  %result = call ptr @PyObject_CallOneArg(ptr %function, ptr %number)
  call void @Py_DecRef(ptr %number)
  %no_result = icmp eq ptr %result, null
  br i1 %no_result, label %bad, label %good
good:
  call void @Py_DecRef(ptr %result)
  ret i1 true
bad:
  ret i1 false
}

; Write what follows from the place of the workspace into a row.
define internal void @eqsat_place(ptr %row, i64 %base) #0 {
entry:
  %shared_at = call i64 @eqsat_number(ptr %row, i64 {ROW.shared_at})
  %scratch_at = call i64 @eqsat_number(ptr %row, i64 {ROW.scratch_at})
  %shared = add i64 %base, %shared_at
  %scratch = add i64 %base, %scratch_at
  call void @eqsat_store(ptr %row, i64 {ROW.shared}, i64 %shared)
  call void @eqsat_store(ptr %row, i64 {ROW.scratch_all}, i64 %scratch)
  call void @eqsat_store(ptr %row, i64 {ROW.base}, i64 %base)
  %pointers = call ptr @eqsat_word(ptr %row, i64 {ROW.pointers})
  %fills = call ptr @eqsat_word(ptr %row, i64 {ROW.fills})
  %count = call i64 @eqsat_number(ptr %row, i64 {ROW.num_fills})
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i1, %fill ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %fill, label %done
fill:
  %one = getelementptr [2 x i64], ptr %fills, i64 %i
  %place = load i64, ptr %one, align 8
  %offset = call i64 @eqsat_number(ptr %one, i64 1)
  %address = add i64 %base, %offset
  call void @eqsat_store(ptr %pointers, i64 %place, i64 %address)
  %i1 = add i64 %i, 1
  br label %next
done:
  ret void
}

; Run the kernels in the workspace; say whether it went well.
define internal i1 @eqsat_work(ptr %table, ptr %row, ptr %addresses) #0 {
entry:
  %arena = call ptr @eqsat_word(ptr %table, i64 {TABLE.arena})
  call void @eqsat_take(ptr %arena)
  %have = call i64 @eqsat_number(ptr %arena, i64 {ARENA.num_bytes})
  %need = call i64 @eqsat_number(ptr %row, i64 {ROW.total_bytes})
  %enough = icmp sge i64 %have, %need
  br i1 %enough, label %place, label %grow
grow:
  %grow_function = call ptr @eqsat_word(ptr %arena, i64 {ARENA.grow})
  %grown = call i1 @eqsat_tell(ptr %grow_function, i64 %need)
  br i1 %grown, label %place, label %bad
place:
  %base = call i64 @eqsat_number(ptr %arena, i64 {ARENA.base})
  %old_base = call i64 @eqsat_number(ptr %row, i64 {ROW.base})
  %placed = icmp eq i64 %base, %old_base
  br i1 %placed, label %patch, label %move
move:
  call void @eqsat_place(ptr %row, i64 %base)
  br label %patch
patch:
  %pointers = call ptr @eqsat_word(ptr %row, i64 {ROW.pointers})
  %patches = call ptr @eqsat_word(ptr %table, i64 {TABLE.patches})
  %num_patches = call i64 @eqsat_number(ptr %table, i64 {TABLE.num_patches})
  br label %next
next:
  %i = phi i64 [ 0, %patch ], [ %i1, %one ]
  %more = icmp slt i64 %i, %num_patches
  br i1 %more, label %one, label %run
one:
  %at = getelementptr [2 x i64], ptr %patches, i64 %i
  %array = load i64, ptr %at, align 8
  %place_in = call i64 @eqsat_number(ptr %at, i64 1)
  %address = call i64 @eqsat_number(ptr %addresses, i64 %array)
  call void @eqsat_store(ptr %pointers, i64 %place_in, i64 %address)
  %i1 = add i64 %i, 1
  br label %next
run:
  %args = getelementptr i64, ptr %row, i64 {ROW.pointers}
  %function = call ptr @eqsat_word(ptr %table, i64 {TABLE.run})
  %mode = call i64 @eqsat_number(ptr %row, i64 {ROW.mode})
  switch i64 %mode, label %by_team [ i64 {AT_ONCE}, label %at_once
    i64 {UNLOCKED}, label %unlocked ]
at_once:
  call void %function(ptr %args, i64 0, i64 1, ptr null)
  br label %good
unlocked:
  %state = call ptr @PyEval_SaveThread()
  call void %function(ptr %args, i64 0, i64 1, ptr null)
  call void @eqsat_leave(ptr %arena)
  call void @PyEval_RestoreThread(ptr %state)
  ret i1 true
by_team:
  %team = call ptr @eqsat_word(ptr %table, i64 {TABLE.team})
  %args_number = ptrtoint ptr %args to i64
  %ran = call i1 @eqsat_tell(ptr %team, i64 %args_number)
  br i1 %ran, label %good, label %bad
good:
  call void @eqsat_leave(ptr %arena)
  ret i1 true
bad:
  call void @eqsat_leave(ptr %arena)
  ret i1 false
}

; Return the outputs: the one, or a tuple.
define internal ptr @eqsat_result(ptr %table, ptr %made, i64 %count) #0 {
entry:
  %is_tuple = call i64 @eqsat_number(ptr %table, i64 {TABLE.is_tuple})
  %single = icmp eq i64 %is_tuple, 0
  br i1 %single, label %one, label %several
one:
  %only = load ptr, ptr %made, align 8
  ret ptr %only
several:
  %tuple = call ptr @PyTuple_New(i64 %count)
  %failed = icmp eq ptr %tuple, null
  br i1 %failed, label %drop, label %next
next:
  %i = phi i64 [ 0, %several ], [ %i1, %set ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %set, label %done
set:
  %each = call ptr @eqsat_word(ptr %made, i64 %i)
  %r = call i32 @PyTuple_SetItem(ptr %tuple, i64 %i, ptr %each)
  %i1 = add i64 %i, 1
  br label %next
drop:
  call void @eqsat_drop(ptr %made, i64 %count)
  ret ptr null
done:
  ret ptr %tuple
}

define internal void @eqsat_drop(ptr %objects, i64 %count) #0 {
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i1, %one ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %one, label %done
one:
  %object = call ptr @eqsat_word(ptr %objects, i64 %i)
  call void @Py_DecRef(ptr %object)
  %i1 = add i64 %i, 1
  br label %next
done:
  ret void
}

; Make the outputs and run.
define internal ptr @eqsat_execute(ptr %table, ptr %row, ptr %addresses, ptr %made) #0 {
entry:
  %num_params = load i64, ptr %table, align 8
  %num_outputs = call i64 @eqsat_number(ptr %table, i64 {TABLE.num_outputs})
  %outputs = call ptr @eqsat_word(ptr %table, i64 {TABLE.outputs})
  %allocate = call ptr @eqsat_word(ptr %table, i64 {TABLE.allocate})
  %first_sizes = call ptr @eqsat_word(ptr %row, i64 {ROW.sizes})
  %output_addresses = getelementptr i64, ptr %addresses, i64 %num_params
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i1, %kept ]
  %sizes = phi ptr [ %first_sizes, %entry ], [ %next_sizes, %kept ]
  %more = icmp slt i64 %i, %num_outputs
  br i1 %more, label %make, label %run
make:
  %output = getelementptr [2 x i64], ptr %outputs, i64 %i
  %dtype = load ptr, ptr %output, align 8
  %ndim = call i64 @eqsat_number(ptr %output, i64 1)
  %ndim_32 = trunc i64 %ndim to i32
  %address_at = getelementptr i64, ptr %output_addresses, i64 %i
  %array = call ptr @eqsat_output(ptr %allocate, ptr %dtype, i32 %ndim_32, ptr %sizes, ptr %address_at)
  %failed = icmp eq ptr %array, null
  br i1 %failed, label %drop, label %kept
kept:
  %made_at = getelementptr ptr, ptr %made, i64 %i
  store ptr %array, ptr %made_at, align 8
  %i1 = add i64 %i, 1
  %num_words = add i64 %ndim, 1
  %next_sizes = getelementptr i64, ptr %sizes, i64 %num_words
  br label %next
run:
  %ran = call i1 @eqsat_work(ptr %table, ptr %row, ptr %addresses)
  br i1 %ran, label %finish, label %drop
finish:
  %result = call ptr @eqsat_result(ptr %table, ptr %made, i64 %num_outputs)
  ret ptr %result
drop:
  call void @eqsat_drop(ptr %made, i64 %i)
  ret ptr null
}

define ptr @eqsat_call(ptr %self, ptr %args, i64 %count, ptr %names) #0 {
entry:
  %table = call ptr @eqsat_words(ptr %self)
  %num_params = load i64, ptr %table, align 8
  %num_sizes = call i64 @eqsat_number(ptr %table, i64 {TABLE.num_sizes})
  %num_outputs = call i64 @eqsat_number(ptr %table, i64 {TABLE.num_outputs})
  %num_arrays = add i64 %num_params, %num_outputs
  %sizes = alloca i64, i64 %num_sizes, align 8
  %addresses = alloca i64, i64 %num_arrays, align 8
  %made = alloca ptr, i64 %num_outputs, align 8
  %by_position = icmp eq ptr %names, null
  br i1 %by_position, label %look, label %admit
look:
  %plain = phi ptr [ null, %entry ], [ %admitted, %again ]
  %given = phi ptr [ %args, %entry ], [ %items, %again ]
  %num_given = phi i64 [ %count, %entry ], [ %num_items, %again ]
  %row = call ptr @eqsat_find(ptr %table, ptr %given, i64 %num_given, ptr %sizes, ptr %addresses)
  %is_new = icmp eq ptr %row, null
  br i1 %is_new, label %unknown, label %found
unknown:
  %is_first = icmp eq ptr %plain, null
  br i1 %is_first, label %admit, label %wrong
admit:
  %admit_function = call ptr @eqsat_word(ptr %table, i64 {TABLE.admit})
  %admitted = call ptr @PyObject_Vectorcall(ptr %admit_function, ptr %args, i64 %count, ptr %names)
  %refused = icmp eq ptr %admitted, null
  br i1 %refused, label %none, label %again
again:
  %items = getelementptr i8, ptr %admitted, i64 {ITEMS}
  %num_items = call i64 @PyTuple_Size(ptr %admitted)
  br label %look
found:
  call void @Py_IncRef(ptr %row)
  %words = call ptr @eqsat_words(ptr %row)
  %result = call ptr @eqsat_execute(ptr %table, ptr %words, ptr %addresses, ptr %made)
  call void @Py_DecRef(ptr %row)
  call void @eqsat_forget(ptr %plain)
  ret ptr %result
wrong:
  %never = call i32 @PyErr_BadArgument()
  call void @Py_DecRef(ptr %plain)
  br label %none
none:
  ret ptr null
}

define internal void @eqsat_forget(ptr %object) #0 {
  %nothing = icmp eq ptr %object, null
  br i1 %nothing, label %done, label %drop
drop:
  call void @Py_DecRef(ptr %object)
  br label %done
done:
  ret void
}

define internal i64 @eqsat_hash(i64 %hash, i64 %size) #0 {
  %mixed = xor i64 %hash, %size
  %product = mul i64 %mixed, {HASH_FACTOR}
  ret i64 %product
}
define internal ptr @eqsat_words(ptr %array) #0 {
  %at = getelementptr i8, ptr %array, i64 {DATA}
  %words = load ptr, ptr %at, align 8
  ret ptr %words
}
define internal ptr @eqsat_word(ptr %words, i64 %i) #0 {
  %at = getelementptr i64, ptr %words, i64 %i
  %word = load ptr, ptr %at, align 8
  ret ptr %word
}
define internal i64 @eqsat_number(ptr %words, i64 %i) #0 {
  %at = getelementptr i64, ptr %words, i64 %i
  %word = load i64, ptr %at, align 8
  ret i64 %word
}
define internal void @eqsat_store(ptr %words, i64 %i, i64 %value) #0 {
  %at = getelementptr i64, ptr %words, i64 %i
  store i64 %value, ptr %at, align 8
  ret void
}
"""  # noqa: E501 - one instruction per line


def call_text() -> str:
    """Return the module's text; it goes with that of the team, whose waiting it uses."""
    tables = {"TABLE": TABLE, "ARENA": ARENA, "ROW": ROW}

    def number(found: re.Match[str]) -> str:
        table, _, word = found[1].partition(".")
        return str(tables[table].index(word) if word else _NUMBERS[table])

    return re.sub(r"\{([A-Z_]+(?:\.\w+)?)\}", number, _CALL)
