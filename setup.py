"""The compiled part of the balancer: the modules with a .pxd beside them. See docs/decisions/0028."""

import os
import warnings
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DIRECTIVES = {
    "language_level": 3,
    # Types come from the .pxd files: what mypy calls an int may be any number, and bytes may be None.
    "annotation_typing": False,
}


def extensions():
    """An extension for each module to compile; none without Cython, or with SLUICE_PURE set."""
    if os.environ.get("SLUICE_PURE"):
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        warnings.warn("no Cython here: the balancer is built without its compiled part", stacklevel=2)
        return []
    return cythonize(
        [
            Extension(f"balancer.{path.stem}", [str(path)], extra_compile_args=["-O2"])
            for path in sources(Path("balancer"))
        ],
        compiler_directives=DIRECTIVES,
        build_dir="build/cython",
        quiet=True,
    )


def sources(package):
    """The modules that are compiled: those with a .pxd, and those in Cython alone."""
    declared = (path.with_suffix(".py") for path in package.glob("*.pxd"))
    return sorted([*(path for path in declared if path.stem != "__init__"), *package.glob("*.pyx")])


class AllOrNothing(build_ext):
    """Compiled modules know each other's insides: where one cannot be compiled, all stay Python."""

    def run(self):
        try:
            super().run()
        except Exception as error:
            warnings.warn(f"the balancer is built without its compiled part: {error}", stacklevel=2)
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = []


setup(ext_modules=extensions(), cmdclass={"build_ext": AllOrNothing})
