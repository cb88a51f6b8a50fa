import pytest

from .runs import write_subjects


@pytest.fixture
def folder(tmp_path):
    write_subjects(tmp_path)
    return tmp_path
