#!/bin/sh
# Run by mmdebstrap; $1 is the new root. Identity (address, keys) is not in the image: it comes by systemd credentials.
set -eu
root=$1
echo datalake >"$root/etc/hostname"
echo "127.0.0.1 localhost datalake" >"$root/etc/hosts"
: >"$root/etc/machine-id"
echo "LABEL=labroot / ext4 defaults,noatime 0 1" >"$root/etc/fstab"
chroot "$root" useradd --create-home --shell /bin/bash debian
install -d -m 0700 -o 1000 -g 1000 "$root/home/debian/.ssh"
# Under an emulated CPU each command through sudo would else cost half a second more.
printf 'debian ALL=(ALL) NOPASSWD: ALL\nDefaults !use_pty, !pam_session\n' >"$root/etc/sudoers.d/debian"
chmod 0440 "$root/etc/sudoers.d/debian"
rm -f "$root"/etc/ssh/ssh_host_*
cat >"$root/etc/ssh/sshd_config.d/lab.conf" <<SSHD
HostKey /run/credentials/@system/ssh.hostkey
PasswordAuthentication no
UseDNS no
PrintMotd no
PrintLastLog no
SSHD
# Every login would else run these under an emulated CPU.
sed -i '/pam_motd\|pam_mail/d' "$root/etc/pam.d/sshd"
sed -i /pam_systemd/d "$root/etc/pam.d/common-session"  # a user's systemd at each log-in
mkdir -p "$root/etc/systemd/journald.conf.d" "$root/etc/modprobe.d"
printf '[Journal]\nStorage=persistent\nSystemMaxUse=64M\n' >"$root/etc/systemd/journald.conf.d/lab.conf"
for module in kvm kvm_intel kvm_amd drm floppy ata_piix ata_generic psmouse pcspkr i2c_piix4 parport_pc; do
  echo "blacklist $module"
done >"$root/etc/modprobe.d/lab.conf"
chroot "$root" systemctl -q enable systemd-networkd.service ssh.service qemu-guest-agent.service serial-getty@ttyS0.service 2>/dev/null || true
chroot "$root" systemctl -q mask getty@tty1.service serial-getty@ttyS0.service e2scrub_reap.service e2scrub_all.timer apt-daily.timer \
  apt-daily-upgrade.timer dpkg-db-backup.timer systemd-networkd-wait-online.service systemd-pcrphase.service \
  systemd-firstboot.service systemd-update-utmp.service sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount
# The Debian service waits for a device that the lab's direct boot creates early; start with the channel itself.
ln -sf /dev/null "$root/etc/systemd/network/99-default.link"
