#!/bin/busybox sh
# Find the root disk by its label (letters move) and hand over.
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
if /bin/busybox grep -q labprobe /proc/cmdline; then echo 'labprobe: ok'; /bin/busybox reboot -f; fi
while read -r module; do /bin/busybox insmod "/modules/$module"; done </modules/order
tries=0
until disk=$(/bin/busybox findfs LABEL=labroot 2>/dev/null); do
  tries=$((tries + 1))
  [ "$tries" -gt 600 ] && { echo "no disk labelled labroot"; /bin/busybox sleep 5; /bin/busybox reboot -f; }
  /bin/busybox usleep 50000
done
/bin/busybox mount -t ext4 -o ro "$disk" /root
/bin/busybox umount /proc
/bin/busybox umount /sys
/bin/busybox mount -o move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
