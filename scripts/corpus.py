"""Packs inputs that fuzzing found worth keeping into a text file, one in hex a line, and unpacks them.

    corpus.py pack DIR FILE      the smallest inputs of a folder, as many as fit
    corpus.py unpack FILE DIR    every line of a file, if there is one
"""

import hashlib
import pathlib
import sys

# Longer inputs, and more of them, show little that shorter ones do not.
INPUT_MAX, FILE_MAX = 1024, 65_536


def pack(folder, file):
    inputs = {path.read_bytes() for path in folder.iterdir()}
    lines, left = [], FILE_MAX
    for data in sorted(inputs, key=lambda data: (len(data), data)):
        line = data.hex() + "\n"
        left -= len(line)
        if len(data) > INPUT_MAX or left < 0:
            break
        lines.append(line)
    file.write_text("".join(lines))


def unpack(file, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for line in file.read_text().split("\n")[:-1] if file.exists() else []:
        data = bytes.fromhex(line)
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def main():
    command, *paths = sys.argv[1:]
    {"pack": pack, "unpack": unpack}[command](*map(pathlib.Path, paths))


if __name__ == "__main__":
    main()
