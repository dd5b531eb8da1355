"""fast-feature, a server that speaks OFREP, with the flags in its memory."""

from fast_feature.core import Flag
from fast_feature.ofrep import OfrepRouter
from fast_feature.storage.inmemory import InMemoryFlagRepository
from fastapi import FastAPI

from bench.flags.flagset import flagd_flags

FLAGS = [
    Flag(name, told["variants"], told["defaultVariant"], targeting=told.get("targeting"))
    for name, told in flagd_flags()["flags"].items()
]
app = FastAPI()
app.include_router(OfrepRouter.build(InMemoryFlagRepository(FLAGS)))
