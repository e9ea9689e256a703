"""When a checkpoint is due."""

from pipelines.training_checkpoints import STEPS_BETWEEN_LOOKS, CheckpointRhythm


def test_checkpoints_come_every_so_many_steps_and_once_for_every_node_that_is_going_to_leave() -> None:
    nodes: list[str] = []
    rhythm = CheckpointRhythm(every=100, announced=lambda: nodes)
    assert [step for step in range(1, 201) if rhythm.due(step)] == [100, 200]

    nodes.append("first")
    assert [step for step in range(201, 251) if rhythm.due(step)] == [200 + STEPS_BETWEEN_LOOKS]
    nodes.append("second")
    assert [step for step in range(251, 300) if rhythm.due(step)] == [250 + STEPS_BETWEEN_LOOKS]
