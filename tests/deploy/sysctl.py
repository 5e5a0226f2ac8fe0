"""Is sysctl.conf fine: its syntax, no key twice, a reason above each, none of those that do harm, and keys that a kernel has?"""

import pathlib
import re
import sys

PROC = pathlib.Path("/proc/sys")

# What may do harm, and has to be named with its reason.
NEVER = """net.ipv4.tcp_tw_recycle net.ipv4.tcp_timestamps net.ipv4.tcp_sack net.ipv4.tcp_window_scaling net.ipv4.tcp_syncookies
    net.ipv4.tcp_abort_on_overflow net.ipv4.tcp_max_tw_buckets net.ipv4.tcp_fin_timeout net.ipv4.tcp_low_latency net.ipv4.tcp_fack
    net.ipv4.tcp_mem net.core.rmem_default net.core.wmem_default fs.file-max vm.max_map_count kernel.pid_max""".split()

# The machine's own, which a container does not show.
OF_THE_MACHINE = {"net.core.netdev_max_backlog", "fs.nr_open"}

# Bounds between which a value makes sense, for each of the numbers that a key has.
SENSE = {
    "fs.nr_open": [(1048576, 1 << 24)],
    "net.core.somaxconn": [(4096, 65535)],
    "net.ipv4.tcp_max_syn_backlog": [(4096, 1 << 20)],
    "net.core.netdev_max_backlog": [(1000, 1 << 18)],
    "net.ipv4.tcp_rmem": [(4096, 4096), (4096, 131072), (1 << 17, 1 << 22)],
    "net.ipv4.tcp_wmem": [(4096, 4096), (4096, 131072), (1 << 17, 1 << 22)],
    "net.ipv4.tcp_notsent_lowat": [(16384, 131072)],
    "net.ipv4.tcp_slow_start_after_idle": [(0, 0)],
    "net.ipv4.tcp_keepalive_time": [(30, 600)],
    "net.ipv4.tcp_keepalive_intvl": [(5, 60)],
    "net.ipv4.tcp_keepalive_probes": [(3, 10)],
    "net.ipv4.ip_local_port_range": [(7000, 32768), (60000, 65535)],
    "net.ipv4.tcp_tw_reuse": [(1, 2)],
    "net.netfilter.nf_conntrack_max": [(262144, 1 << 24)],
    "net.netfilter.nf_conntrack_tcp_timeout_established": [(3600, 432000)],
}


def problems_of(text, proc=PROC):
    """What is wrong with a text, one sentence each."""
    found, named, reason = {}, set(), False
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            reason = False
            continue
        if line.startswith("#"):
            if never := re.match(r"# never: (\S+) {2,}\S", line):
                named.add(never[1])
            reason = True
            continue
        setting = re.fullmatch(r"(-?)([a-z0-9_-]+(?:\.[a-z0-9_-]+)+) = (\d+(?: \d+)*)", line)
        if not setting:
            yield f"line {number}: {line!r} is no setting; write `key = numbers`"
            continue
        optional, key, values = setting[1] == "-", setting[2], [int(value) for value in setting[3].split()]
        if not reason:
            yield f"{key}: there is no reason in the line above"
        reason = False
        if key in found:
            yield f"{key} is there twice"
        found[key] = values
        if key in NEVER:
            yield f"{key} does harm and must not be set"
            continue
        sense = SENSE.get(key)
        if not sense or len(sense) != len(values) or not all(low <= value <= high for value, (low, high) in zip(values, sense)):
            yield f"{key} = {values}: expected {sense}"
        is_known = (proc / key.replace(".", "/")).exists()
        if not is_known and not optional and key not in OF_THE_MACHINE and (proc / "net").is_dir():
            yield f"{key}: this kernel has no such key"
    yield from (f"{key}: it should be said why it is not set" for key in NEVER if key not in named)
    yield from (f"{key} is missing" for key in SENSE if key not in found)


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    text = (root / "sysctl.conf").read_text()
    # That it can fail at all: each fault has to be found.
    for fault in ["net.ipv4.tcp_tw_recycle = 1", "net.core.somaxconn=1", "net.core.somaxconn = 65535", "net.ipv4.tcp_nonsense = 1"]:
        if not list(problems_of(f"{text}\n# because\n{fault}\n")):
            print(f"the check does not notice {fault!r}", file=sys.stderr)
            return 1
    problems = list(problems_of(text))
    for problem in problems:
        print(f"sysctl.conf: {problem}", file=sys.stderr)
    return 1 if problems else 0


sys.exit(main())
