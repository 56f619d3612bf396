#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Installs into a staging directory and uses what is there as a program outside of this tree would: by find_package()
and by pkg-config, shared and static, after the whole prefix was moved.

    test_install.py BUILD_DIR SOURCE_DIR CMAKE CC C_FLAGS LINK_FLAGS [CMAKE_OPTION...]

C_FLAGS and LINK_FLAGS are what the libraries were built with and what their archives need (sanitizers, counters).
The example is the program. test_example.py says what it must do.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import test_example

SONAME = "libvfio-stack.so.0"


def run(*words, env=None, text=None):
    done = subprocess.run([str(word) for word in words], env={**os.environ, **(env or {})}, input=text,
                          stdin=subprocess.DEVNULL if text is None else None, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=text is not None or None, timeout=280, check=False)
    out = done.stdout if isinstance(done.stdout, str) else done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, "%s: exit %d\n%s" % (" ".join(map(str, words)), done.returncode, out)
    return out


class Stage:
    def __init__(self, build, source, cmake, compiler, c_flags, link_flags, *options):
        self.build, self.source, self.cmake, self.compiler = Path(build), Path(source), cmake, compiler
        self.c_flags, self.link_flags = c_flags.split(), link_flags.split()
        self.options = list(options)
        self.work = self.build / "install-test"
        self.prefix = self.work / "moved"

    def install(self):
        shutil.rmtree(self.work, ignore_errors=True)
        first = self.work / "first"
        run(self.cmake, "--install", self.build, "--prefix", first, env={"DESTDIR": ""})
        first.rename(self.prefix)
        shutil.copytree(self.source / "scenarios" / "example", self.work / "program")
        self.include = self.prefix / "include"
        [self.libdir] = {path.parent for path in self.prefix.rglob("libvfio-stack.a")}

    def check_text(self):
        """What is installed names neither the build, nor the sources, nor the place where it was before."""
        for path in (p for p in self.prefix.rglob("*") if p.suffix in (".h", ".pc", ".cmake")):
            text = path.read_text(encoding="utf-8")
            for place in (self.build, self.source, self.work / "first"):
                assert str(place) not in text, "%s names %s" % (path, place)

    def check_headers(self):
        """Each header compiles alone from here, and all of one package together, in C and in C++."""
        names = sorted(str(path.relative_to(self.include)) for path in self.include.rglob("*.h"))
        assert "vfio/vfio.h" in names and "vfake/sys.h" in names, names
        groups = [[name] for name in names]
        groups += [[n for n in names if n.startswith("vfio/")] + ["linux/vfio.h", "vfake/sys.h"]]
        groups += [[n for n in names if n.startswith("vfake/")]]
        languages = [(self.compiler, "c", "gnu11")]
        if shutil.which("c++") and not self.options:  # a foreign machine's C++ is not asked for
            languages.append(("c++", "c++", "gnu++17"))

        def compile_group(job):
            (compiler, language, standard), group = job
            flags = self.c_flags if language == "c" else []
            run(compiler, "-x", language, "-std=" + standard, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *flags,
                "-I", self.include, "-I", self.include / "vfake", "-",
                text="".join('#include <%s>\n' % name for name in group))

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(compile_group, [(language, group) for language in languages for group in groups]))

    def by_find_package(self):
        where = self.work / "by-cmake"
        configs = self.libdir / "cmake"
        # A toolchain file for another machine forbids to look for packages here.
        named = ["-D%s_DIR=%s" % (name, configs / name) for name in ("vfio-stack", "vfake")] if self.options else []
        run(self.cmake, "-S", self.work / "program", "-B", where, "-DCMAKE_C_COMPILER=" + self.compiler,
            "-DCMAKE_C_FLAGS=" + " ".join(self.c_flags), "-DCMAKE_EXE_LINKER_FLAGS=" + " ".join(self.link_flags),
            "-DCMAKE_PREFIX_PATH=%s" % self.prefix, *named, *self.options)
        run(self.cmake, "--build", where)
        return {"find_package, shared": (where / "map_and_read", True),
                "find_package, static": (where / "map_and_read_static", False)}

    def by_pkg_config(self):
        env = {"PKG_CONFIG_LIBDIR": str(self.libdir / "pkgconfig"), "PKG_CONFIG_PATH": "", "PKG_CONFIG_SYSROOT_DIR": ""}
        asked = run("pkg-config", "--cflags", "--libs", "vfio-stack", "vfake", env=env).split()
        assert "-lvfio-stack" in asked and "-lvfake" in asked, asked
        program = self.work / "by-pkg-config"
        run(self.compiler, *self.c_flags, *asked, "-c", "-o", program.with_suffix(".o"),
            self.work / "program" / "map_and_read.c")
        run(self.compiler, "-o", program, program.with_suffix(".o"), *asked, *self.link_flags)
        return {"pkg-config, shared": (program, True)}

    def check_program(self, how, program, shared):
        needed = SONAME.encode() in program.read_bytes()
        assert needed == shared, "%s: %s%s needed" % (how, SONAME, "" if needed else " not")
        test_example.check(str(program))

    def check_cli(self):
        launcher = os.environ.get("VFAKE_TEST_LAUNCHER", "").split()
        # A foreign machine's own libraries are not where its loader looks.
        foreign = ":".join(option.split("=", 1)[1] + "/lib" for option in self.options
                           if option.startswith("-DVFAKE_TARGET_PREFIX="))
        out = run(*launcher, self.prefix / "bin" / "vfake", "--version", env={"LD_LIBRARY_PATH": foreign})
        assert "0." in out, out


def main(arguments):
    stage = Stage(*arguments)
    with tempfile.TemporaryDirectory() as counters:
        os.environ["GCOV_PREFIX"] = counters  # what is measured here is not the build's own
        check(stage)


def check(stage):
    stage.install()
    stage.check_text()
    stage.check_headers()
    stage.check_cli()
    programs = {**stage.by_find_package(), **stage.by_pkg_config()}
    os.environ["LD_LIBRARY_PATH"] = str(stage.libdir)
    for how, (program, shared) in programs.items():
        stage.check_program(how, program, shared)
        print("ok: " + how)


if __name__ == "__main__":
    if len(sys.argv) < 7:
        sys.exit(__doc__)
    main(sys.argv[1:])
