import io

from setuptools import setup

about = {}
with io.open("rpcudp/__init__.py", encoding="utf-8") as source:
    exec(source.read(), about)

with io.open("README.md", encoding="utf-8") as readme:
    description = readme.read()

setup(
    name="storjrpcudp",
    version=about["version"],
    description="Remote procedure calls over UDP, for Twisted",
    long_description=description,
    long_description_content_type="text/markdown",
    author="The rpcudp maintainers",
    license="MIT",
    packages=["rpcudp", "storjrpcudp"],
    package_data={"": ["py.typed", "*.pyi"]},
    python_requires=">=2.7, !=3.0.*, !=3.1.*, !=3.2.*, !=3.3.*, !=3.4.*, !=3.5.*, !=3.6.*, !=3.7.*",
    install_requires=[
        "twisted >=16.4.0",
        # On Python 2, 2.0 takes a gigabyte to refuse an array that announces more than it holds.
        "u-msgpack-python >=2.1",
        "future >=0.14.0; python_version < '3'",
        # Twisted's own requirement.  From version 7 on, importing it crashes CPython 3.8 whenever the garbage collector
        # happens to run meanwhile.
        "zope.interface <7; python_version == '3.8'",
    ],
    extras_require={
        # Without its C extension, which it lacks on Python 2, or of another major version, it would not be used.
        "fast": ["msgpack >=1.0, <2; python_version >= '3'"],
    },
    entry_points={"console_scripts": ["rpcudp = rpcudp.__main__:main"]},
    # One wheel for Python 2 and 3.
    options={"bdist_wheel": {"python_tag": "py2.py3"}},
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 2.7",
        "Programming Language :: Python :: 3.8",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Programming Language :: Python :: 3.15",
        "Programming Language :: Python :: Implementation :: CPython",
        "Topic :: Internet",
        "Topic :: System :: Networking",
        "Typing :: Typed",
    ],
)
