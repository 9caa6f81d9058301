"""What can be known to go wrong before the service starts: machine, ports, Serve YAML, store, registry, catalogue."""

from rec_platform.serving.doctor.check import Check
from rec_platform.serving.doctor.examine import examine

__all__ = ["Check", "examine"]
