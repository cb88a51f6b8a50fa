import pytest

from .runs import write_subjects


@pytest.fixture
def folder(tmp_path):
    write_subjects(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_subjects(folder)
    return folder
