# SPDX-License-Identifier: GPL-2.0-or-later
"""embed.py OUTPUT FILE...: writes a C file that holds the files, as web_page.h declares them."""
import pathlib
import sys


def array(index, content):
    numbers = ", ".join(str(byte) for byte in content)
    return f"static const uint8_t file_{index}[] = {{ {numbers} }};\n"


def main(output, *paths):
    files = [pathlib.Path(path) for path in paths]
    rows = [f'\t{{ "{file.name}", file_{index}, sizeof(file_{index}) }},\n' for index, file in enumerate(files)]
    output.write_text('#include "host/web/web_page.h"\n\n'
                      + "".join(array(index, file.read_bytes()) for index, file in enumerate(files))
                      + "\nconst struct web_page_file web_page_files[] = {\n" + "".join(rows) + "};\n"
                      + f"const unsigned web_page_file_count = {len(files)};\n")


main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
