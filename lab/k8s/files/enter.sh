#!/bin/bash
# Runs in new mount, pid, uts, ipc and cgroup namespaces: makes the node's root and becomes its first process.
# Arguments: root filesystem (shared, read-only) · state folder of the node · its name
set -euo pipefail
lower=$1 state=$2 name=$3
mount --make-rprivate /
hostname "$name"
new=$state/root
mkdir -p "$new" "$state"/{upper,work,containerd,kubelet,etcd,kafka,kubernetes,log}
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$state/upper,workdir=$state/work" "$new"
mount -t proc proc "$new/proc"
mount -t sysfs sysfs "$new/sys"
mount --rbind /dev "$new/dev"
mount -t tmpfs -o mode=755 tmpfs "$new/run"
mount -t tmpfs tmpfs "$new/tmp"
# Each node sees its own part of the control groups as the whole.
if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
  mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup"
  mkdir -p "$new/sys/fs/cgroup/node"
  echo 0 >"$new/sys/fs/cgroup/node/cgroup.procs"
  sed 's/[^ ]*/+&/g' "$new/sys/fs/cgroup/cgroup.controllers" >"$new/sys/fs/cgroup/cgroup.subtree_control"
else
  mount -t tmpfs -o mode=755 tmpfs "$new/sys/fs/cgroup"
  while IFS=: read -r number controllers _; do
    [ "$number" = 0 ] && continue
    folder=${controllers#name=}
    mkdir -p "$new/sys/fs/cgroup/$folder"
    mount -t cgroup -o "${controllers/name=systemd/none,name=systemd}" cgroup "$new/sys/fs/cgroup/$folder"
    case $controllers in *,*) for one in ${controllers//,/ }; do ln -sfn "$folder" "$new/sys/fs/cgroup/$one"; done ;; esac
  done </proc/self/cgroup
fi
for part in containerd kubelet etcd kafka; do
  mkdir -p "$new/var/lib/$part"
  mount --bind "$state/$part" "$new/var/lib/$part"
done
chown 185:0 "$new/var/lib/kafka"
mkdir -p "$new/etc/kubernetes" "$new/var/log/node"
mount --bind "$state/kubernetes" "$new/etc/kubernetes"
mount --bind "$state/log" "$new/var/log/node"
mkdir -p "$new/run/old"
cd "$new"
pivot_root . run/old
umount -l /run/old
exec /bin/bash /etc/kubernetes/files/init.sh
