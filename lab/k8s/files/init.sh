#!/bin/bash
# The node's first process: starts every part, starts again what ends, and reaps orphans.
cd /
mount --make-rshared /
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
etc=/etc/kubernetes pki=/etc/kubernetes/pki files=/etc/kubernetes/files
. $files/node.env
echo "127.0.0.1 localhost" >/etc/hosts
echo "$ADDRESS $NODE" >>/etc/hosts
: >/etc/resolv.conf
mkdir -p /etc/cni/net.d /etc/containerd
cp $files/cni.conflist /etc/cni/net.d/10-pods.conflist
echo 1 >/proc/sys/net/ipv4/ip_forward
# What pods send out of the cluster carries the node's address.
nft -f - <<NFT
table ip pods {
  chain out { type nat hook postrouting priority 100; ip saddr 10.244.0.0/16 ip daddr != { 10.244.0.0/16, 10.96.0.0/16 } masquerade; }
}
NFT
# A kubelet that may not write a kernel setting gives up; where /proc/sys is read-only it gets files of its own.
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  [ -w /proc/sys/$setting ] && continue
  mkdir -p "/run/sys/${setting%/*}"; cat /proc/sys/$setting >/run/sys/$setting; mount --bind /run/sys/$setting /proc/sys/$setting
done

run() {  # name, command: kept running
  local name=$1; shift
  while :; do "$@" >>/var/log/node/$name.log 2>&1; echo "node: $name ended with $?" >>/var/log/node/$name.log; sleep 1; done &
}
if [ ! -e $pki/apiserver.crt ]; then
  kubeadm init phase certs all --config $files/kubeadm.yaml &&
  kubeadm init phase kubeconfig all --config $files/kubeadm.yaml || exit 1
fi >>/var/log/node/kubeadm.log 2>&1

run etcd etcd --data-dir /var/lib/etcd --name node --unsafe-no-fsync --log-level error --listen-client-urls http://127.0.0.1:2379 \
  --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
  --initial-cluster node=http://127.0.0.1:2380
run containerd containerd --config $files/containerd.toml
run kube-apiserver kube-apiserver --advertise-address="$ADDRESS" --secure-port=6443 --authorization-mode=Node,RBAC \
  --enable-admission-plugins=NodeRestriction --client-ca-file=$pki/ca.crt --etcd-servers=http://127.0.0.1:2379 \
  --kubelet-client-certificate=$pki/apiserver-kubelet-client.crt --kubelet-client-key=$pki/apiserver-kubelet-client.key \
  --kubelet-preferred-address-types=InternalIP --proxy-client-cert-file=$pki/front-proxy-client.crt --proxy-client-key-file=$pki/front-proxy-client.key \
  --requestheader-allowed-names=front-proxy-client --requestheader-client-ca-file=$pki/front-proxy-ca.crt \
  --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group --requestheader-username-headers=X-Remote-User \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file=$pki/sa.pub \
  --service-account-signing-key-file=$pki/sa.key --service-cluster-ip-range=10.96.0.0/16 --tls-cert-file=$pki/apiserver.crt \
  --tls-private-key-file=$pki/apiserver.key --event-ttl=1h
until kubectl --kubeconfig=$etc/super-admin.conf get --raw /readyz >/dev/null 2>&1; do sleep 0.2; done
if [ ! -e $etc/bound ]; then
  kubectl --kubeconfig=$etc/super-admin.conf create clusterrolebinding kubeadm:cluster-admins --clusterrole=cluster-admin \
    --group=kubeadm:cluster-admins >>/var/log/node/kubeadm.log 2>&1
  touch $etc/bound
fi
run kube-controller-manager kube-controller-manager --kubeconfig=$etc/controller-manager.conf --authentication-kubeconfig=$etc/controller-manager.conf \
  --authorization-kubeconfig=$etc/controller-manager.conf --bind-address=127.0.0.1 --leader-elect=false --use-service-account-credentials=true \
  --client-ca-file=$pki/ca.crt --requestheader-client-ca-file=$pki/front-proxy-ca.crt --root-ca-file=$pki/ca.crt \
  --service-account-private-key-file=$pki/sa.key --cluster-signing-cert-file=$pki/ca.crt --cluster-signing-key-file=$pki/ca.key
run kube-scheduler kube-scheduler --kubeconfig=$etc/scheduler.conf --authentication-kubeconfig=$etc/scheduler.conf \
  --authorization-kubeconfig=$etc/scheduler.conf --bind-address=127.0.0.1 --leader-elect=false
run kubelet kubelet --config=$files/kubelet.yaml --kubeconfig=$etc/kubelet.conf --node-ip="$ADDRESS" --hostname-override="$NODE"
run kube-proxy kube-proxy --config=$files/proxy.yaml
run coredns coredns -conf $files/Corefile
while :; do wait -n; sleep 0.2; done
