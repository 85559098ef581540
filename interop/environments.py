"""
Environments of their own, for peers of several packages on several interpreters.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = tempfile.mkdtemp()
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)

# Peers import what is installed in their own environment, and nothing of ours besides.
PROCESS_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

_made = {}


def run(*command):
    subprocess.check_output(command, env=PROCESS_ENVIRONMENT, stderr=subprocess.STDOUT)


def ours(commit=None):
    """
    @param commit: the hash of a commit; by default it is the work as it stands.

    @return: the path of a wheel of ours.
    """
    key = ("ours", commit)
    if key not in _made:
        folder = os.path.join(FOLDER, "wheel-{}".format(len(_made)))
        source = ROOT
        if commit is not None:
            source = os.path.join(folder, "source")
            run("git", "clone", "-q", "--no-checkout", ROOT, source)
            run("git", "-C", source, "checkout", "-q", "--detach", commit)
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source)
        [name] = [name for name in os.listdir(folder) if name.endswith(".whl")]
        _made[key] = os.path.join(folder, name)
    return _made[key]


def python(version, *steps):
    """
    @param version: of CPython, like C{"2.7"}; it has to be on this machine.

    @param steps: what to install, as lists of arguments of C{pip install}.

    @return: the path of an interpreter that has it installed, and is made no more than once.
    """
    key = (version, str(steps))
    if key not in _made:
        folder = os.path.join(FOLDER, "python{}-{}".format(version, len(_made)))
        run(sys.executable, "-m", "virtualenv", "-q", "-p", "python" + version, folder)
        interpreter = os.path.join(folder, "bin", "python")
        for step in steps:
            # Compiling all of Twisted takes longer than what is run of it.
            run(interpreter, "-m", "pip", "install", "-q", "--no-compile", *step)
        _made[key] = interpreter
    return _made[key]
