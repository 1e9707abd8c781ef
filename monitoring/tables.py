"""The tables of the store, in SQLite and in PostgreSQL: also the layout in which others may write
predictions into a database of theirs.

Moments are microseconds since 1970 in UTC. Vectors are float32, little-endian, one after the other.
`label` of feedback is the true class, told later; the last one told counts.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from tasks.core.measures import Measures

METADATA = MetaData()
_TYPES = {int: BigInteger, float: Float(53), str: String}

REQUESTS = Table(
    "requests",
    METADATA,
    Column("request_id", String, primary_key=True),
    Column("received_at", BigInteger, nullable=False, index=True),
    Column("num_images", Integer, nullable=False),
)
# `seconds`: from the arrival of the request to the prediction. `refused`: "" or the gate's code.
# `kept`: why its image was kept (`sample`, drawn by chance, else `abstained`), or "".
# `metadata`: a JSON object.
PREDICTIONS = Table(
    "predictions",
    METADATA,
    Column("prediction_id", String, primary_key=True),
    Column("request_id", String),
    Column("predicted_at", BigInteger, nullable=False, index=True),
    Column("seconds", Float(53)),
    Column("model_sha256", String, nullable=False),
    Column("predicted", String),
    Column("probabilities", LargeBinary),
    Column("embedding", LargeBinary),
    Column("refused", String, nullable=False),
    Column("abstained", Boolean),
    Column("kept", String),
    Column("metadata", Text),
)
MEASURES = Table(
    "measures",
    METADATA,
    Column("prediction_id", String, primary_key=True),
    *(Column(name, _TYPES[kind]) for name, kind in Measures.__annotations__.items()),
)
FEEDBACK = Table(
    "feedback",
    METADATA,
    Column("prediction_id", String, primary_key=True),
    Column("label", String, nullable=False),
    Column("given_at", BigInteger, nullable=False, index=True),
)
# A drift check: what it saw, by the hashes of its window and reference, and its verdict (JSON).
CHECKS = Table(
    "checks",
    METADATA,
    Column("check_id", String, primary_key=True),
    Column("checked_at", BigInteger, nullable=False, index=True),
    Column("window_start", BigInteger, nullable=False),
    Column("window_end", BigInteger, nullable=False, index=True),
    Column("window_sha256", String, nullable=False),
    Column("reference_sha256", String, nullable=False),
    Column("model_sha256", String, nullable=False),
    Column("document", Text, nullable=False),
)
# An alert's life: pending, firing, resolved.
EPISODES = Table(
    "episodes",
    METADATA,
    Column("episode_id", String, primary_key=True),
    Column("fingerprint", String, nullable=False, index=True),
    Column("state", String, nullable=False),
    Column("opened_at", BigInteger, nullable=False, index=True),
    Column("changed_at", BigInteger, nullable=False, index=True),
    Column("document", Text, nullable=False),
)
# A retraining that drift began: when, and on how many new labels (JSON).
RETRAININGS = Table(
    "retrainings",
    METADATA,
    Column("begun_at", BigInteger, primary_key=True),
    Column("document", Text, nullable=False),
)
# What people said of an episode, beside it: that they look after it, until when they want no
# reminder. So a check and a person who write at a time take nothing from each other.
ANSWERS = Table(
    "answers",
    METADATA,
    Column("episode_id", String, primary_key=True),
    Column("acknowledged_at", BigInteger),
    Column("acknowledged_by", String),
    Column("silenced_until", BigInteger),
)
# What is to be told to a channel: the outbox.
DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("delivery_id", String, primary_key=True),
    Column("episode_id", String, nullable=False, index=True),
    Column("channel", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("num_attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False, index=True),
    Column("document", Text, nullable=False),
)
