"""Puts a real OpenSearch 2.19.4 with the real Security plugin together from Maven artifacts.

Neither the distribution nor the ML Commons plugin is published as an artifact, so the parts that `pom.xml` names are
laid out as the distribution has them, once for all sandboxes of a user, in the cache folder.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from reconciler.errors import Problem, ReconcilerError

VERSION = "2.19.4"
LAYOUT = 1  # counted up when `_complete` changes, so that older assemblies are left aside
JAVA_VERSIONS = range(17, 24)  # the node wants the Security Manager, which JDK 24 has dropped

_MODULES = {
    "analysis-common": "org.opensearch.analysis.common.CommonAnalysisPlugin",
    "ingest-common": "org.opensearch.ingest.common.IngestCommonPlugin",
    "lang-painless": "org.opensearch.painless.PainlessPlugin",
    "mapper-extras": "org.opensearch.index.mapper.MapperExtrasPlugin",
    "reindex": "org.opensearch.index.reindex.ReindexPlugin",
    "search-pipeline-common": "org.opensearch.search.pipeline.common.SearchPipelineCommonModulePlugin",
    "transport-netty4": "org.opensearch.transport.Netty4Plugin",
}
_EXTENDS = {"analysis-common": "lang-painless", "ingest-common": "lang-painless"}
_GRANTS = {
    "lang-painless": (
        'java.lang.RuntimePermission "createClassLoader"',
        'java.lang.RuntimePermission "getClassLoader"',
        'java.lang.RuntimePermission "accessDeclaredMembers"',
        'java.lang.RuntimePermission "setContextClassLoader"',
    ),
    "reindex": ('java.net.SocketPermission "*", "connect"',),
    "transport-netty4": (
        'java.lang.RuntimePermission "getClassLoader"',
        'java.lang.RuntimePermission "accessDeclaredMembers"',
        'java.lang.reflect.ReflectPermission "suppressAccessChecks"',
        'java.net.SocketPermission "*", "accept,connect"',
    ),
}


@dataclass(frozen=True, slots=True)
class Assembly:
    """A node ready to be configured: its folder (`lib`, `modules`, `plugins`) and the Java that runs it."""

    folder: Path
    java: Path


def cache_folder() -> Path:
    """Where assemblies are kept: `RECONCILER_CACHE`, else the user's cache folder.

    The node never runs as root, and the home of root is usually closed to others; then `/var/cache` serves.
    """
    if given := os.environ.get("RECONCILER_CACHE"):
        return Path(given)
    own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reconciler"
    if os.geteuid() == 0 and not open_to_others(own):
        return Path("/var/cache/reconciler")
    return own


def open_to_others(folder: Path) -> bool:
    """Whether any user can enter `folder`, as far as it and the folders above it exist."""
    return all(level.stat().st_mode & 0o001 for level in (folder, *folder.parents) if level.exists())


def assemble(progress: Callable[[str], None]) -> Assembly:
    """The assembled node, made now if the cache has none; calls `progress` with a line when that takes time.

    Raises ReconcilerError when Java or Maven is missing, or when Maven fails.
    """
    java = find_java()
    pom = files("reconciler.sandbox").joinpath("pom.xml").read_bytes()
    folder = cache_folder() / f"opensearch-{VERSION}-{sha256(pom).hexdigest()[:12]}-{LAYOUT}"
    if not folder.is_dir():
        progress(f"assembling OpenSearch {VERSION} in {folder}")
        _make(folder, pom)
    if os.geteuid() == 0 and not open_to_others(folder):
        raise ReconcilerError(
            [
                Problem(
                    "sandbox-folder",
                    f"the node runs as an unprivileged user, who can not enter {folder}",
                    hint="set RECONCILER_CACHE to a folder that every user can enter",
                )
            ]
        )
    return Assembly(folder, java)


def find_java() -> Path:
    """The `java` to run the node with: of `JAVA_HOME`, else of the `PATH`. Raises ReconcilerError if none will do."""
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    hint = "install Java 17 or 21 and put it on the PATH, or set JAVA_HOME"
    if found is None:
        raise ReconcilerError(
            [Problem("sandbox-java", "the sandbox needs Java, and there is none on the PATH", hint=hint)]
        )
    try:
        said = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=60, check=True).stderr
    except (OSError, subprocess.SubprocessError) as error:
        raise ReconcilerError([Problem("sandbox-java", f"{found} does not run: {error}", hint=hint)]) from error
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) not in JAVA_VERSIONS:
        shown = version[1] if version else said.strip()
        raise ReconcilerError(
            [Problem("sandbox-java", f"{found} is Java {shown}, which can not run the node", hint=hint)]
        )
    return Path(found)


def _make(folder: Path, pom: bytes) -> None:
    """Assemble into a folder beside `folder`, then put it in place in one step, so that `folder` is whole or absent."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as making:
        node = Path(making) / "node"
        (Path(making) / "pom.xml").write_bytes(pom)
        _run_maven(Path(making) / "pom.xml", node)
        _complete(node)
        try:
            node.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def _run_maven(pom: Path, node: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ReconcilerError(
            [
                Problem(
                    "sandbox-maven",
                    "assembling the node needs Maven, and there is no mvn on the PATH",
                    hint="install Maven 3; the parts are downloaded once",
                )
            ]
        )
    command = [maven, "-B", "-q", "-f", str(pom), f"-Dnode={node}", "process-resources"]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ran.returncode:
        said = [line for line in ran.stdout.splitlines() if line.startswith("[ERROR]")]
        raise ReconcilerError(
            [
                Problem(
                    "sandbox-download",
                    "Maven could not bring the parts of the node",
                    hint="check the network and Maven's settings, then try again",
                    facts=(("maven", said[0].removeprefix("[ERROR] ") if said else f"exit status {ran.returncode}"),),
                )
            ]
        )


def _complete(node: Path) -> None:
    """Add what the artifacts lack: descriptors and grants of the modules, which the published jars come without."""
    shutil.rmtree(node / "target", ignore_errors=True)
    (node / "bin").mkdir()
    for name, main in _MODULES.items():
        module = node / "modules" / name
        properties = {
            "name": name,
            "description": name,
            "version": VERSION,
            "opensearch.version": VERSION,
            "java.version": "11",
            "classname": main,
            "extended.plugins": _EXTENDS.get(name, ""),
            "has.native.controller": "false",
        }
        text = "".join(f"{key}={value}\n" for key, value in properties.items())
        (module / "plugin-descriptor.properties").write_text(text)
        if grants := _GRANTS.get(name):
            lines = "".join(f"  permission {grant};\n" for grant in grants)
            (module / "plugin-security.policy").write_text(f"grant {{\n{lines}}};\n")
    for path in (node, *node.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
