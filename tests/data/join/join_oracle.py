"""The join again, by loops over dicts: slow, plain, and sharing no line with what it judges."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from rec_platform.data.join import RewardSpec

Row = dict[str, Any]


def oracle(
    decisions: list[Row], events: list[Row], spec: RewardSpec, now: int, closed: dict[str, Row] | None = None
) -> tuple[list[Row], dict[str, int]]:
    """(rows closed now, counts). ``closed``: rows given out before, by id."""
    before = closed or {}
    count: dict[str, int] = defaultdict(int, decisions=len(decisions), events=len(events))
    known: dict[str, Row] = {}
    for decision in decisions:
        if decision["decision_id"] in known:
            count["duplicate_decisions"] += 1
        else:
            known[decision["decision_id"]] = decision
    seen: set[str] = set()
    distinct = []
    for event in events:
        if event["event_id"] in seen:
            count["duplicates"] += 1
        else:
            seen.add(event["event_id"])
            distinct.append(event)
    closes = {name: deadline(decision, known, distinct, spec) for name, decision in known.items()}
    done = {name for name in known if closes[name][0] <= now or name in before}
    joined: dict[str, list[Row]] = defaultdict(list)
    for event in distinct:
        fate = fate_of(event, known, closes, done, before, spec)
        count[fate] += 1
        if fate == "matched" and event["type"] != "episode_end":
            joined[event["recommendation_id"]].append(event)
            count["early"] += event["occurred_at"] < known[event["recommendation_id"]]["timestamp"]
    for name in done & set(before):
        extra = max(len(joined[name]) - before[name]["joined_events"], 0)
        count["late_arrivals"] += extra
        count["late"] += extra
        count["matched"] -= extra
    rows = [outcome(known[name], joined[name], closes[name], spec) for name in done if name not in before]
    rows.sort(key=lambda row: (row["timestamp"], row["decision_id"]))
    count["rows"] = len(rows) + len(before)
    count["open_rows"] = len(known) - len(done)
    count["inactive_rows"] = sum(not row["active"] for row in [*rows, *before.values()])
    return rows, dict(count)


def deadline(decision: Row, known: dict[str, Row], events: list[Row], spec: RewardSpec) -> tuple[int, str]:
    wait = spec.placement_wait_seconds.get(decision["placement"], spec.wait_seconds)
    end, why = decision["timestamp"] + int(wait * 1_000_000), "deadline"
    for event in events:
        if event["type"] != "episode_end" or event["occurred_at"] < decision["timestamp"]:
            continue
        if ends(event, decision, known) and event["occurred_at"] < end:
            end, why = event["occurred_at"], "episode_end"
    return end, why


def session(row: Row) -> tuple[str, str] | None:
    return None if row["session_id"] is None or row["user_id"] is None else (row["user_id"], row["session_id"])


def ends(event: Row, decision: Row, known: dict[str, Row]) -> bool:
    if session(event) is not None and session(event) == session(decision):
        return True
    named = known.get(event["recommendation_id"] or "")
    if named is None:
        return False
    return named is decision or (session(named) is not None and session(named) == session(decision))


def fate_of(
    event: Row,
    known: dict[str, Row],
    closes: dict[str, tuple[int, str]],
    done: set[str],
    before: dict[str, Row],
    spec: RewardSpec,
) -> str:
    name = event["recommendation_id"]
    if event["type"] == "episode_end":
        if any(ends(event, decision, known) for decision in known.values()):
            return "matched"
        return "orphans_without_id" if name is None else "orphans_of_unknown_id"
    if name is None:
        return "orphans_without_id"
    if name not in known:
        return "late" if name in before else "orphans_of_unknown_id"
    if name not in done:
        return "pending"
    decision = known[name]
    if event["occurred_at"] < decision["timestamp"] - int(spec.backward_seconds * 1_000_000):
        return "too_early"
    if event["occurred_at"] > closes[name][0]:
        return "late"
    if event["type"] == "impression":
        items = event["items"]
        return "unknown_items" if items and not set(items) & set(decision["slate"]) else "matched"
    unknown = event["item_id"] is not None and event["item_id"] not in decision["slate"]
    return "unknown_items" if unknown else "matched"


def worth(spec: RewardSpec, action: str, value: float | None) -> float | None:
    rule = spec.actions.get(action)
    if rule is None or isinstance(rule, float):
        return rule
    return rule.base + rule.per_value * (value or 0.0)


def combined(values: list[float], rule: str) -> float:
    return max(values) if rule == "best" else sum(values) if rule == "sum" else values[-1]


def outcome(decision: Row, events: list[Row], closed: tuple[int, str], spec: RewardSpec) -> Row:
    slate = decision["slate"]
    size = len(slate)
    earned: list[list[float]] = [[] for _ in slate]
    told: list[list[float]] = [[] for _ in slate]
    of_slate: list[float] = []
    channels: dict[str, list[float]] = defaultdict(lambda: [0.0] * size)
    best: tuple[float, int] | None = None
    for event in sorted(events, key=lambda event: event["occurred_at"]):  # stable: arrival decides
        if event["type"] == "impression":
            listed = slate if event["items"] is None else event["items"]
            flags = [True] * len(listed)
            if event["items"] is not None and event["viewed"] is not None:
                flags = event["viewed"]
            slots = sorted(slate.index(i) for i, flag in zip(listed, flags, strict=True) if flag and i in slate)
            for slot in slots:
                channels["impression"][slot] = 1.0
                if (reward := worth(spec, "impression", None)) is not None:
                    earned[slot].append(reward)
        elif event["type"] == "interaction":
            slot = slate.index(event["item_id"])
            channels[event["action"]][slot] = 1.0
            reward = worth(spec, event["action"], event["value"])
            if reward is not None:
                earned[slot].append(reward)
                if reward > 0 and (best is None or reward > best[0]):
                    best = (reward, slot)
        else:
            counts = spec.told_names is None or event["name"] in spec.told_names
            if event["item_id"] is None:
                of_slate += [event["value"]] * counts
                continue
            slot, channel = slate.index(event["item_id"]), channels[f"reward:{event['name']}"]
            channel[slot] = event["value"] if spec.told == "replace" else channel[slot] + event["value"]
            told[slot] += [event["value"]] * counts
    slots_earned = [combined(values, spec.combine) if values else spec.default_reward for values in earned]
    if spec.told == "replace":
        slots_earned = [values[-1] if values else old for values, old in zip(told, slots_earned, strict=True)]
    else:
        slots_earned = [old + sum(values) for values, old in zip(told, slots_earned, strict=True)]
    total = sum(slots_earned)
    total = (of_slate[-1] if of_slate else total) if spec.told == "replace" else total + sum(of_slate)
    channels["reward"] = slots_earned
    kinds = [event["type"] for event in events]
    active = not decision["deferred"] or "impression" in kinds or "interaction" in kinds
    return {
        "decision_id": decision["decision_id"],
        "timestamp": decision["timestamp"],
        "closed_at": closed[0],
        "closed_by": closed[1],
        "active": active,
        "chosen": (-1 if best is None else best[1]) if active else None,
        "reward": total if active else None,
        "slot_rewards": slots_earned if active else None,
        "rewards": dict(channels) if active else None,
        "joined_events": len(events),
        "joined_impressions": kinds.count("impression"),
        "joined_interactions": kinds.count("interaction"),
        "joined_rewards": kinds.count("reward"),
    }
