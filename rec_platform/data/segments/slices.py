"""Evaluated users by the segment that the training part puts them in."""

from __future__ import annotations

import numpy as np

from rec_platform.data.segments.rfm import rfm_of_histories
from rec_platform.data.segments.segmentation import Method, segment_users
from rec_platform.data.splits import HeldOut
from rec_platform.types import Bool


def segment_slices(held_out: HeldOut, method: Method = "quintiles") -> dict[str, Bool]:
    """Which evaluated users belong to which segment: bool [n] by ``segment=NAME``, of segments with a user among them.

    All is computed from the training part, of all its users: nothing held back is counted. The moment is that of the
    split, where each user has a moment of his own the end of the last day of training. Histories carry no values, so
    monetary value is the number of positive events (only ``kmeans`` looks at it). Users without a positive event are in
    no slice.

    Raises:
        InputError: the training part has no positive event.
    """
    segmentation = segment_users(rfm_of_histories(held_out.train, as_of=held_out.moment), method)
    known = dict(zip(segmentation.rfm.user_ids, segmentation.codes, strict=True))
    codes = np.array([known.get(held_out.train.user_ids[user], -1) for user in held_out.users], dtype=np.int64)
    masks = {f"segment={name}": codes == code for code, name in enumerate(segmentation.names)}
    return {name: mask for name, mask in masks.items() if mask.any()}
