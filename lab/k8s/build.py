"""What the lab's Kubernetes is made of, built from sources and packages, each cached by the hash of its inputs."""

import fnmatch
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from lab import kafka
from lab.cache import built, fingerprint
from lab.debian import rootfs
from lab.errors import LabError
from lab.k8s.oci import Image, write_archive
from lab.run import sh
from lab.site import ROOT

HERE = Path(__file__).parent
GO = ROOT / "lab" / "go"
SPARK = ROOT / "jobs" / "image"
KUBERNETES, OPERATOR = "1.34.2", "2.5.0"
SPARK_IMAGE, OPERATOR_IMAGE, PAUSE_IMAGE = "docker.io/homelake/spark:4.1.1", f"docker.io/homelake/spark-operator:{OPERATOR}", "docker.io/homelake/pause:1"
KAFKA_IMAGE = f"docker.io/homelake/kafka:{kafka.VERSION}"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubeadm", "kubectl", "coredns")
NODE_PACKAGES = ("bash", "coreutils", "util-linux", "mount", "procps", "iproute2", "containerd", "runc", "containernetworking-plugins",
                 "nftables", "conntrack", "kmod", "ethtool", "ca-certificates")  # fmt: skip
NODE_FOLDERS = ("var/lib/containerd", "var/lib/kubelet", "var/lib/etcd", "var/log/node", "etc/kubernetes", "etc/cni/net.d")
SPARK_PACKAGES = ("python3-minimal", "python3", "openjdk-21-jre-headless", "tini", "procps", "bash", "coreutils", "libc-bin")
_STAMP = "k8s.io/component-base/version"
SPARK_UID = 185


def _go(what: str, module: Path, package: str, target: Path, ldflags: str = "") -> None:
    if not shutil.which("go"):
        raise LabError("build", what, "there is no Go on this machine", "Install Go 1.24 or newer (go.dev/dl) and run again")
    # Figures for a debugger take a tenth of the compiler's time, and -s -w leaves them out in the end; its garbage collection takes a seventh.
    flags = ["-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", f"-ldflags=-s -w {ldflags}"]
    sh("go", "build", *flags, "-o", target, package, cwd=module, env={"CGO_ENABLED": "0", "GOGC": "off", "GOMEMLIMIT": "2GiB"})


def _sources(module: Path) -> list[Path]:
    return [p for p in module.iterdir() if p.is_file()]


def kube() -> Path:
    """The folder with Kubernetes' programs, one binary under nine names (6 minutes on two cores)."""
    stamp = f"-X {_STAMP}.gitVersion=v{KUBERNETES} -X {_STAMP}.gitMajor=1 -X {_STAMP}.gitMinor={KUBERNETES.split('.')[1]} -X {_STAMP}.gitCommit=homelake -X {_STAMP}.gitTreeState=clean"

    def make(folder: Path) -> None:
        _go("Kubernetes", GO / "kube", ".", folder / "kube", stamp)
        for name in PROGRAMS:
            (folder / name).symlink_to("kube")

    return built("kube", fingerprint(stamp, PROGRAMS, files=_sources(GO / "kube")), make, f"Kubernetes {KUBERNETES} (about 6 minutes)")


def operator() -> Path:
    """The folder with the spark-operator's binary and its CRDs (`crds.yaml`)."""

    def make(folder: Path) -> None:
        package = "github.com/kubeflow/spark-operator/v2"
        _go("the spark-operator", GO / "operator", f"{package}/cmd/operator", folder / "spark-operator")
        chart = Path(sh("go", "list", "-m", "-f", "{{.Dir}}", package, cwd=GO / "operator").strip()) / "charts/spark-operator-chart/crds"
        (folder / "crds.yaml").write_text("\n---\n".join(p.read_text() for p in sorted(chart.glob("*.yaml"))))

    return built("spark-operator", fingerprint(OPERATOR, files=_sources(GO / "operator")), make, f"the spark-operator {OPERATOR} (about 2 minutes)")


def node_root() -> Path:
    """The root filesystem of the node: Debian with containerd, and Kubernetes' programs."""
    programs = kube()

    def make(folder: Path) -> None:
        rootfs(folder / "root", NODE_PACKAGES)
        shutil.copy(programs / "kube", folder / "root/usr/local/bin/kube")
        for name in PROGRAMS:
            (folder / "root/usr/local/bin" / name).symlink_to("kube")
        for old in ("var/lib/apt/lists", "var/cache/apt"):
            shutil.rmtree(folder / "root" / old, ignore_errors=True)
        for place in NODE_FOLDERS:
            (folder / "root" / place).mkdir(parents=True, exist_ok=True)

    return built("node", fingerprint(NODE_PACKAGES, NODE_FOLDERS, programs.name), make, "the node's root filesystem (Debian 13, containerd)") / "root"


def _spark_layers(folder: Path) -> tuple[Path, Path, list[str]]:
    """Debian and Spark as archives, and the environment of what runs in them."""
    base, spark = folder / "base.tar", folder / "spark.tar"
    root = folder / "root"
    rootfs(root, SPARK_PACKAGES, variant="essential",
           hooks=[f'echo "spark:x:{SPARK_UID}:0::/opt/spark:/bin/bash" >>"$1/etc/passwd"'])  # fmt: skip
    for old in ("var/lib/apt", "var/cache", "usr/share/i18n", "usr/share/perl5", "usr/share/bash-completion", "usr/share/lintian"):
        shutil.rmtree(root / old, ignore_errors=True)
    sh("tar", "-C", root, "--numeric-owner", "--exclude=./dev/*", "-cf", base, ".")
    home = root / "opt/spark"
    lay_out_spark(home)
    (py4j,) = (home / "python/lib").glob("py4j-*-src.zip")
    environment = ["PATH=/opt/spark/bin:/usr/local/bin:/usr/bin:/bin", "SPARK_HOME=/opt/spark", f"PYTHONPATH=/opt/spark/python:/opt/spark/python/lib/{py4j.name}",
                   "PYSPARK_PYTHON=python3", "JAVA_HOME=/usr/lib/jvm/java-21-openjdk-amd64", "LANG=C.UTF-8"]  # fmt: skip
    # In namespaces of its own: what it mounts and starts ends with it.
    script = 'mount -t proc proc "$1/proc" && mount -t tmpfs tmp "$1/tmp" && mount --rbind /dev "$1/dev" && exec chroot "$@"'
    sh("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "-",
       root, "env", "-i", *environment, "/opt/spark/entrypoint.sh", "archive")  # fmt: skip
    sh("tar", "-C", home, "--numeric-owner", "--owner=0", "--group=0", "--transform=s,^\\.,opt/spark,", "-cf", spark, ".")
    shutil.rmtree(root)
    return base, spark, environment


def lay_out_spark(target: Path) -> None:
    """Make a SPARK_HOME in the folder: pyspark as released, without what trim.txt names, with the S3A jars."""
    download = target.parent / "download"
    sh(sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--require-hashes",
       "-r", SPARK / "requirements.txt", "-d", download)  # fmt: skip
    with tarfile.open(next(download.glob("*.tar.gz"))) as archive:
        archive.extractall(download, filter="data")
    source = next(p for p in download.iterdir() if p.is_dir())
    target.mkdir()
    shutil.copytree(source / "deps/bin", target / "bin")
    shutil.copytree(source / "deps/jars", target / "jars")
    shutil.copytree(source / "pyspark", target / "python/pyspark")
    shutil.copytree(source / "lib", target / "python/lib")
    (target / "RELEASE").write_text("Spark 4.1.1, trimmed by Homelake\n")
    unwanted = [x for line in (SPARK / "trim.txt").read_text().splitlines() if (x := line.strip()) and not x.startswith("#")]
    for jar in (target / "jars").iterdir():
        if any(fnmatch.fnmatch(jar.name, glob) for glob in unwanted):
            jar.unlink()
    if not shutil.which("mvn"):
        raise LabError("build", "the Spark image", "there is no Maven on this machine", "On Debian: apt-get install maven")
    sh("mvn", "-B", "-q", "-f", SPARK / "pom.xml", "dependency:copy-dependencies", f"-Djars={target / 'jars'}")
    for name in ("conf", "work-dir"):
        (target / name).mkdir()
    (target / "work-dir").chmod(0o777)
    for name in ("entrypoint.sh", "warm_up.py"):
        shutil.copy(SPARK / name, target / name)
    shutil.rmtree(download)


def images() -> Path:
    """An OCI archive of all images the lab's pods use: Spark, the spark-operator and Kafka (on the same layers), pause."""
    manager, broker = operator(), kafka.jars()

    def make(folder: Path) -> None:
        base, spark, paths = _spark_layers(folder)
        added = folder / "operator.tar"
        sh("tar", "-C", manager, "--owner=0", "--group=0", "--transform=s,^,usr/bin/,", "-cf", added, "spark-operator")
        _go("the pause program", GO / "pause", ".", folder / "pause")
        libs = folder / "kafka.tar"
        sh("tar", "-C", broker, "--owner=0", "--group=0", "--transform=s,^\\.,opt/kafka/libs,", "-cf", libs, ".")
        sh("tar", "-C", kafka.START.parent, "--owner=0", "--group=0", "--mode=0755", "--transform=s,^,opt/kafka/,", "-rf", libs, kafka.START.name)
        pause = folder / "pause.tar"
        sh("tar", "-C", folder, "--owner=0", "--group=0", "-cf", pause, "pause")
        run: dict[str, object] = {"Env": paths, "WorkingDir": "/opt/spark/work-dir", "User": str(SPARK_UID)}
        write_archive(folder / "images.tar", [
            Image(SPARK_IMAGE, (base, spark), run | {"Entrypoint": ["/opt/spark/entrypoint.sh"]}),
            Image(OPERATOR_IMAGE, (base, spark, added), run | {"Entrypoint": ["/usr/bin/tini", "-s", "--", "/usr/bin/spark-operator"]}),
            Image(KAFKA_IMAGE, (base, libs), {"Env": paths[:1] + paths[-1:], "User": str(SPARK_UID), "Entrypoint": ["/usr/bin/tini", "--", "/opt/kafka/start.sh"]}),
            Image(PAUSE_IMAGE, (pause,), {"Entrypoint": ["/pause"]}),
        ])  # fmt: skip
        (folder / "size").write_text(str(base.stat().st_size + spark.stat().st_size))
        for file in (base, spark, added, libs, pause, folder / "pause"):
            file.unlink()

    key = fingerprint(SPARK_PACKAGES, manager.name, broker.name, files=[*_sources(SPARK), kafka.START, HERE / "oci.py", GO / "pause/main.go"])
    return built("images", key, make, "the Spark image (about 3 minutes)") / "images.tar"


def image_store() -> Path:
    """containerd's folder with every image unpacked in it: a new lab's node starts from links to it."""
    root, archive = node_root(), images()

    def make(folder: Path) -> None:
        script = f"""set -eu
            mount --make-rprivate /
            mount --bind {folder}/store {root}/var/lib/containerd
            mount -t proc proc {root}/proc; mount -t tmpfs run {root}/run; mount -t tmpfs tmp {root}/tmp; mount --rbind /dev {root}/dev
            touch {root}/run/images.tar; mount --bind {archive} {root}/run/images.tar
            chroot {root} containerd --config /dev/null >{folder}/log 2>&1 & pid=$!
            tries=0; until chroot {root} ctr version >/dev/null 2>&1; do tries=$((tries+1)); [ $tries -lt 100 ]; sleep 0.1; done
            chroot {root} ctr -n k8s.io images import --platform linux/amd64 --snapshotter overlayfs /run/images.tar
            kill $pid; wait $pid || true"""
        (folder / "store").mkdir()
        done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script], capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError("unpack", "the lab's images", done.stderr.strip()[-300:] or "containerd did not start")

    return built("store", fingerprint(root.parent.name, archive.parent.name), make, "containerd's image store") / "store"


def everything() -> None:
    """Build all that is not in the cache. Go builds use both cores, so one follows the other."""
    image_store()


if __name__ == "__main__":
    os.nice(5)
    everything()
