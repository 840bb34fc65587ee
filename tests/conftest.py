"""The order of the tests."""


def pytest_collection_modifyitems(items):
    """The whole pipeline first: it takes longest, and one worker is busy with it alone."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")
