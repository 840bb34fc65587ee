"""The order of the tests."""

LONGEST = ["test_contract.py", "test_pipeline.py"]  # the longest last


def pytest_collection_modifyitems(items):
    """The files that take longest come first, so that no worker is alone with one in the end.

    With `--no-loadscope-reorder`: else those with most tests would.
    """
    items.sort(key=lambda item: -LONGEST.index(name) if (name := item.path.name) in LONGEST else 1)
