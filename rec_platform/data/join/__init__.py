"""The joiner: what was decided ⟕ what was seen ⟕ what was done, as closed rows that carry their reward.

    decisions ──left outer join── impressions ──left outer join── interactions and rewards

on the decision's id, and on the item within its slate. What comes out is a superset of
`rec_platform.data.schema.DECISIONS`, good for bandit, slate and sequential off-policy evaluation and for offline
reinforcement learning alike.

`join` is a pure function of tables; `join_into` keeps a folder of closed rows up to date with a log that grows;
`read_joined` reads it; `export_dsjson` writes it for Vowpal Wabbit.
"""

from rec_platform.data.join.dsjson import export_dsjson
from rec_platform.data.join.erasure import erase_users
from rec_platform.data.join.folder import join_into, write_joined
from rec_platform.data.join.health import JoinCounts, JoinHealth
from rec_platform.data.join.imported import join_imported
from rec_platform.data.join.joined_files import JoinManifest, closed_rows, read_joined, read_manifest
from rec_platform.data.join.joiner import Joined, join
from rec_platform.data.join.reward_spec import ActionReward, RewardSpec, load_reward_spec
from rec_platform.data.join.tables import EVENTS, JOINED

__all__ = [
    "EVENTS",
    "JOINED",
    "ActionReward",
    "JoinCounts",
    "JoinHealth",
    "JoinManifest",
    "Joined",
    "RewardSpec",
    "closed_rows",
    "erase_users",
    "export_dsjson",
    "join",
    "join_imported",
    "join_into",
    "load_reward_spec",
    "read_joined",
    "read_manifest",
    "write_joined",
]
