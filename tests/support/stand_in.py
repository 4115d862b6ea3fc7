"""A stand-in for the image's base, from this machine's own Debian packages and Python: no registry of images is asked.

It has what the Dockerfile asks of its base: apt-get, a shell, and `python` with venv and pip. It is not the base: other
versions, nobody's digest. What it shows is that each instruction does what it should on a Debian, and that the result
runs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pip

#: What a slim base holds; their dependencies come too.
PACKAGES = (
    *(
        "apt",
        "base-files",
        "bash",
        "ca-certificates",
        "coreutils",
        "dash",
        "debian-archive-keyring",
        "dpkg",
        "findutils",
    ),
    *("debconf", "diffutils", "grep", "libc-bin", "mawk", "openssl", "perl-base", "sed", "tar"),
)
#: Libraries that Python's own modules are linked with.
LIBRARIES = ("libbz2-1.0", "libffi8", "liblzma5", "libreadline8", "libsqlite3-0", "libssl3", "libuuid1", "zlib1g")
#: Heavy, and nothing to the service.
NOT_NEEDED = (
    *("test", "tests", "idlelib", "lib2to3", "tkinter", "turtledemo", "ensurepip", "pydoc_data", "config-*"),
    *("site-packages", "dist-packages", "__pycache__"),
)
FOLDERS = (
    "etc/apt/sources.list.d",
    "etc/apt/preferences.d",
    "var/log/apt",
    "proc",
    "sys",
    "dev",
    "root",
    "run",
    "tmp",
    "var/tmp",
    "usr/local/bin",
    "usr/local/lib",
)


def missing() -> str:
    """Say why no stand-in can be made here, or nothing."""
    if shutil.which("dpkg-query") is None:
        return "a stand-in base is made of Debian's packages, and this is no Debian"
    return "" if Path("/bin").is_symlink() else "this Debian keeps /bin and /usr/bin apart"


def make(root: Path) -> str:
    """Put the files of a base into the empty folder `root`; return in words what it is made of."""
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    packages = _with_dependencies((*PACKAGES, *LIBRARIES))
    _copy(_files(packages), root)
    _settings(root, packages)
    _python(root)
    debian = Path("/etc/debian_version").read_text().strip()
    return f"Debian {debian}, {len(packages)} packages, Python {sys.version.split()[0]}, all of this machine"


def _with_dependencies(names: Iterable[str]) -> list[str]:
    form = "${Package}\t${db:Status-Status}\t${Pre-Depends},${Depends}\n"
    rows = [line.split("\t") for line in _said("dpkg-query", "-W", "-f", form).splitlines()]
    needs = {name: depends for name, status, depends in rows if status == "installed"}
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in needs and name not in found:
            found.add(name)
            waiting += [part.split("|")[0].split("(")[0].split(":")[0].strip() for part in needs[name].split(",")]
    return sorted(found)


def _files(packages: list[str]) -> list[str]:
    left_out = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/")
    listed = _said("dpkg-query", "-L", *packages).splitlines()
    return sorted(
        {line for line in listed if line.startswith("/") and not line.startswith(left_out) and _is_file(line)}
    )


def _is_file(name: str) -> bool:
    path = Path(name)
    return path.is_symlink() or path.is_file()


def _copy(files: list[str], root: Path) -> None:
    names = "\0".join(name.removeprefix("/") for name in files)
    packed = subprocess.Popen(["tar", "-C", "/", "-cf", "-", "--null", "-T", "-"], stdin=-1, stdout=-1, stderr=-3)
    unpacked = subprocess.Popen(["tar", "-C", str(root), "--keep-directory-symlink", "-xf", "-"], stdin=packed.stdout)
    assert packed.stdin is not None
    packed.stdin.write(names.encode())
    packed.stdin.close()
    assert (unpacked.wait(300), packed.wait(300)) == (0, 0)


def _settings(root: Path, packages: list[str]) -> None:
    """Users, what is installed, and where Debian's packages and the makers of certificates are."""
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", root / "etc" / name)
    dpkg = root / "var" / "lib" / "dpkg"
    (dpkg / "info").mkdir(parents=True, exist_ok=True)
    (dpkg / "status").write_text(_said("dpkg-query", "-s", *packages) + "\n")
    for package in packages:
        for listed in Path("/var/lib/dpkg/info").glob(f"{package}[.:]*list"):
            shutil.copy(listed, dpkg / "info")
    for name in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (root / name).mkdir(parents=True, exist_ok=True)
    apt = Path("/etc/apt")
    shutil.copytree(apt / "apt.conf.d", root / "etc/apt/apt.conf.d", dirs_exist_ok=True)
    (root / "etc/apt/apt.conf.d/90retries").write_text('Acquire::Retries "3";\n')
    for source in [apt / "sources.list", *(apt / "sources.list.d").glob("*")]:
        if source.is_file() and "debian.org/debian" in source.read_text():
            shutil.copy(source, root / source.relative_to("/"))
    shutil.copytree("/etc/ssl", root / "etc/ssl", symlinks=True, dirs_exist_ok=True)


def _python(root: Path) -> None:
    """Put the Python of the tests into /usr/local, as the base has it, with the pip of the tests."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    local, own = root / "usr" / "local", Path(sys.base_prefix)
    library = local / "lib" / version
    ignored = shutil.ignore_patterns(*NOT_NEEDED)
    shutil.copytree(own / "lib" / version, library, symlinks=True, ignore=ignored)
    for shared in (own / "lib").glob(f"libpython{sys.version_info.major}*.so*"):
        shutil.copy(shared, local / "lib", follow_symlinks=False)
    shutil.copy(Path(sys._base_executable).resolve(), local / "bin" / version)  # type: ignore[attr-defined]
    for name in ("python", "python3"):
        (local / "bin" / name).symlink_to(version)
    packages = library / "site-packages"
    packages.mkdir()
    shutil.copytree(Path(pip.__file__).parent, packages / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["chroot", str(root), "ldconfig"], check=True, timeout=60)


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
