"""Count over HTTP, for instruments and other systems."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from detector import process
from detector.arguments import Number, Parser
from detector.commandline import run
from detector.errors import EXIT_DONE
from detector.service.service import Service, ServiceOptions, token_of

_LOOK_EVERY_S = 0.1
_SWEEP_EVERY_S = 60.0


def serve(options: ServiceOptions) -> int:
    """Count over HTTP: a picture, several, or a job that is asked for later; GET /openapi.json describes it.

    Only this computer reaches it, unless --address says otherwise. Clients must send the token that the environment variable
    SMEARCOUNT_TOKEN or --token-file gives. Jobs are on disk before they are accepted, in the folder of --state, and go on at the
    next start. Logs are lines of JSON on standard error, without names of patients or files. Ctrl-C and SIGTERM end it.
    """
    token = token_of(options.token_file, os.environ)
    with process.collected_signals() as caught, Service(options, token, sys.stderr) as service:
        if service.warning:
            service.log.note(service.warning, level="warning")
        service.wait_for_model(lambda: bool(caught))
        service.log.note("ready", url=service.url)
        swept = 0.0
        while not caught:
            if time.monotonic() - swept > _SWEEP_EVERY_S:
                service.sweep()
                swept = time.monotonic()
            time.sleep(_LOOK_EVERY_S)
    return EXIT_DONE


def parser() -> Parser:
    """What the command takes."""
    made = Parser("serve", "[OPTION]...", serve.__doc__)
    add = made.add_argument
    default = ServiceOptions
    add(
        "--address",
        default=default.address,
        help="port, or HOST:PORT to be reached from other computers; port 0 takes a free one",
    )
    add("--state", type=Path, default=default.state, help="folder of the jobs, with their results")
    add("--model", type=Path, help="an .onnx model, or the name of one that adapt made; default: the shipped one")
    add("--backend", default=default.backend, help="program that runs the model, as of count")
    add("--threads", type=Number(int, 1), help="pictures worked on at a time; default: one more than processors")
    add("--token-file", type=Path, help="file that holds the token; default: the environment variable SMEARCOUNT_TOKEN")
    add("--most-mb", type=Number(int, 1), default=default.most_mb, help="largest request, in MiB")
    add("--most-fields", type=Number(int, 1), default=default.most_fields, help="most pictures in a request")
    add(
        "--most-megapixels",
        type=Number(float, 0.01),
        default=default.most_megapixels,
        help="largest picture, in million pixels",
    )
    add(
        "--time-s",
        type=Number(float, 0.1),
        default=default.time_s,
        help="seconds for a request to arrive, for its count, and for each picture of a job",
    )
    add(
        "--queue",
        type=Number(int, 1),
        default=default.queue,
        help="requests, and as many jobs, that may wait; further ones are refused for the moment",
    )
    add("--keep-hours", type=Number(float, 0), default=default.keep_hours, help="hours for which finished jobs are kept")
    return made


def main() -> None:
    """Entry point."""
    run(serve, parser(), ServiceOptions)


if __name__ == "__main__":
    main()
