"""Compiles kernels/cuda/*.cu with NVRTC: see ci/ptx. Exit code 3: no NVRTC here."""

import ctypes
import pathlib
import sys

SOURCES = pathlib.Path("kernels/cuda")
OUTPUT = pathlib.Path("kernels/ptx")
VERSION = (12, 0)
# Turing has neither cp.async nor tf32 and bf16 in its tensor cores.
TARGETS = {"75": "columns elementwise probe rows sgemm_ladder sgemm_warps softmax update".split()}
TARGETS["80"] = ["sgemm_async", "gemm_tensor"]


def library():
    for folder in sys.path:
        for path in pathlib.Path(folder).glob("nvidia/cuda_nvrtc/lib/libnvrtc.so.12"):
            # The compiler opens its builtins by name alone.
            ctypes.CDLL(str(next(path.parent.glob("libnvrtc-builtins.so.12.0"))), mode=ctypes.RTLD_GLOBAL)
            return ctypes.CDLL(str(path))
    sys.exit(3)


def compile_to_ptx(nvrtc, name, target, headers):
    def call(function, *arguments):
        code = getattr(nvrtc, function)(*arguments)
        if code != 0 and function != "nvrtcCompileProgram":
            sys.exit(f"{function}: error {code}")
        return code

    def text(kind):
        size = ctypes.c_size_t()
        call(f"nvrtcGet{kind}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        call(f"nvrtcGet{kind}", program, buffer)
        return buffer.value.decode()

    program = ctypes.c_void_p()
    names, bodies = zip(*headers)
    strings = lambda values: (ctypes.c_char_p * len(values))(*values)
    source = (SOURCES / f"{name}.cu").read_bytes()
    call("nvrtcCreateProgram", ctypes.byref(program), source, f"{name}.cu".encode(), len(names), strings(bodies), strings(names))
    options = [f"--gpu-architecture=compute_{target}".encode(), b"--std=c++17", b"--device-as-default-execution-space"]
    failed = call("nvrtcCompileProgram", program, len(options), strings(options))
    if failed or text("ProgramLog").strip():
        sys.exit(f"{name}.cu, compute_{target}:\n{text('ProgramLog')}")
    return text("PTX")


def main():
    check = sys.argv[1:] == ["--check"]
    nvrtc = library()
    major, minor = ctypes.c_int(), ctypes.c_int()
    nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    if (major.value, minor.value) != VERSION:
        sys.exit(f"NVRTC is {major.value}.{minor.value}, the committed PTX is of {VERSION[0]}.{VERSION[1]}")
    headers = [(path.name.encode(), path.read_bytes()) for path in sorted(SOURCES.glob("*.cuh"))]
    made = set()
    for target, names in TARGETS.items():
        for name in names:
            path = OUTPUT / f"{name}.compute_{target}.ptx"
            made.add(path)
            ptx = compile_to_ptx(nvrtc, name, target, headers)
            if not check:
                path.write_text(ptx)
            elif not path.exists() or path.read_text() != ptx:
                sys.exit(f"{path} is not what {name}.cu compiles to; run ci/ptx and commit the result")
    extra = set(OUTPUT.glob("*.ptx")) - made
    if extra:
        sys.exit(f"no source makes {', '.join(map(str, sorted(extra)))}; remove it")
    print(f"{len(made)} files of PTX {'are as committed' if check else 'written'}")


main()
