"""Does KVM work here? Only a boot tells: a /dev/kvm can be there and die on a stock kernel."""

import subprocess
from pathlib import Path

from lab.image import Image
from lab.progress import say


def accelerator(image: Image) -> str:
    """`kvm` where a probe boot of the lab's own kernel came through with it, else `tcg`. The answer is kept with the image."""
    kept = image.kernel.parent / "accelerator"
    if not Path("/dev/kvm").exists():
        return "tcg"
    if not kept.exists():
        say("trying a boot with KVM (once)")
        args = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "pc", "-accel", "kvm", "-cpu",
                "host", "-m", "512", "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", "console=ttyS0 panic=-1 labprobe",
                "-serial", "stdio"]  # fmt: skip
        try:
            out = subprocess.run(args, capture_output=True, timeout=15, check=False, stdin=subprocess.DEVNULL).stdout
        except subprocess.TimeoutExpired as late:
            out = late.stdout or b""
        kept.write_text("kvm" if b"labprobe: ok" in out else "tcg")
    return kept.read_text()
