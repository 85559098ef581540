"""
The documentation: pages in Markdown, which can be read as they are, and the reference of all public names, which
pydoctor makes from the docstrings.  C{tox -e docs} builds both.

A name in code style, such as C{RPCProtocol} or C{InvalidAddressError}, is linked to where it is documented: to the
reference, or to the documentation of Python or Twisted.  The names of those two stand in *-names.txt, in the form of a
Sphinx inventory before it is compressed, so that the links do not depend on the network.  There is a name in them for
each one that a docstring links to; pydoctor warns of others.

Every code block of the pages is run by tests/test_pages.py.
"""

import atexit
import os
import re
import runpy
import shutil
import tempfile
import zlib

from docutils import nodes
from pygments.lexers import TextLexer
from sphinx.addnodes import pending_xref
from sphinx.ext.intersphinx import InventoryAdapter
from sphinx.transforms.post_transforms import SphinxPostTransform

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
INVENTORIES = tempfile.mkdtemp()
atexit.register(shutil.rmtree, INVENTORIES, ignore_errors=True)

# What is a page by including another file, to which links lead where pages are read as they are.
INCLUDED = {
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
}
ELSEWHERE = {"python": "https://docs.python.org/3", "twisted": "https://docs.twisted.org/en/stable/api"}


def inventory(name):
    """
    @return: the path of a Sphinx inventory with the names in a file here.
    """
    with open(os.path.join(HERE, name + "-names.txt"), "rb") as names:
        lines = b"".join(line for line in names if not line.startswith(b"#"))
    path = os.path.join(INVENTORIES, name + ".inv")
    head = "# Sphinx inventory version 2\n# Project: {}\n# Version: \n# The rest is compressed using zlib.\n"
    with open(path, "wb") as file:
        file.write(head.format(name).encode("ascii") + zlib.compress(lines))
    return path


project = "rpcudp"
author = "The rpcudp maintainers"
version = release = runpy.run_path(os.path.join(ROOT, "rpcudp", "__init__.py"))["version"]
extensions = ["myst_parser", "sphinx.ext.intersphinx", "pydoctor.sphinx_ext.build_apidocs"]
myst_heading_anchors = 4
intersphinx_mapping = {name: (url, inventory(name)) for name, url in ELSEWHERE.items()}
pydoctor_url_path = "api"
pydoctor_args = [
    "--docformat=epytext",
    "--project-name=rpcudp",
    "--project-url=../index.html",
    "--project-version=" + version,
    "--project-base-dir=" + ROOT,
    "--html-output={outdir}/api",
    # Its private names are for subclasses, but for these (see L{rpcudp.protocol}).
    "--privacy=PUBLIC:rpcudp.protocol.RPCProtocol._*",
    "--privacy=PRIVATE:rpcudp.protocol.RPCProtocol._rpcudp*",
    "--privacy=PRIVATE:rpcudp.statistics.Counters",
    "--privacy=PRIVATE:rpcudp.roundtrip.FORGET_AFTER",
] + ["--intersphinx-file={}::{}".format(path, url) for url, path in intersphinx_mapping.values()]
pydoctor_args += [os.path.join(ROOT, "rpcudp")]
html_title = "rpcudp " + version
html_theme = "furo"
html_show_copyright = False


class LinkNames(SphinxPostTransform):
    """
    Have a code span that is the name of something documented lead there.
    """

    # Before intersphinx resolves references.
    default_priority = 5

    def run(self):
        known = {}
        for items in InventoryAdapter(self.env).main_inventory.values():
            for name in items:
                short = name.rpartition(".")[2]
                if "._" in name:
                    continue
                if short != name:
                    known[name] = name
                if short[:1].isupper():
                    known[short] = name
        for literal in list(self.document.findall(nodes.literal)):
            name = known.get(literal.astext())
            if name is not None and not isinstance(literal.parent, nodes.reference):
                reference = pending_xref(
                    "", refdomain="py", reftype="obj", reftarget=name, refdoc=self.env.docname, refwarn=True
                )
                literal.replace_self(reference)
                reference += literal


def leadToPages(app, docname, source):
    """
    Called by Sphinx for the text of each page: have links to files that pages include lead to these pages.
    """
    up = "../" * docname.count("/")
    for name, page in INCLUDED.items():
        source[0] = re.sub(r"\]\((\.\./)+{}(?=[#)])".format(re.escape(name)), "](" + up + page, source[0])


def setup(app):
    app.connect("source-read", leadToPages)
    # That of Pygments for what is typed into a terminal takes the output for that too.
    for language in ("console", "datagram"):
        app.add_lexer(language, TextLexer)
    app.add_post_transform(LinkNames)
