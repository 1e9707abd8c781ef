"""What the data path is compared with: plain loops in one process, without the project's code.

    python benchmarks/baselines.py read FOLDER [LIMIT]      walk, open, read, sha256
    python benchmarks/baselines.py decode FOLDER [LIMIT]    the same files decoded by Pillow

Prints the images and the seconds of the loop as JSON; start-up does not count, as it does not for
what is compared.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from itertools import islice

from PIL import Image


def walk(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield os.path.join(parent, name)


def read(path: str) -> None:
    with open(path, "rb") as file:
        hashlib.sha256(file.read()).hexdigest()


def decode(path: str) -> None:
    with open(path, "rb") as file:
        Image.open(BytesIO(file.read())).load()


def main(argv: list[str]) -> None:
    action = {"read": read, "decode": decode}[argv[0]]
    limit = int(argv[2]) if len(argv) > 2 else None
    count = 0
    started = time.perf_counter()
    for path in islice(walk(argv[1]), limit):
        action(path)
        count += 1
    print(json.dumps({"images": count, "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main(sys.argv[1:])
