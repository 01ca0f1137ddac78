"""A Celery app whose broker is a folder. Run as a program, it sends the tasks."""

import os
import pathlib

from celery import Celery
from makers import make

directory = pathlib.Path(os.environ["DIRECTORY"])
TASKS, EACH = 100, 40

app = Celery("worker", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(directory / "queue"),
        "data_folder_out": str(directory / "queue"),
        "control_folder": str(directory / "control"),
    },
    task_ignore_result=True,
    worker_hijack_root_logger=False,
)
for part in ("queue", "control", "made"):
    (directory / part).mkdir(exist_ok=True)


@app.task(bind=True)
def generate(self):
    lines = "".join(f"{os.getpid()} {make()}\n" for _ in range(EACH))
    unfinished = directory / self.request.id
    unfinished.write_text(lines)
    # The test must not see an unfinished file.
    unfinished.rename(directory / "made" / self.request.id)


if __name__ == "__main__":
    for _ in range(TASKS):
        generate.delay()
