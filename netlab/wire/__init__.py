"""Links with impairments in user space, for kernels without netem. Design and measurements: docs/links.md."""
