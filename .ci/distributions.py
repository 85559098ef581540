"""
Whether the sdist and the wheel in a folder are what setup.py and MANIFEST.in mean them to be.
"""

import os
import runpy
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser

VERSION = runpy.run_path("rpcudp/__init__.py")["version"]
PYTHONS = ">=2.7, !=3.0.*, !=3.1.*, !=3.2.*, !=3.3.*, !=3.4.*, !=3.5.*, !=3.6.*, !=3.7.*"
REQUIRED = {
    "twisted>=16.4.0",
    "u-msgpack-python>=2.1",
    'future>=0.14.0; python_version < "3"',
    'zope.interface<7; python_version == "3.8"',
    'msgpack<2,>=1.0; python_version >= "3" and extra == "fast"',
}


def same(what, found, expected):
    """
    Ends the program, and says what differs, unless the two are equal.
    """
    if found != expected:
        sys.exit("{}:\n  found    {}\n  expected {}".format(what, found, expected))
    print("{}: as it should be".format(what))


def specifiers(text):
    return {part.strip() for part in text.split(",")}


def main(folder):
    name = "storjrpcudp-{}".format(VERSION)
    sdist, wheel = name + ".tar.gz", name + "-py2.py3-none-any.whl"
    same("distributions", sorted(os.listdir(folder)), sorted([sdist, wheel]))

    tracked = set(subprocess.check_output(["git", "ls-files"]).decode("utf-8").split())
    with tarfile.open(os.path.join(folder, sdist)) as archive:
        packed = {member.name[len(name) + 1 :] for member in archive.getmembers() if member.isfile()}
    generated = {path for path in packed if ".egg-info/" in path or path in ("PKG-INFO", "setup.cfg")}
    same("files of the sdist", sorted(packed - generated), sorted(tracked))

    with zipfile.ZipFile(os.path.join(folder, wheel)) as archive:
        packed = {path for path in archive.namelist() if ".dist-info/" not in path}
        metadata = Parser().parsestr(archive.read(name + ".dist-info/METADATA").decode("utf-8"))
        entryPoints = archive.read(name + ".dist-info/entry_points.txt").decode("utf-8")
        licences = [path for path in archive.namelist() if path.endswith("/LICENSE")]
    modules = {path for path in tracked if path.startswith(("rpcudp/", "storjrpcudp/"))}
    same("files of the wheel", sorted(packed), sorted(modules))
    same("licence in the wheel", len(licences), 1)
    same("commands", entryPoints.split(), ["[console_scripts]", "rpcudp", "=", "rpcudp.__main__:main"])
    same("name", metadata["Name"], "storjrpcudp")
    same("version", metadata["Version"], VERSION)
    same("licence", metadata["License"] or metadata["License-Expression"], "MIT")
    same("Pythons", specifiers(metadata["Requires-Python"]), specifiers(PYTHONS))
    same("requirements", set(metadata.get_all("Requires-Dist")), REQUIRED)


if __name__ == "__main__":
    main(sys.argv[1])
