"""How the processes of torchrun find one another, and when none is waited for."""

import os

import pytest
from torch.distributed import TCPStore

from stargrav import ranks


@pytest.fixture
def torchrun(monkeypatch):
    """The environment that torchrun gives, as that of the rank asked for; joining is recorded."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    given = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port, "WORLD_SIZE": 2}
    for name, value in {**given, "TORCHELASTIC_USE_AGENT_STORE": True}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv(ranks.TOGETHER, raising=False)
    joined = []
    monkeypatch.setattr(ranks, "join", lambda: joined.append(int(os.environ["RANK"])))

    def as_rank(number):
        monkeypatch.setenv("RANK", str(number))
        return joined

    yield as_rank
    del store


def test_without_torchrun_nothing_is_waited_for(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with ranks.leading("train@teacher"):
        assert ranks.meet("train@teacher") and not ranks.follows()
    assert (ranks.rank(), ranks.count(), ranks.mean(0.3)) == (0, 1, 0.3)
    assert ranks.by_first(lambda: "done") == "done"


def test_all_meet_at_the_stage_that_was_asked_for(torchrun):
    joined = torchrun(0)
    with ranks.leading("train@teacher"):
        assert ranks.meet("splits") and joined == []
        with ranks.leading("train@teacher"):  # as the stage does, below DVC
            assert ranks.meet("train@teacher") and joined == [0]
        assert os.environ[ranks.TOGETHER] == "train@teacher"
    assert torchrun(1) == [0] and ranks.follows()
    assert ranks.meet("train@teacher") and joined == [0, 1]


def test_where_nothing_has_changed_the_others_go(torchrun):
    joined = torchrun(0)
    with ranks.leading("train@teacher"):
        ranks.meet("splits")
    torchrun(1)
    assert not ranks.meet("train@teacher") and joined == []
