import pathlib


def letters():
    return pathlib.Path(__file__).with_name("first.txt").read_text().strip()
