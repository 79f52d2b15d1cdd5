"""Assembles the committed PTX and holds it to its budgets: see ci/ptxas."""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

PTX = pathlib.Path("kernels/ptx")
BUDGETS = PTX / "budgets.json"
ARCHITECTURES = [75, 80, 86, 89, 90, 100, 120]
# What must be in the machine code of the kernels whose names begin so.
RELIES_ON = {
    "sgemm_async": ["LDGSTS"],
    "sgemm_warps_async": ["LDGSTS", "LDS.128"],
    "sgemm_warps_nn": ["LDG.E.128", "LDS.128"],
    "sgemm_vectors_nn": ["LDG.E.128", "LDS.128"],
    "gemm_tf32": ["HMMA", "LDGSTS"],
    "gemm_bf16": ["HMMA"],
}
# Of an SM: warps, blocks, registers, bytes of shared memory that blocks may have. CUDA C++ Programming Guide, table of compute capabilities.
SM = {75: (32, 16, 65536, 64 << 10), 86: (48, 16, 65536, 100 << 10)}


def tool(name):
    for folder in sys.path:
        for path in pathlib.Path(folder).glob(f"nvidia/*/bin/{name}"):
            return path
    sys.exit(f"no {name}: ci/ptx installs the tools")


def assemble(job):
    """(kernel -> (registers, shared bytes), machine code or None) of one file on one architecture."""
    path, sm = job
    with tempfile.TemporaryDirectory() as folder:
        cubin = pathlib.Path(folder) / "out.cubin"
        run = [tool("ptxas"), f"-arch=sm_{sm}", "-v", "--warn-on-spills", "--warning-as-error", path, "-o", cubin]
        done = subprocess.run(run, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{path}, sm_{sm}:\n{done.stdout}{done.stderr}")
        used = {}
        entries = re.split(r"Compiling entry function '", done.stdout + done.stderr)[1:]
        for entry in entries:
            shared = re.search(r"(\d+) bytes smem", entry)
            registers = re.search(r"Used (\d+) registers", entry)
            used[entry[: entry.index("'")]] = (int(registers[1]), int(shared[1]) if shared else 0)
        code = None
        if sm == 86:
            environment = {**os.environ, "PATH": f"{tool('nvdisasm').parent}:{os.environ['PATH']}"}
            listing = subprocess.run([tool("cuobjdump"), "-sass", cubin], capture_output=True, text=True, env=environment)
            if listing.returncode != 0:
                sys.exit(f"cuobjdump {path}: {listing.stderr}")
            code = listing.stdout
        return path, sm, used, code


def check_instructions(listing, seen):
    for part in listing.split("Function : ")[1:]:
        kernel = part.split()[0]
        for start, wanted in RELIES_ON.items():
            if kernel.startswith(start):
                seen.add(start)
                missing = [name for name in wanted if name not in part]
                if missing:
                    sys.exit(f"{kernel}: its machine code for sm_86 has no {', '.join(missing)}")


def occupancy(threads, registers, shared, sm):
    warps, blocks, all_registers, all_shared = SM[sm]
    own = -(-threads // 32)
    # Registers are handed out to warps by 256.
    by_registers = all_registers // (-(-registers * 32 // 256) * 256) // own
    by_shared = all_shared // shared if shared else blocks
    return 100 * own * min(blocks, warps // own, by_registers, by_shared) // warps


def main():
    files = sorted(PTX.glob("*.ptx"))
    threads, turing = {}, set()
    for path in files:
        for entry in re.finditer(r"\.entry (\w+)\(.*?\)\s*\.maxntid (\d+)", path.read_text(), re.S):
            threads[entry[1]] = int(entry[2])
            if "compute_75" in path.name:
                turing.add(entry[1])
    jobs = [(path, sm) for path in files for sm in ARCHITECTURES if sm >= int(re.search(r"compute_(\d+)", path.name)[1])]
    most, seen = {}, set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, sm, used, code in pool.map(assemble, jobs):
            for kernel, (registers, shared) in used.items():
                before = most.get(kernel, (0, 0))
                most[kernel] = (max(before[0], registers), max(before[1], shared))
            if code is not None:
                check_instructions(code, seen)
    unseen = set(RELIES_ON) - seen
    if unseen:
        sys.exit(f"no kernel is named {', '.join(sorted(unseen))}...: RELIES_ON in ci/ptxas.py is out of date")
    if sys.argv[1:] == ["--write"]:
        rows = [f'  "{kernel}": [{r}, {s}]' for kernel, (r, s) in sorted(most.items())]
        BUDGETS.write_text("{\n" + ",\n".join(rows) + "\n}\n")
        print(f"{BUDGETS}: {len(most)} kernels")
        return
    budgets = json.loads(BUDGETS.read_text())
    if budgets.keys() != most.keys():
        sys.exit(f"{BUDGETS} has other kernels than the PTX: {sorted(budgets.keys() ^ most.keys())}; ci/ptxas --write")
    for kernel, (registers, shared) in sorted(most.items()):
        allowed = budgets[kernel]
        if registers > allowed[0] or shared > allowed[1]:
            sys.exit(f"{kernel}: {registers} registers and {shared} bytes of shared memory; its budget is {allowed[0]} and {allowed[1]}")
    print(f"{len(jobs)} assemblies for {len(ARCHITECTURES)} architectures, {len(most)} kernels within their budgets, no spill")
    print("kernel, registers, shared bytes, theoretical occupancy on sm_75 and sm_86 in percent")
    for kernel, (registers, shared) in sorted(most.items()):
        if kernel.endswith("_nn") or "gemm" not in kernel:
            shares = [occupancy(threads[kernel], registers, shared, sm) if sm > 75 or kernel in turing else "-" for sm in SM]
            print(f"{kernel:32} {registers:4} {shared:6} {shares[0]:>4} {shares[1]:>4}")


main()
