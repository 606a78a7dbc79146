"""Gets the programs Coffer is compared with, each at the newest version its registry has.

Nothing is installed into the system: packages of Debian are downloaded with apt and unpacked, those of PyPI go
into an environment of their own, those of crates.io below a root of their own, all in one folder that is kept.
"""

import os
import shutil
import sys
from pathlib import Path

import command
from command import Failed

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
BORG_LIBRARIES = [
    "libacl1-dev", "libacl1", "libattr1-dev", "libattr1", "liblz4-dev", "liblz4-1", "libzstd-dev", "libzstd1",
    "libxxhash-dev", "libxxhash0", "libssl-dev",
]
SODIUM_LIBRARIES = ["libsodium-dev", "libsodium23"]


class Peers:
    """The folder the programs live in, and the ways to fill it."""

    def __init__(self, folder, install, say):
        self.folder = Path(folder)
        self.install = install
        self.say = say

    def find(self, name):
        """The path of a program, installed now if it was not; fails with the reason if it cannot be had."""
        ways = {
            "restic": self._restic,
            "borg": self._borg,
            "rustic": lambda: self._cargo("rustic", "rustic-rs", ["--no-default-features"], {}),
            "bupstash": self._bupstash,
        }
        link = self.folder / "bin" / name
        if link.exists():
            return link
        reason = "not installed yet, and --no-install was given"
        if self.install:
            self.say(f"installing {name} into {self.folder}")
            try:
                program = ways[name]()
                link.parent.mkdir(parents=True, exist_ok=True)
                link.unlink(missing_ok=True)
                link.symlink_to(program)
                return link
            except (Failed, OSError) as error:
                reason = str(error)
        found = shutil.which(name)
        if found:
            self.say(f"{name}: {reason}; taking {found}")
            return Path(found)
        raise Failed(reason)

    def linux_source(self):
        """The unpacked tree of Debian's package of the kernel's source."""
        tree = self.folder / "linux-source"
        if tree.exists():
            return tree
        if not self.install:
            raise Failed("Debian's linux-source is not there, and --no-install was given")
        depends = command.run(["apt-cache", "depends", "--important", "linux-source"]).splitlines()
        packages = [line.split()[-1] for line in depends if "Depends: linux-source" in line]
        if not packages:
            raise Failed("apt knows no package linux-source; name a tree with --source-tree")
        self.say(f"unpacking {packages[0]}")
        unpacked = self._debian(packages, "kernel")
        archives = sorted((unpacked / "usr/src").glob("linux-source-*.tar.xz"))
        if not archives:
            raise Failed(f"{packages[0]} holds no usr/src/linux-source-*.tar.xz")
        part = self.folder / "linux-source.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        command.run(["tar", "-xf", archives[-1], "-C", part])
        part.rename(tree)
        shutil.rmtree(unpacked)
        return tree

    def _restic(self):
        """Debian's unstable suite has the newest restic; its program needs little of the system."""
        try:
            unpacked = self._debian(["restic"], "restic", self._unstable())
            program = unpacked / "usr/bin/restic"
            command.run([program, "version"])
        except Failed as error:
            self.say(f"restic of Debian unstable: {error}; taking that of this system's release")
            unpacked = self._debian(["restic"], "restic")
            program = unpacked / "usr/bin/restic"
            command.run([program, "version"])
        return program

    def _borg(self):
        root = self._debian(BORG_LIBRARIES, "borg-libraries")
        libraries = self._libraries(root)
        env = {
            "CFLAGS": f"-I{root}/usr/include",
            "LDFLAGS": " ".join(f"-L{folder} -Wl,-rpath,{folder}" for folder in libraries),
            "PKG_CONFIG_PATH": ":".join(f"{folder}/pkgconfig" for folder in libraries),
        }
        home = self.folder / "borg"
        command.run([sys.executable, "-m", "venv", "--clear", home])
        command.run([home / "bin/pip", "install", "--quiet", "borgbackup"], env)
        return home / "bin/borg"

    def _bupstash(self):
        root = self._debian(SODIUM_LIBRARIES, "bupstash-libraries")
        libraries = self._libraries(root)
        env = {
            "PKG_CONFIG_PATH": ":".join(f"{folder}/pkgconfig" for folder in libraries),
            "PKG_CONFIG_SYSROOT_DIR": str(root),
            "RUSTFLAGS": " ".join(f"-C link-arg=-Wl,-rpath,{folder}" for folder in libraries),
        }
        return self._cargo("bupstash", "bupstash", [], env)

    def _cargo(self, program, crate, options, env):
        root, build = self.folder / program, self.folder / f"{program}.build"
        argv = ["cargo", "install", "--quiet", "--locked", "--root", root, "--target-dir", build, *options, crate]
        try:
            # Outside of any workspace, whose settings for cargo would apply.
            command.run(argv, env, cwd=self.folder)
        finally:
            shutil.rmtree(build, ignore_errors=True)
        return root / "bin" / program

    def _debian(self, packages, name, env=None):
        """Downloads packages and unpacks them into one folder, without installing them."""
        unpacked, part = self.folder / f"{name}.debian", self.folder / f"{name}.debian.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(unpacked, ignore_errors=True)
        part.mkdir(parents=True)
        command.run(["apt-get", "-o", "APT::Sandbox::User=", "download", *packages], env, cwd=part)
        for package in sorted(part.glob("*.deb")):
            command.run(["dpkg-deb", "-x", package, part])
            package.unlink()
        part.rename(unpacked)
        return unpacked

    def _unstable(self):
        """Lists of Debian unstable for apt, apart from those of this system."""
        if not KEYRING.exists():
            raise Failed(f"{KEYRING} is not there: not a Debian")
        apt = self.folder / "apt"
        for folder in ["lists/partial", "archives/partial", "parts"]:
            (apt / folder).mkdir(parents=True, exist_ok=True)
        (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] http://deb.debian.org/debian sid main\n")
        settings = {
            "Dir::Etc::sourcelist": apt / "sources.list",
            "Dir::Etc::sourceparts": apt / "parts",
            "Dir::State::lists": apt / "lists",
            "Dir::Cache": apt,
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "",
        }
        lines = [f'{key} "{value}";\n' for key, value in settings.items()]
        (apt / "apt.conf").write_text("".join(lines))
        env = {"APT_CONFIG": str(apt / "apt.conf")}
        command.run(["apt-get", "update"], env)
        return env

    @staticmethod
    def _libraries(root):
        """The folders below an unpacked package that hold libraries, with links that point outside mended."""
        folders = [folder for parent in ["usr/lib", "lib"] for folder in sorted((root / parent).glob("*-linux-gnu"))]
        for folder in folders:
            for link in folder.glob("*.so"):
                if link.is_symlink() and os.readlink(link).startswith("/"):
                    target = root / os.readlink(link).lstrip("/")
                    link.unlink()
                    link.symlink_to(target)
        return folders
