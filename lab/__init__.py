"""The home lab in a box: a real VM, a real Kubernetes, and the Proxmox VE API in front of them, on one machine."""
