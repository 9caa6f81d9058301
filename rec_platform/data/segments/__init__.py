"""Customer segments by recency, frequency and monetary value (RFM): a feature of users, and a slice of results."""

from rec_platform.data.segments.column import write_segments
from rec_platform.data.segments.rfm import Rfm, rfm, rfm_of_histories
from rec_platform.data.segments.segmentation import METHODS, Segmentation, SegmentSummary, segment_users
from rec_platform.data.segments.slices import segment_slices

__all__ = [
    "METHODS",
    "Rfm",
    "SegmentSummary",
    "Segmentation",
    "rfm",
    "rfm_of_histories",
    "segment_slices",
    "segment_users",
    "write_segments",
]
