"""The compiled part of the balancer: the modules with a .pxd beside them. See docs/decisions/0021."""

import warnings
from pathlib import Path

from setuptools import Extension, setup

HERE = Path(__file__).parent
DIRECTIVES = {
    "language_level": 3,
    # Types come from the .pxd files: what mypy calls an int may be any number, and bytes may be None.
    "annotation_typing": False,
}


def extensions():
    """An extension for each module to compile; none without Cython. One that fails is left out."""
    try:
        from Cython.Build import cythonize
    except ImportError:
        warnings.warn("no Cython here: the balancer is built without its compiled part", stacklevel=2)
        return []
    return cythonize(
        [
            Extension(f"balancer.{path.stem}", [str(path)], extra_compile_args=["-O2"], optional=True)
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


setup(ext_modules=extensions())
