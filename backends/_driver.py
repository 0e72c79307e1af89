"""The native entry of every program, and the thread team's waiting and waking, as LLVM IR.

`eqsat_run(args, thread, threads, team)` is called by every thread and works through the stages of a
plan in order. A stage is over when all its shares are done, whoever did them: a thread that the
system keeps waiting delays the others only by the share that it has in hand. `args` points to
`RUN_ARGS`; `times` is null, or has room for a timespec before each launch and at the end.
`progress` has, for each stage, the number of shares done and, for each thread, of its shares taken,
all zero at the start.
"""

from __future__ import annotations

import platform
import sys

from eqsat.backends._target import Target

# Byte offsets in the memory of a team; each word on its own cache line.
JOB_GENERATION, JOB_SLEEPERS = 0, 64
STAGE_GENERATION, STAGE_SLEEPERS = 192, 256
DONE, DONE_SLEEPERS = 320, 384
JOB_FUNCTION, JOB_ARGS, JOB_THREADS = 448, 456, 464
TEAM_BYTES = 512
RUN_ARGS = (
    ("ptr", "pointers"), ("ptr", "dims"), ("ptr", "shared"), ("ptr", "scratch_all"),
    ("i64", "stride"), ("ptr", "times"), ("ptr", "plan"), ("i64", "count"), ("ptr", "progress"),
)  # fmt: skip
# A parallel stage is cut in this many shares a thread. A thread takes its own first, in order, so
# that it mostly meets the data it wrote, and then what slower threads have left.
SHARES = 4
# A wait spins up to a limit and then asks the system to sleep. The limit follows what helps: it
# grows when the spinning ended the wait, and halves when it did not, as on a machine busy with
# other work.
# 60 barriers, measured with load 6 on 2 cores: 0.6 ms at 200 spins, 9 ms at 3000, 47 ms at 20000.
_LEAST_SPINS, MOST_SPINS = 64, 3000
# Each word for sleepers is followed by the limit of its waits.
LIMITS = (JOB_SLEEPERS + 4, STAGE_SLEEPERS + 4, DONE_SLEEPERS + 4)


# Words of a plan's step: function, first of its pointers, first of its dims, flags.
STEP_WORDS = 4
PARALLEL, FIRST_OF_LAUNCH = 1, 2

_RUN = """
define void @eqsat_run(ptr %args, i64 %thread, i64 %threads, ptr %team) #0 {
entry:
  %first = icmp eq i64 %thread, 0
LOADS
  %skip = mul i64 %stride, %thread
  %scratch = getelementptr i8, ptr %scratch_all, i64 %skip
  %timed = icmp ne ptr %times, null
  %clock = and i1 %timed, %first
  %several = icmp sgt i64 %threads, 1
  %words = add i64 %threads, 1
  %generation = getelementptr i8, ptr %team, i64 STAGE_GENERATION
  %sleepers = getelementptr i8, ptr %team, i64 STAGE_SLEEPERS
  %any = icmp sgt i64 %count, 0
  br i1 %any, label %step, label %end
step:
  %i = phi i64 [ 0, %entry ], [ %next_i, %ran ]
  %launch = phi i64 [ 0, %entry ], [ %next_launch, %ran ]
  %at = getelementptr [4 x i64], ptr %plan, i64 %i
  %function = load ptr, ptr %at, align 8
  %pointer_at = getelementptr i64, ptr %at, i64 1
  %pointer = load i64, ptr %pointer_at, align 8
  %dim_at = getelementptr i64, ptr %at, i64 2
  %dim = load i64, ptr %dim_at, align 8
  %flags_at = getelementptr i64, ptr %at, i64 3
  %flags = load i64, ptr %flags_at, align 8
  %parallel_bit = and i64 %flags, 1
  %is_parallel = icmp ne i64 %parallel_bit, 0
  %start_bit = lshr i64 %flags, 1
  %starts = icmp ne i64 %start_bit, 0
  %stamp = and i1 %starts, %clock
  call void @eqsat_clock(i1 %stamp, ptr %times, i64 %launch)
  %next_launch = add i64 %launch, %start_bit
  br label %work
work:
  %my_pointers = getelementptr i64, ptr %pointers, i64 %pointer
  %my_dims = getelementptr i64, ptr %dims, i64 %dim
  br i1 %several, label %divide, label %whole
whole:
  call void %function(ptr %my_pointers, ptr %my_dims, ptr %shared, ptr %scratch, i64 0, i64 1)
  br label %ran
divide:
  %row = mul i64 %i, %words
  %done = getelementptr i64, ptr %progress, i64 %row
  %all_taken = getelementptr i64, ptr %done, i64 1
  %shares = select i1 %is_parallel, i64 SHARES, i64 1
  %owners = select i1 %is_parallel, i64 %threads, i64 1
  %total = mul i64 %owners, %shares
  br label %owner
owner:
  %others = phi i64 [ 0, %divide ], [ %next_others, %exhausted ]
  %sum = add i64 %thread, %others
  %number = urem i64 %sum, %owners
  %first_share = mul i64 %number, %shares
  %taken = getelementptr i64, ptr %all_taken, i64 %number
  br label %take
take:
  %share = atomicrmw add ptr %taken, i64 1 acq_rel
  %left = icmp slt i64 %share, %shares
  br i1 %left, label %one, label %exhausted
one:
  %mine = add i64 %first_share, %share
  call void %function(ptr %my_pointers, ptr %my_dims, ptr %shared, ptr %scratch, i64 %mine, i64 %total)
  %done_before = atomicrmw add ptr %done, i64 1 acq_rel
  %done_now = add i64 %done_before, 1
  %is_last = icmp eq i64 %done_now, %total
  br i1 %is_last, label %announce, label %take
announce:
  %g = atomicrmw add ptr %generation, i32 1 seq_cst
  call void @eqsat_wake(ptr %generation, ptr %sleepers)
  br label %take
exhausted:
  %next_others = add i64 %others, 1
  %more_owners = icmp slt i64 %next_others, %owners
  br i1 %more_owners, label %owner, label %await
await:
  %seen = load atomic i32, ptr %generation seq_cst, align 4
  %done_seen = load atomic i64, ptr %done seq_cst, align 8
  %complete = icmp eq i64 %done_seen, %total
  br i1 %complete, label %ran, label %wait
wait:
  call void @eqsat_wait(ptr %generation, i32 %seen, ptr %sleepers)
  br label %await
ran:
  %next_i = add i64 %i, 1
  %more = icmp slt i64 %next_i, %count
  br i1 %more, label %step, label %end
end:
  %launches = phi i64 [ 0, %entry ], [ %next_launch, %ran ]
  call void @eqsat_clock(i1 %clock, ptr %times, i64 %launches)
  ret void
}"""  # noqa: E501 - one instruction per line


def _run() -> str:
    loads: list[str] = []
    for i, (kind, name) in enumerate(RUN_ARGS):
        loads += [
            f"  %{name}_at = getelementptr i64, ptr %args, i64 {i}",
            f"  %{name} = load {kind}, ptr %{name}_at, align 8",
        ]
    text = _RUN.replace("LOADS", "\n".join(loads))
    for name, value in (
        ("SHARES", SHARES),
        ("STAGE_GENERATION", STAGE_GENERATION),
        ("STAGE_SLEEPERS", STAGE_SLEEPERS),
    ):
        text = text.replace(name, str(value))
    return text


_CLOCK = """
declare i32 @clock_gettime(i32, ptr)
define internal void @eqsat_clock(i1 %on, ptr %times, i64 %n) #0 {
  br i1 %on, label %read, label %end
read:
  %at = getelementptr {i64, i64}, ptr %times, i64 %n
  %r = call i32 @clock_gettime(i32 1, ptr %at)
  br label %end
end:
  ret void
}"""


def _futex() -> tuple[str, str] | None:
    number = {"x86_64": 202, "aarch64": 98, "riscv64": 98}.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return None
    wait = f"call i64 (i64, ...) @syscall(i64 {number}, ptr %word, i64 128, i32 %old, ptr null)"
    wake = f"call i64 (i64, ...) @syscall(i64 {number}, ptr %word, i64 129, i32 2147483647)"
    return wait, wake


def runtime_text(target: Target) -> str:
    """Return waiting and waking."""
    futex = _futex()
    sleep, wake = futex or ("call i32 @sched_yield()", "call i32 @sched_yield()")
    x86 = target.triple.startswith(("x86_64", "i686", "i386"))
    pause = "pause" if x86 else "yield" if target.triple.startswith("aarch64") else "nop"
    return f"""
declare i64 @syscall(i64, ...)
declare i32 @sched_yield()
declare i32 @llvm.smin.i32(i32, i32)
declare i32 @llvm.smax.i32(i32, i32)
define internal void @eqsat_wait(ptr %word, i32 %old, ptr %sleepers) #0 {{
entry:
  %limit_at = getelementptr i8, ptr %sleepers, i64 4
  %limit = load atomic i32, ptr %limit_at monotonic, align 4
  br label %spin
spin:
  %i = phi i32 [ 0, %entry ], [ %next, %again ]
  %seen = load atomic i32, ptr %word acquire, align 4
  %changed = icmp ne i32 %seen, %old
  br i1 %changed, label %spun, label %again
again:
  call void asm sideeffect "{pause}", "~{{memory}}"()
  %next = add i32 %i, 1
  %more = icmp slt i32 %next, %limit
  br i1 %more, label %spin, label %drowse
spun:
  %eighth = lshr i32 %limit, 3
  %step = add i32 %eighth, 8
  %grown = add i32 %limit, %step
  %up = call i32 @llvm.smin.i32(i32 %grown, i32 {MOST_SPINS})
  store atomic i32 %up, ptr %limit_at monotonic, align 4
  br label %done
drowse:
  %half = lshr i32 %limit, 1
  %down = call i32 @llvm.smax.i32(i32 %half, i32 {_LEAST_SPINS})
  store atomic i32 %down, ptr %limit_at monotonic, align 4
  %s1 = atomicrmw add ptr %sleepers, i32 1 seq_cst
  br label %check
check:
  %now = load atomic i32, ptr %word seq_cst, align 4
  %moved = icmp ne i32 %now, %old
  br i1 %moved, label %awake, label %sleep
sleep:
  %r = {sleep}
  br label %check
awake:
  %s2 = atomicrmw sub ptr %sleepers, i32 1 seq_cst
  br label %done
done:
  ret void
}}
define internal void @eqsat_wake(ptr %word, ptr %sleepers) #0 {{
  %n = load atomic i32, ptr %sleepers seq_cst, align 4
  %any = icmp sgt i32 %n, 0
  br i1 %any, label %call, label %end
call:
  %r = {wake}
  br label %end
end:
  ret void
}}
{attributes(target)}
"""


def attributes(target: Target) -> str:
    """Return the attributes that every function has."""
    features = f'"target-cpu"="{target.cpu}" "target-features"="{target.features}"'
    return f"attributes #0 = {{ nounwind {features} }}\n"


def team_text(target: Target) -> str:
    """Return the module of `eqsat_run` and the thread team, `eqsat_worker` and `eqsat_submit`."""
    return f"""
define void @eqsat_worker(ptr %team, i64 %thread, i32 %start) #0 {{
entry:
  %word = getelementptr i8, ptr %team, i64 {JOB_GENERATION}
  %sleepers = getelementptr i8, ptr %team, i64 {JOB_SLEEPERS}
  %function_at = getelementptr i8, ptr %team, i64 {JOB_FUNCTION}
  %args_at = getelementptr i8, ptr %team, i64 {JOB_ARGS}
  %threads_at = getelementptr i8, ptr %team, i64 {JOB_THREADS}
  %done = getelementptr i8, ptr %team, i64 {DONE}
  %done_sleepers = getelementptr i8, ptr %team, i64 {DONE_SLEEPERS}
  br label %next
next:
  %seen = phi i32 [ %start, %entry ], [ %now, %finished ]
  call void @eqsat_wait(ptr %word, i32 %seen, ptr %sleepers)
  %now = load atomic i32, ptr %word acquire, align 4
  %function = load ptr, ptr %function_at, align 8
  %quit = icmp eq ptr %function, null
  br i1 %quit, label %end, label %job
job:
  %threads = load i64, ptr %threads_at, align 8
  %mine = icmp slt i64 %thread, %threads
  br i1 %mine, label %work, label %finished
work:
  %args = load ptr, ptr %args_at, align 8
  call void %function(ptr %args, i64 %thread, i64 %threads, ptr %team)
  br label %finished
finished:
  %d = atomicrmw sub ptr %done, i32 1 seq_cst
  call void @eqsat_wake(ptr %done, ptr %done_sleepers)
  br label %next
end:
  ret void
}}
define void @eqsat_submit(ptr %team, ptr %function, ptr %args, i64 %threads, i32 %workers) #0 {{
entry:
  %word = getelementptr i8, ptr %team, i64 {JOB_GENERATION}
  %sleepers = getelementptr i8, ptr %team, i64 {JOB_SLEEPERS}
  %function_at = getelementptr i8, ptr %team, i64 {JOB_FUNCTION}
  %args_at = getelementptr i8, ptr %team, i64 {JOB_ARGS}
  %threads_at = getelementptr i8, ptr %team, i64 {JOB_THREADS}
  %done = getelementptr i8, ptr %team, i64 {DONE}
  %done_sleepers = getelementptr i8, ptr %team, i64 {DONE_SLEEPERS}
  store ptr %function, ptr %function_at, align 8
  store ptr %args, ptr %args_at, align 8
  store i64 %threads, ptr %threads_at, align 8
  store atomic i32 %workers, ptr %done seq_cst, align 4
  %g = atomicrmw add ptr %word, i32 1 seq_cst
  call void @eqsat_wake(ptr %word, ptr %sleepers)
  %quit = icmp eq ptr %function, null
  br i1 %quit, label %end, label %work
work:
  call void %function(ptr %args, i64 0, i64 %threads, ptr %team)
  br label %wait
wait:
  %left = load atomic i32, ptr %done acquire, align 4
  %all = icmp eq i32 %left, 0
  br i1 %all, label %end, label %more
more:
  call void @eqsat_wait(ptr %done, i32 %left, ptr %done_sleepers)
  br label %wait
end:
  ret void
}}
{_CLOCK}
{_run()}
{runtime_text(target)}"""
