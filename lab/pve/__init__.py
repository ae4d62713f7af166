"""A stand-in for the Proxmox VE API over real QEMU machines. What it covers, and where it differs: README.md."""
