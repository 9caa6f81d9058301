"""Model bundles, their versions, the aliases that point at them and the history of those aliases."""

from rec_platform.registry.bundle import Bundle, read_bundle, verify_bundle, write_bundle
from rec_platform.registry.home import platform_home
from rec_platform.registry.manifest import BundleManifest, DatasetReference, ObservationContract, PolicySpec
from rec_platform.registry.registry import ModelRegistry, ModelVersion, parse_reference

__all__ = [
    "Bundle",
    "BundleManifest",
    "DatasetReference",
    "ModelRegistry",
    "ModelVersion",
    "ObservationContract",
    "PolicySpec",
    "parse_reference",
    "platform_home",
    "read_bundle",
    "verify_bundle",
    "write_bundle",
]
