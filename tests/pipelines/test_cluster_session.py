"""A program ends with one clear line, wherever on the cluster the error arose."""

import pytest
import ray
import ray.data

from lexlip.errors import DataError, LexLIPError
from pipelines.cluster_session import run_main, user_error


def refuse(_: object) -> object:
    raise DataError("photos.parquet: row 3 is not a picture")


def caught(work: object) -> BaseException:
    with pytest.raises(Exception) as failure:  # noqa: PT011
        work()  # type: ignore[operator]
    return failure.value


@pytest.mark.parametrize(
    "work",
    [
        lambda: ray.get(ray.remote(refuse).remote(None)),
        lambda: ray.data.range(2).map_batches(refuse).materialize(),
    ],
    ids=["task", "data"],
)
def test_the_error_of_a_task_is_found_inside_rays_wrapper(
    ray_session: None, work: object, capsys: pytest.CaptureFixture[str]
) -> None:
    found = user_error(caught(work))
    assert type(found) is DataError

    with pytest.raises(SystemExit) as end:
        run_main(work)  # type: ignore[arg-type]
    assert end.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert lines == ["error: photos.parquet: row 3 is not a picture"]


def test_a_defect_keeps_its_traceback(ray_session: None) -> None:
    def divide() -> None:
        ray.get(ray.remote(lambda: 1 // 0).remote())

    assert user_error(caught(divide)) is None
    with pytest.raises(ray.exceptions.RayTaskError, match="ZeroDivisionError"):
        run_main(divide)


def test_a_success_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    run_main(lambda: None)
    assert capsys.readouterr().err == ""


def test_user_errors_outside_of_ray_are_found_too() -> None:
    error = LexLIPError("plain")
    assert user_error(error) is error
